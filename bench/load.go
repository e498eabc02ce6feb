package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// load is what one round of wrk came to.
type load struct {
	requests  int
	took      time.Duration
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
}

// body is how many bytes each call has.
type body int

// wrk posts to an address for a while. If spread is not 0, to that many addresses in no order:
// the URL, with a number from 0 behind it. An answer that is not 2xx or 3xx is an error:
// figures with failures in them say nothing.
func (c config) wrk(ctx context.Context, url string, size body, spread int) (l load, err error) {
	fmt.Fprintf(os.Stderr, "%d s of POST %s, %d bytes\n", c.seconds, url, size)
	cmd := exec.CommandContext(ctx, "wrk", "-t", "1", "-c", fmt.Sprint(c.clients), "-d",
		fmt.Sprintf("%ds", c.seconds), "-s", "wrk.lua", url, "--", fmt.Sprint(size), fmt.Sprint(spread))
	out, err := cmd.Output()
	if err != nil {
		return l, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var got struct{ Requests, Micros, P50, P99, Broken, Refused int }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		return l, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if got.Broken+got.Refused > 0 {
		return l, fmt.Errorf("%s: %d of %d calls broke off, %d were answered with an error", url, got.Broken,
			got.Requests, got.Refused)
	}
	l = load{requests: got.Requests, took: time.Duration(got.Micros) * time.Microsecond,
		P50: float64(got.P50) / 1000, P99: float64(got.P99) / 1000}
	l.PerSecond = float64(l.requests) / l.took.Seconds()
	return l, nil
}

func median(rounds []load) load {
	slices.SortFunc(rounds, func(a, b load) int { return int(a.PerSecond - b.PerSecond) })
	return rounds[len(rounds)/2]
}

// runDirectly starts a function by itself, as its template's contract has it, without any gateway.
func runDirectly(ctx context.Context, binary string) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(os.Environ(), "port="+port)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	url = "http://127.0.0.1:" + port + "/"
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if res, err := http.Get(url + "_/ready"); err == nil {
			_ = res.Body.Close()
			return url, stop, nil
		}
		if time.Now().After(deadline) {
			stop()
			return "", nil, fmt.Errorf("%s does not serve\n%s", binary, out.String())
		}
	}
}
