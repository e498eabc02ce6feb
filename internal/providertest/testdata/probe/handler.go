// Package function is the function of the conformance suite: it does what its query says.
package function

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	handler "github.com/openfaas/templates-sdk/go-http"
)

var (
	hogged  [][]byte
	toggled sync.Map // what is the other way round than at the start
)

func init() {
	if why := os.Getenv("FAIL_START"); why != "" {
		fmt.Fprintln(os.Stderr, why)
		os.Exit(3)
	}
}

// record writes down a call's method, headers and body, where the environment says.
func record(r handler.Request) error {
	f, err := os.OpenFile(os.Getenv("RECORD"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return json.NewEncoder(f).Encode(map[string]any{"method": r.Method, "header": r.Header, "body": r.Body})
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// started tells the arguments, the working directory, the umask, the time zone, whether it can write into its
// temporary directory, and the signals that are blocked or ignored.
func started() string {
	dir, err := os.Getwd()
	if err != nil {
		return err.Error()
	}
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	f, err := os.CreateTemp("", "probe-")
	if err == nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	zone, _ := time.Now().Zone()
	text := fmt.Sprintf("arguments %d\nabsolute %t\numask %03o\nzone %s\ntemporary %v\n", len(os.Args)-1,
		filepath.IsAbs(dir), mask, zone, err == nil)
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		if set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64); err == nil &&
			(name == "SigBlk" || name == "SigIgn") {
			text += fmt.Sprintf("%s term %t\n", name, set&(1<<(uint(syscall.SIGTERM)-1)) != 0)
		}
	}
	return text
}

// Handle does what its query says.
func Handle(r handler.Request) (handler.Response, error) {
	query, err := url.ParseQuery(r.QueryString)
	if err != nil {
		return handler.Response{}, err
	}
	if os.Getenv("RECORD") != "" {
		if err := record(r); err != nil {
			return handler.Response{}, err
		}
	}
	if refused := os.Getenv("REFUSES"); refused != "" && string(r.Body) == refused {
		return handler.Response{StatusCode: http.StatusUnprocessableEntity}, nil
	}
	for path := query.Get("until"); path != ""; time.Sleep(5 * time.Millisecond) { // there is such a file
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	answer := func(s string) (handler.Response, error) { return handler.Response{Body: []byte(s)}, nil }
	switch {
	case query.Has("env"):
		return answer(os.Getenv(query.Get("env")))
	case query.Has("lookup"): // an environment variable, and whether there is one
		value, ok := os.LookupEnv(query.Get("lookup"))
		return answer(fmt.Sprintf("%t %s", ok, value))
	case query.Has("process"): // what it was started with
		return answer(started())
	case query.Has("work"): // for so long; answers with the processor time that it has had, in milliseconds
		d, err := time.ParseDuration(query.Get("work"))
		if err != nil {
			return handler.Response{}, err
		}
		before := processorTime()
		for end := time.Now().Add(d); time.Now().Before(end); {
		}
		return answer(fmt.Sprint((processorTime() - before).Milliseconds()))
	case query.Has("toggle"):
		name := query.Get("toggle")
		if _, on := toggled.LoadAndDelete(name); !on {
			toggled.Store(name, true)
		}
	case query.Has("unless"): // an answer to a probe
		if _, on := toggled.Load(query.Get("unless")); on {
			return handler.Response{StatusCode: 503}, nil
		}
	case query.Has("secret"):
		text, err := os.ReadFile(filepath.Join(os.Getenv("secret_mount_path"), query.Get("secret")))
		if err != nil {
			return answer("none")
		}
		return answer(string(text))
	case query.Has("page"): // an answer as it is written in a file of the directory PAGES
		text, err := os.ReadFile(filepath.Join(os.Getenv("PAGES"), query.Get("page")))
		if err != nil {
			return handler.Response{}, err
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil {
			return handler.Response{}, err
		}
		body, err := io.ReadAll(res.Body)
		return handler.Response{StatusCode: res.StatusCode, Header: res.Header, Body: body}, err
	case query.Has("expect"): // fails unless it is the body
		if string(r.Body) != query.Get("expect") {
			return handler.Response{StatusCode: 500, Body: []byte("not what was expected")}, nil
		}
	case query.Has("write"): // a file, and tells whether it could
		if err := os.WriteFile(query.Get("write"), r.Body, 0o600); err != nil {
			return answer(err.Error())
		}
		return answer("written")
	case query.Has("hog"): // memory, in MiB
		var n int
		if _, err := fmt.Sscan(query.Get("hog"), &n); err != nil {
			return handler.Response{}, err
		}
		for range n {
			hogged = append(hogged, bytes.Repeat([]byte{1}, 1<<20))
		}
	case query.Has("exit"):
		os.Exit(7)
	case query.Has("panic"): // where the watchdog cannot catch it
		go func() { panic(query.Get("panic")) }()
		time.Sleep(time.Minute)
	case query.Has("print"):
		fmt.Println(query.Get("print"))
	case query.Has("sleep"):
		d, err := time.ParseDuration(query.Get("sleep"))
		if err != nil {
			return handler.Response{}, err
		}
		time.Sleep(d)
	case query.Has("pid"):
		return answer(fmt.Sprint(os.Getpid()))
	case query.Has("status") && (!query.Has("only") || query.Get("only") == os.Getenv("OPENFAAS_NAME")):
		var status int
		_, err := fmt.Sscan(query.Get("status"), &status)
		return handler.Response{StatusCode: status, Body: []byte("as asked")}, err
	}
	return answer(string(r.Body))
}
