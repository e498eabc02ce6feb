package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestExchanges sends the requests of OpenFaaS's clients and checks the responses: one file for each case, on
// an instance of its own. The files come from OpenFaaS's documents and from observing its clients.
//
//	METHOD PATH            the request, with the operator's credentials
//	Name: value            headers; "Authorization: none" sends none
//
//	body
//	---
//	STATUS                 the answer; "eventually STATUS" repeats the request until it is so
//	Name: value            headers; /.../ is a regular expression, and "absent" is none
//
//	body                   JSON that the answer contains, where "*" is anything; or text
//	===                    and the next exchange
func TestExchanges(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/exchanges/*.http")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			n := newTestNode(t)
			for i, text := range strings.Split(string(text), "\n===\n") {
				ask, want, found := strings.Cut(text, "\n---\n")
				require.True(t, found, "exchange %d has no answer", i+1)
				n.exchange(fmt.Sprintf("exchange %d of %s", i+1, file), newMessage(ask), newMessage(want))
			}
		})
	}
}

// A message is a request or a response, as written in a file.
type message struct {
	first  string
	header [][2]string
	body   string
}

func newMessage(text string) (m message) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
		lines = lines[1:]
	}
	head, body, _ := strings.Cut(strings.Join(lines, "\n"), "\n\n")
	lines = strings.Split(head, "\n")
	m.first, m.body = lines[0], body
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		m.header = append(m.header, [2]string{name, value})
	}
	return m
}

// exchange sends a request and checks the response.
func (n *testNode) exchange(where string, ask, want message) {
	n.t.Helper()
	status, again := strings.CutPrefix(want.first, "eventually ")
	code, err := strconv.Atoi(status)
	require.NoError(n.t, err, where)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		res, body := n.send(where, ask)
		problem := differs(res, body, code, want)
		if problem == "" {
			return
		}
		require.True(n.t, again && time.Now().Before(deadline), "%s, %s: %s\n%s %v\n%s", where, ask.first,
			problem, res.Status, res.Header, body)
	}
}

func (n *testNode) send(where string, ask message) (*http.Response, string) {
	n.t.Helper()
	method, path, found := strings.Cut(ask.first, " ")
	require.True(n.t, found, where)
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url()+path, strings.NewReader(ask.body))
	require.NoError(n.t, err, where)
	req.SetBasicAuth(n.credentials.User, n.credentials.Password)
	for _, h := range ask.header {
		if h == [2]string{"Authorization", "none"} {
			req.Header.Del("Authorization")
		} else {
			req.Header.Set(h[0], h[1])
		}
		if h[0] == "Host" {
			req.Host = h[1]
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	require.NoError(n.t, err, where)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(n.t, err, where)
	return res, string(text)
}

// differs describes the first difference of a response from the wanted one. It is "" if there is none.
func differs(res *http.Response, body string, code int, want message) string {
	if res.StatusCode != code {
		return fmt.Sprintf("the status is %d, want %d", res.StatusCode, code)
	}
	for _, h := range want.header {
		got, is := res.Header.Get(h[0]), false
		switch pattern, isPattern := strings.CutPrefix(h[1], "/"); {
		case h[1] == "absent":
			is = len(res.Header.Values(h[0])) == 0
		case isPattern:
			is = regexp.MustCompile(strings.TrimSuffix(pattern, "/")).MatchString(got)
		default:
			is = got == h[1]
		}
		if !is {
			return fmt.Sprintf("the header %s is %q, want %s", h[0], got, h[1])
		}
	}
	if want.body == "" {
		return ""
	}
	var wanted, got any
	if json.Unmarshal([]byte(want.body), &wanted) != nil {
		if !strings.Contains(body, strings.TrimSpace(want.body)) {
			return "the body does not have what it should"
		}
		return ""
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		return "the body is no JSON"
	}
	return lacks("body", got, wanted)
}

// lacks describes what JSON lacks of the wanted one, or is "". Lists must have equal lengths.
func lacks(at string, got, want any) string {
	switch want := want.(type) {
	case string:
		if want == "*" && got != nil || got == want {
			return ""
		}
	case map[string]any:
		fields, ok := got.(map[string]any)
		if !ok {
			break
		}
		for name, value := range want {
			if value == "absent" {
				if _, there := fields[name]; there {
					return at + "." + name + " is there"
				}
			} else if problem := lacks(at+"."+name, fields[name], value); problem != "" {
				return problem
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			break
		}
		for i := range want {
			if problem := lacks(fmt.Sprintf("%s[%d]", at, i), list[i], want[i]); problem != "" {
				return problem
			}
		}
		return ""
	default:
		if got == want {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v, want %v", at, got, want)
}

func TestDiffersFindsDifferences(t *testing.T) {
	t.Parallel()
	res := &http.Response{StatusCode: 200, Header: http.Header{"X-One": {"a1"}}}
	for text, want := range map[string]bool{
		"200": true, "201": false, "200\nX-One: a1": true, "200\nX-One: a": false,
		"200\nX-One: /^a\\d$/": true, "200\nX-Two: absent": true, "200\nX-One: absent": false,
		"200\n\n{\"a\":[1,{\"b\":\"*\"}]}": true, "200\n\n{\"a\":[1]}": false,
		"200\n\n{\"a\":[1,{\"b\":null}]}": false, "200\n\n{\"c\":\"absent\"}": true,
		"200\n\n{\"a\":\"absent\"}": false,
		"200\n\n\"a\":":             true, "200\n\nzzz": false,
	} {
		m := newMessage(text)
		code, _ := strconv.Atoi(m.first)
		require.Equal(t, want, differs(res, `{"a":[1,{"b":2}]}`, code, m) == "", text)
	}
	require.True(t, slices.Contains(newMessage("GET /x\nA: b").header, [2]string{"A", "b"}))
}
