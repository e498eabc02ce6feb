package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfaas/faas-provider/logs"
	"github.com/stretchr/testify/require"
)

// growingLog is a log of two replicas that grows with each request. It responds like OpenFaaS's own handler,
// and ends each response at once, as a gateway does after a time.
type growingLog struct {
	mu      sync.Mutex
	lines   []logs.Message
	asked   []logs.Request
	grow    int
	refused bool
}

func (g *growingLog) write(n int) {
	for range n {
		i := len(g.lines)
		at := time.Date(2026, 11, 24, 2, 40, 0, 0, time.UTC).Add(time.Duration(i/2) * 300 * time.Millisecond)
		g.lines = append(g.lines, logs.Message{
			Name:      "oven",
			Namespace: "openfaas-fn",
			Instance:  fmt.Sprint("oven-", i%2),
			Timestamp: at,
			Text:      fmt.Sprintf("line %d\n", i),
		})
	}
}

func (g *growingLog) Query(_ context.Context, r logs.Request) (<-chan logs.Message, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, r)
	g.write(g.grow)
	out := make(chan logs.Message, len(g.lines))
	defer close(out)
	chosen := g.lines
	if r.Tail > 0 && r.Tail < len(chosen) {
		chosen = chosen[len(chosen)-r.Tail:]
	}
	for _, m := range chosen {
		if (r.Since == nil || !m.Timestamp.Before(*r.Since)) &&
			(r.Instance == "" || r.Instance == m.Instance) {
			out <- m
		}
	}
	return out, nil
}

func (g *growingLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	refused := g.refused && len(g.asked)%2 == 1
	if refused {
		g.asked = append(g.asked, logs.Request{})
	}
	g.mu.Unlock()
	if refused {
		http.Error(w, "hearth is ending", http.StatusServiceUnavailable)
		return
	}
	logs.NewLogHandlerFunc(g, time.Minute)(w, r)
}

// untilLines is a standard output that ends the command after a number of lines, like Ctrl-C.
type untilLines struct {
	bytes.Buffer
	lines int
	stop  func()
}

func (u *untilLines) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if bytes.Count(u.Bytes(), []byte("\n")) >= u.lines {
		u.stop()
	}
	return n, err
}

func logsOf(t *testing.T, g *growingLog, lines int, args ...string) (out, errOut string, err error) {
	t.Helper()
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	o, e := &untilLines{lines: lines, stop: stop}, &bytes.Buffer{}
	root := newRoot()
	root.SetOut(o)
	root.SetErr(e)
	root.SetArgs(append([]string{"logs", "oven", "--gateway", server.URL, "--state", t.TempDir()}, args...))
	err = root.ExecuteContext(ctx)
	return o.String(), e.String(), err
}

func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

func TestLogEndsUnlessFollowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, numbered(0, 10)},
		{[]string{"--tail", "3"}, numbered(7, 10)},
		{[]string{"--lines", "3"}, numbered(7, 10)},
		{[]string{"--tail", "0"}, ""},
		{[]string{"--since", "2026-11-24T02:40:01.2Z"}, numbered(8, 10)},
		{[]string{"--since", "5m"}, ""},
		{[]string{"--instance", "oven-1", "--tail", "2", "--prefix"}, "[oven-1] line 9\n"},
		{[]string{"--tail", "1", "--timestamps"}, "2026-11-24T02:40:01.2Z line 9\n"},
		{[]string{"--tail", "1", "--json"},
			`{"name":"oven","namespace":"openfaas-fn","instance":"oven-1",` +
				`"timestamp":"2026-11-24T02:40:01.2Z","text":"line 9\n"}` + "\n"},
	} {
		out, _, err := logsOf(t, &growingLog{grow: 10}, 1000, c.args...)
		require.NoError(t, err)
		require.Equal(t, c.want, out, c.args)
	}
	_, _, err := logsOf(t, &growingLog{}, 1, "--since", "yesterday")
	require.ErrorContains(t, err, "want a duration such as 5m")
}

func TestFollowedLogContinuesWithoutDuplicates(t *testing.T) {
	t.Parallel()
	g := &growingLog{grow: 7}
	g.write(50)
	out, errOut, err := logsOf(t, g, 30, "--follow", "--tail", "5")
	require.NoError(t, err, "Ctrl-C is how it ends")
	require.Equal(t, numbered(52, 82), out[:len(numbered(52, 82))])
	require.Empty(t, errOut)
	require.Greater(t, len(g.asked), 3)
	require.True(t, g.asked[0].Follow)
	require.Nil(t, g.asked[0].Since)
	require.WithinDuration(t, g.lines[56].Timestamp, *g.asked[1].Since, 3*time.Second,
		"it does not ask for all again")
}

func TestFollowedLogSurvivesAGatewayRestart(t *testing.T) {
	t.Parallel()
	out, errOut, err := logsOf(t, &growingLog{grow: 4, refused: true}, 8, "-f")
	require.NoError(t, err)
	require.Equal(t, numbered(0, 8), out)
	require.Equal(t, "hearth: hearth is ending; retrying\n", errOut)
}

func TestLogsFollowUntilCtrlC(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	for _, text := range []string{"one", "two"} {
		_, err := n.run("invoke", "probe", "-d", "", "--query", "print="+text)
		require.NoError(t, err)
	}
	eventually(t, func() bool {
		text, err := n.run("logs", "probe")
		require.NoError(t, err)
		return strings.Contains(text, "one\n") && strings.Contains(text, "two\n")
	})
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	seen := make(chan string, 100)
	done := make(chan error, 1)
	root := newRoot()
	root.SetOut(lineWriter(seen))
	root.SetArgs([]string{"logs", "probe", "--follow", "--tail", "1", "--gateway", n.url(),
		"--state", n.cfg.State})
	go func() { done <- root.ExecuteContext(ctx) }()
	<-seen
	_, _ = n.do(http.MethodPost, "/function/probe?print=three", "")
	for line := ""; line != "three\n"; line = <-seen {
	}
	stop()
	require.NoError(t, <-done)
	_, err := n.run("logs", "prob")
	require.ErrorContains(t, err, "did you mean probe?")
}

// lineWriter is a standard output that sends each line to a channel.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) { w <- string(p); return len(p), nil }
