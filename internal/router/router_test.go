package router_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

var oven = hearth.Name{Function: "oven", Namespace: "openfaas-fn"}

func function(replicas int, env ...string) hearth.Function {
	f := hearth.Function{Replicas: replicas}
	f.Service, f.Namespace, f.EnvVars = oven.Function, oven.Namespace, map[string]string{}
	for i := 0; i < len(env); i += 2 {
		f.EnvVars[env[i]] = env[i+1]
	}
	return hearthtest.Parse(f)
}

// serve is a replica that answers with a handler.
func serve(t *testing.T, id string, h http.HandlerFunc) hearth.Replica {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	serveAt(t, path, h)
	return hearth.Replica{ID: id, Address: "unix://" + path, Accepting: true, Ready: true}
}

func serveAt(t *testing.T, path string, h http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(h)
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
}

func answers(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", id, r.Method, r.URL.RequestURI(), body)
	}
}

func call(ctx context.Context, r *router.Router, body string) (string, error) {
	req := (&http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Path: "/p", RawQuery: "q"},
		Header: http.Header{},
	}).WithContext(ctx)
	if body != "" {
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	res, err := r.RoundTrip(oven, req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.Header.Get(router.HeaderReplica) + ": " + string(text), err
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, time.Millisecond)
}

func TestCallGoesToAReplicaAndBack(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	_, err := call(t.Context(), r, "")
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
	r.Set(function(1))
	r.Update(oven, []hearth.Replica{serve(t, "one", answers("one"))})
	text, err := call(t.Context(), r, "body")
	require.NoError(t, err)
	require.Equal(t, "one: one POST /p?q body", text)
	load, ok := r.Load(oven)
	require.True(t, ok)
	require.Positive(t, load.BusyTime)
	require.Equal(t, load.BusyTime, load.LoadTime, "it did not wait")
	require.Greater(t, load.ReplicaTime, load.BusyTime)
	load.ReplicaTime, load.BusyTime, load.LoadTime = 0, 0, 0
	require.Equal(t, router.Load{Calls: 1, Known: 1, Available: 1, Proven: true}, load)
}

func TestReplicaGetsItsAddressWhenItIsReady(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	ready := serve(t, "a", answers("a"))
	r.Update(oven, []hearth.Replica{{ID: "a"}})
	r.Update(oven, []hearth.Replica{ready})
	text, err := call(t.Context(), r, "x")
	require.NoError(t, err)
	require.Equal(t, "a: a POST /p?q x", text)
}

func TestLeastBusyReplicaTakesTheCall(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(3))
	release := make(chan struct{})
	var busy [3]atomic.Int32
	var list []hearth.Replica
	for i := range busy {
		list = append(list, serve(t, fmt.Sprint(i), func(http.ResponseWriter, *http.Request) {
			busy[i].Add(1)
			<-release
		}))
	}
	r.Update(oven, list)
	var calls sync.WaitGroup
	for range 9 {
		before := busy[0].Load() + busy[1].Load() + busy[2].Load()
		calls.Go(func() { _, _ = call(context.Background(), r, "") })
		eventually(t, func() bool { return busy[0].Load()+busy[1].Load()+busy[2].Load() > before })
	}
	for i := range busy {
		require.EqualValues(t, 3, busy[i].Load())
	}
	require.Equal(t, 3*32, r.Room(oven))
	close(release)
	calls.Wait()
	eventually(t, func() bool { l, _ := r.Load(oven); return l.InFlight == 0 })
}

func TestReadyReplicasArePreferred(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(2))
	starting, ready := serve(t, "starting", answers("starting")), serve(t, "ready", answers("ready"))
	starting.Ready = false
	r.Update(oven, []hearth.Replica{starting, ready})
	for range 5 {
		text, err := call(t.Context(), r, "")
		require.NoError(t, err)
		require.Contains(t, text, "ready: ")
	}
	r.Update(oven, []hearth.Replica{starting})
	text, err := call(t.Context(), r, "")
	require.NoError(t, err, "one that starts takes calls too, if there is no other")
	require.Contains(t, text, "starting: ")
}

func TestFunctionAtZeroIsWokenOnceAndCallsAreHeld(t *testing.T) {
	t.Parallel()
	var wakes atomic.Int32
	var r *router.Router
	replica := serve(t, "one", answers("one"))
	woken := make(chan struct{})
	r = router.New(router.Config{Wake: func(n hearth.Name) {
		wakes.Add(1)
		<-woken
		r.Set(function(1))
		r.Update(n, []hearth.Replica{replica})
	}})
	r.Set(function(0))
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if _, err := call(t.Context(), r, ""); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, func() bool { l, _ := r.Load(oven); return l.Held == 20 })
	close(woken)
	calls.Wait()
	require.EqualValues(t, 1, wakes.Load())
}

// TestTimeIsCounted: three calls are held for a while, and then run together for a while.
func TestTimeIsCounted(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	load := func() router.Load { l, _ := r.Load(oven); return l }
	began := time.Now()
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() { _, _ = call(t.Context(), r, "") })
	}
	eventually(t, func() bool { return load().Held == 3 })
	held := time.Now()
	eventually(t, func() bool { return time.Since(held) > 5*time.Millisecond })
	l := load()
	require.Zero(t, l.BusyTime)
	require.GreaterOrEqual(t, l.LoadTime, 15*time.Millisecond)
	require.LessOrEqual(t, l.LoadTime, 3*time.Since(began))

	release := make(chan struct{})
	r.Update(oven, []hearth.Replica{serve(t, "one", func(http.ResponseWriter, *http.Request) { <-release })})
	eventually(t, func() bool { return load().InFlight == 3 })
	require.Zero(t, load().Ending)
	taken := time.Now()
	eventually(t, func() bool { return time.Since(taken) > 5*time.Millisecond })
	require.GreaterOrEqual(t, load().BusyTime, 15*time.Millisecond)
	r.Update(oven, nil)
	require.Equal(t, 3, load().InFlight, "a replica that ends still has its calls")
	require.Equal(t, 3, load().Ending)
	close(release)
	calls.Wait()
	eventually(t, func() bool { return load().InFlight == 0 })
	before := load()
	require.Equal(t, before, load(), "nothing is counted while there is nothing")
	require.LessOrEqual(t, before.LoadTime, 3*time.Since(began))
	require.Greater(t, before.LoadTime, before.BusyTime)
}

func TestHeldCallEndsWithAReason(t *testing.T) {
	tests := map[string]struct {
		config router.Config
		end    func(r *router.Router, cancel func())
		code   hearth.Code
		says   string
	}{
		"nobody came": {router.Config{Hold: 50 * time.Millisecond}, func(*router.Router, func()) {},
			hearth.Unavailable, "the call did not run"},
		"it was removed": {router.Config{}, func(r *router.Router, _ func()) {
			r.Delete(oven)
		}, hearth.NotFound, "removed"},
		"it cannot start": {router.Config{}, func(r *router.Router, _ func()) {
			r.Update(oven, []hearth.Replica{{Failing: "no flour"}})
		}, hearth.Unavailable, "cannot start"},
		"no waking": {router.Config{}, func(r *router.Router, _ func()) {
			r.WakeFailed(oven, hearth.Errorf(hearth.Invalid, "no image"))
		}, hearth.Unavailable, "no image"},
		"the caller left": {router.Config{}, func(_ *router.Router, cancel func()) {
			cancel()
		}, hearth.Internal, "context canceled"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := router.New(tt.config)
			r.Set(function(1))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() { _, err := call(ctx, r, ""); failed <- err }()
			eventually(t, func() bool { l, _ := r.Load(oven); return l.Held == 1 || len(failed) == 1 })
			tt.end(r, cancel)
			err := <-failed
			require.Equal(t, tt.code, hearth.CodeOf(err), err)
			require.ErrorContains(t, err, tt.says)
			require.NotContains(t, hearth.MessageOf(err), "no flour",
				"what the function has printed is for its operator")
		})
	}
}

func TestWakingIsTriedAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	var wakes atomic.Int32
	var r *router.Router
	replica := serve(t, "one", answers("one"))
	r = router.New(router.Config{Wake: func(n hearth.Name) {
		if wakes.Add(1) == 1 {
			r.WakeFailed(n, errors.New("not now"))
			return
		}
		r.Set(function(1))
		r.Update(n, []hearth.Replica{replica})
	}})
	r.Set(function(0))
	_, err := call(t.Context(), r, "")
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))
	eventually(t, func() bool { _, err := call(t.Context(), r, ""); return err == nil })
	require.EqualValues(t, 2, wakes.Load(), "the calls in between did not hammer")
}

func TestDeadAddressIsSkippedForAnother(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{Hold: 50 * time.Millisecond, Wake: func(hearth.Name) {
		t.Error("a failed dial must not start replicas")
	}})
	r.Set(function(2))
	gone := hearth.Replica{
		ID:        "gone",
		Address:   "unix://" + filepath.Join(t.TempDir(), "nobody"),
		Accepting: true,
		Ready:     true,
	}
	r.Update(oven, []hearth.Replica{gone})
	_, err := call(t.Context(), r, "")
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err), err)

	r.Update(oven, []hearth.Replica{gone, serve(t, "one", answers("one"))})
	for range 10 {
		text, err := call(t.Context(), r, "body")
		require.NoError(t, err)
		require.Equal(t, "one: one POST /p?q body", text)
	}
}

func TestReplicaThatClosesTheConnection(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	r.Update(oven, []hearth.Replica{serve(t, "one", func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})})
	_, err := call(t.Context(), r, "body")
	require.Equal(t, hearth.BadGateway, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "may have run")
}

// TestCallThatCrashesItsReplica: by the time that the call has failed, the provider may have told that the
// replica is down.
func TestCallThatCrashesItsReplica(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	var replica hearth.Replica
	replica = serve(t, "one", func(http.ResponseWriter, *http.Request) {
		down := replica
		down.Ready = false
		r.Update(oven, []hearth.Replica{down})
		panic(http.ErrAbortHandler)
	})
	r.Update(oven, []hearth.Replica{replica})
	_, err := call(t.Context(), r, "body")
	require.Equal(t, hearth.BadGateway, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "may have run")
}

func TestTimeoutEndsTheCall(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1, "exec_timeout", "1ms"))
	ended := make(chan struct{})
	r.Update(oven, []hearth.Replica{serve(t, "one", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	})})
	_, err := call(t.Context(), r, "")
	require.Equal(t, hearth.Timeout, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "exec_timeout")
	<-ended
}

func TestFunctionSeesThatItsCallerLeft(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1))
	began, ended := make(chan struct{}), make(chan struct{})
	r.Update(oven, []hearth.Replica{serve(t, "one", func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	_, err := call(ctx, r, "")
	require.ErrorIs(t, err, context.Canceled)
	<-ended
	eventually(t, func() bool { l, _ := r.Load(oven); return l.InFlight == 0 })
}
