package router_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/backlog"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

// Calls that surely did not run are held, and given to another replica.

// door is a replica whose process never accepts: calls wait in its socket.
func door(t *testing.T) (hearth.Replica, *net.UnixListener) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return hearth.Replica{ID: "door", Address: "unix://" + path, Accepting: true}, l
}

// parts is a body that cannot be had again, and comes part by part.
func parts(t *testing.T, parts ...string) (body io.Reader, sent chan struct{}) {
	r, w := io.Pipe()
	sent = make(chan struct{}, len(parts))
	go func() {
		for _, p := range parts {
			_, err := io.WriteString(w, p)
			if err != nil {
				t.Error(err)
			}
			sent <- struct{}{}
		}
		_ = w.Close()
	}()
	return r, sent
}

func TestCallThatNoProcessAcceptedGoesToAnother(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	tests := map[string]struct {
		parts []string // of a body that cannot be had again
		sent  int      // how many of them the socket has taken
		body  string
	}{
		"no body":                       {},
		"a body that can be had again":  {body: "dough"},
		"a streamed body, half sent":    {parts: []string{"dou", "gh"}, sent: 1},
		"a streamed body, all sent":     {parts: []string{"dou", "gh"}, sent: 2},
		"a long streamed body":          {parts: []string{long, long, long, long}, sent: 3},
		"a streamed body, nothing sent": {parts: []string{"dough"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := router.New(router.Config{})
			r.Set(function(1))
			replica, l := door(t)
			replica.Calls = &hearth.Calls{}
			r.Update(oven, []hearth.Replica{replica})
			req := (&http.Request{
				Method: http.MethodPost,
				URL:    &url.URL{Path: "/p"},
				Header: http.Header{},
			}).WithContext(t.Context())
			var sent chan struct{}
			if tt.body != "" {
				req.GetBody = func() (io.ReadCloser, error) {
					return io.NopCloser(strings.NewReader(tt.body)), nil
				}
				req.Body, _ = req.GetBody()
				req.ContentLength = int64(len(tt.body))
			} else if tt.parts != nil {
				var body io.Reader
				body, sent = parts(t, tt.parts...)
				req.Body, req.ContentLength = io.NopCloser(body), -1
			}
			type result struct {
				text string
				err  error
			}
			answered := make(chan result, 1)
			go func() {
				res, err := r.RoundTrip(oven, req)
				if err != nil {
					answered <- result{err: err}
					return
				}
				text, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				answered <- result{string(text), err}
			}()
			eventually(t, func() bool { return loadOf(r).InFlight == 1 })
			for range tt.sent {
				<-sent
			}
			require.NoError(t, backlog.Close(l)) // its process has ended
			eventually(t, func() bool { return loadOf(r).Held == 1 })
			replica.Calls.Wait(t.Context(), nil)
			require.Zero(t, replica.Calls.Served())
			r.Update(oven, []hearth.Replica{serve(t, "other", answers("other"))})
			got := <-answered
			require.NoError(t, got.err)
			require.Equal(t, "other POST /p "+tt.body+strings.Join(tt.parts, ""), got.text)
		})
	}
}

// TestCallThatNoProcessAcceptsInTimeIsUnavailable: it surely did not run.
func TestCallThatNoProcessAcceptsInTimeIsUnavailable(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{Hold: 100 * time.Millisecond})
	r.Set(function(1))
	replica, l := door(t)
	r.Update(oven, []hearth.Replica{replica})
	failed := make(chan error, 1)
	go func() { _, err := call(t.Context(), r, "x"); failed <- err }()
	eventually(t, func() bool { return loadOf(r).InFlight == 1 })
	require.NoError(t, backlog.Close(l))
	err := <-failed
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err), err)
}

// TestAProcessThatAcceptedMayHaveRunTheCall, though it was not known to be ready.
func TestAProcessThatAcceptedMayHaveRunTheCall(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	replica, l := door(t)
	r.Update(oven, []hearth.Replica{replica})
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
	}()
	_, err := call(t.Context(), r, "x")
	require.Equal(t, hearth.BadGateway, hearth.CodeOf(err), err)
}

// TestSoleReplicaThatIsDeadHoldsCalls until it is back, whether the router knows already that it is dead or
// not.
func TestSoleReplicaThatIsDeadHoldsCalls(t *testing.T) {
	tests := map[string]func(hearth.Replica) hearth.Replica{
		"it refuses connections": func(r hearth.Replica) hearth.Replica { return r },
		"it is known to be dead": func(r hearth.Replica) hearth.Replica {
			r.Accepting, r.Ready = false, false
			return r
		},
		"it has crashed often": func(r hearth.Replica) hearth.Replica {
			r.Accepting, r.Ready, r.Failing = false, false, "exit code 3"
			return r
		},
	}
	for name, die := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := router.New(router.Config{})
			r.Set(function(1))
			path := filepath.Join(t.TempDir(), "s")
			replica := hearth.Replica{
				ID:        "one",
				Address:   "unix://" + path,
				Accepting: true,
				Ready:     true,
				Proven:    true,
				Started:   time.Now(),
			}
			r.Update(oven, []hearth.Replica{die(replica)})
			var calls sync.WaitGroup
			for range 5 {
				calls.Go(func() {
					if _, err := call(t.Context(), r, "x"); err != nil {
						t.Error(err)
					}
				})
			}
			eventually(t, func() bool { return loadOf(r).Held == 5 })
			serveAt(t, path, answers("one"))
			replica.Started = time.Now()
			r.Update(oven, []hearth.Replica{replica})
			calls.Wait()
		})
	}
}

func TestReplicaThatEndsIsWaitedForUntilItsCallsAreOver(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	one := newBusy(t, "one")
	one.Calls = &hearth.Calls{}
	r.Update(oven, []hearth.Replica{one.Replica})
	ended := make(chan error, 1)
	go func() { _, err := call(t.Context(), r, "x"); ended <- err }()
	eventually(t, func() bool { return one.now.Load() == 1 })
	r.Update(oven, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	one.Calls.Wait(ctx, nil) // not for longer than it may
	idle := make(chan struct{})
	go func() { one.Calls.Wait(t.Context(), nil); close(idle) }()
	select {
	case <-idle:
		t.Fatal("the call is not over")
	case <-time.After(20 * time.Millisecond):
	}
	close(one.let)
	<-idle
	require.NoError(t, <-ended)
	require.EqualValues(t, 1, one.Calls.Served())
}

// TestAnswersWithoutAnEndAreNotWaitedFor: a stream may last for ever.
func TestAnswersWithoutAnEndAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	one := serve(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	one.Calls = &hearth.Calls{}
	r.Update(oven, []hearth.Replica{one})
	req := (&http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Path: "/"},
		Header: http.Header{"Accept": {"text/event-stream"}},
	}).WithContext(t.Context())
	res, err := r.Forward(oven, req, router.Open{Stream: true})
	require.NoError(t, err)
	one.Calls.Wait(t.Context(), nil)
	require.EqualValues(t, 1, one.Calls.Served())
	require.NoError(t, res.Body.Close())
	require.EqualValues(t, 1, one.Calls.Served())
}

// TestCallsThatWaitForAStartAreLimited, before there is a replica and while it starts.
func TestCallsThatWaitForAStartAreLimited(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{MaxHeld: 2, Wake: func(hearth.Name) {}})
	r.Set(function(0))
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for i := range 2 {
		calls.Go(func() { _ = shed(ctx, r) })
		eventually(t, func() bool { return loadOf(r).Held == i+1 })
	}
	err := shed(t.Context(), r)
	require.Equal(t, hearth.Exhausted, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "2 calls wait for one already")
	calls.Go(func() { _, _ = call(ctx, r, "") })
	eventually(t, func() bool { return loadOf(r).Held == 3 }) // a queued call is never turned away

	r.Set(function(1))
	replica, _ := door(t)
	r.Update(oven, []hearth.Replica{replica})
	eventually(t, func() bool { return loadOf(r).InFlight == 2 && loadOf(r).Held == 1 })
	calls.Go(func() { _ = shed(ctx, r) })
	eventually(t, func() bool { return loadOf(r).Held == 2 })
	err = shed(t.Context(), r)
	require.Equal(t, hearth.Exhausted, hearth.CodeOf(err), err)
	cancel()
	calls.Wait()
}
