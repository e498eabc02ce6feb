package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Two instances on one Redis.

// told is a log for tests to read.
type told struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *told) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *told) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *told) config(cfg *nodeConfig) { cfg.Log = slog.New(slog.NewTextHandler(l, nil)) }

// errors returns the lines of errors.
func (l *told) errors() (lines []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, "level=ERROR") {
			lines = append(lines, line)
		}
	}
	return lines
}

// twoNodes starts two instances on one empty Redis and returns their logs.
func twoNodes(t *testing.T) (a, b *testNode, log *told) {
	t.Helper()
	raw, log := chaintest.Redis(t), &told{}
	a, b = startTestNode(t, raw, t.TempDir(), log.config, callbacksHere), startTestNode(t, raw, t.TempDir(),
		log.config, callbacksHere)
	return a, b, log
}

// says waits until a function responds with a text.
func (n *testNode) says(query, want string) {
	n.t.Helper()
	eventually(n.t, func() bool {
		_, text := n.do(http.MethodPost, "/function/probe?"+query,
			"")
		return text == want
	})
}

func env(v string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { d.EnvVars["V"] = v }
}

func (n *testNode) update(change ...func(*types.FunctionDeployment)) {
	n.t.Helper()
	d := types.FunctionDeployment{
		Service:     "probe",
		Image:       probeImage,
		EnvVars:     map[string]string{"write_timeout": "5s"},
		Labels:      &map[string]string{},
		Annotations: &map[string]string{},
	}
	for _, c := range change {
		c(&d)
	}
	status, err := n.client.Update(n.t.Context(), d)
	require.NoError(n.t, err)
	require.Equal(n.t, http.StatusOK, status)
}

func TestOtherInstanceFollowsDeploymentsUpdatesAndRemovals(t *testing.T) {
	t.Parallel()
	a, b, log := twoNodes(t)
	a.deploy("probe", env("1"), onTopic("shop.opened"))
	b.says("env=V", "1")
	b.update(env("2"), onTopic("shop.closed"))
	b.says("env=V", "2")
	a.says("env=V", "2")
	for _, n := range []*testNode{a, b} {
		require.Len(t, n.queuesOf("probe"), 2, "its calls, and the new topic")
		for range 5 {
			res, _ := n.do(http.MethodPost, "/async-function/probe", "x")
			require.Equal(t, http.StatusAccepted, res.StatusCode)
		}
	}
	n := a.raw.Exists(t.Context(), "{shop}.opened").Val()
	require.Zero(t, n, "nobody reads it any more")
	a.put("{shop}.closed")
	eventually(t, func() bool { return a.raw.XLen(t.Context(), "{shop}.closed").Val() == 0 })

	require.NoError(t, a.client.ScaleFunction(t.Context(), "probe", "", 3))
	eventually(t, func() bool { return a.available("probe") == 3 })
	require.EqualValues(t, 1, b.available("probe"), "each has replicas of its own")

	status, err := b.client.Deploy(t.Context(), types.FunctionDeployment{Service: "probe", Image: probeImage})
	require.Error(t, err)
	require.Equal(t, http.StatusConflict, status)
	require.NoError(t, b.client.DeleteFunction(t.Context(), "probe", ""))
	eventually(t, func() bool {
		res, _ := a.do(http.MethodPost, "/function/probe", "")
		return res.StatusCode == http.StatusNotFound
	})
	eventually(t, func() bool { return len(a.queuesOf("probe")) == 0 })
	require.Zero(t, a.raw.Exists(t.Context(), "{shop}.closed", "{fn:probe.openfaas-fn}.calls").Val())
	a.deploy("probe", env("3"))
	b.says("env=V", "3")
	require.Empty(t, log.errors())
}

// TestConcurrentChangesConverge: both instances follow the last change, and the function has its queues.
func TestConcurrentChangesConverge(t *testing.T) {
	t.Parallel()
	a, b, log := twoNodes(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var changers, callers sync.WaitGroup
	for _, n := range []*testNode{a, b} {
		changers.Go(func() {
			for i := range 15 {
				d := types.FunctionDeployment{Service: "probe", Image: probeImage,
					EnvVars:     map[string]string{"write_timeout": "5s", "V": fmt.Sprint(i)},
					Annotations: &map[string]string{"topic": fmt.Sprint("shop.t", rand.IntN(2))}}
				switch rand.IntN(3) {
				case 0:
					_ = n.client.DeleteFunction(ctx, "probe", "")
				case 1:
					_, _ = n.client.Deploy(ctx, d)
				default:
					_, _ = n.client.Update(ctx, d)
				}
			}
		})
		callers.Go(func() {
			for ctx.Err() == nil {
				n.do(http.MethodPost, "/async-function/probe", "x")
				n.do(http.MethodPost, "/function/probe", "x")
			}
		})
	}
	changers.Wait()
	stop()
	callers.Wait()
	_, _ = a.client.Deploy(t.Context(), types.FunctionDeployment{Service: "probe", Image: probeImage})
	b.update(env("last"), onTopic("shop.t2"))
	a.says("env=V", "last")
	b.says("env=V", "last")
	for _, n := range []*testNode{a, b} {
		res, text := n.do(http.MethodPost, "/async-function/probe", "x")
		require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	}
	a.put("{shop}.t2")
	eventually(t, func() bool {
		for _, q := range a.queuesOf("probe") {
			if q.Waiting+q.Leased+q.Due+q.Delayed > 0 {
				return false
			}
		}
		return true
	})
	require.Len(t, a.queuesOf("probe"), 2)
	require.Empty(t, log.errors())
}

// cutter is a proxy in front of Redis that can be cut.
type cutter struct {
	net.Listener
	t     *testing.T
	to    *redis.Options
	mu    sync.Mutex
	off   bool
	conns []net.Conn
}

func newCutter(t *testing.T, raw *redis.Client) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{Listener: l, t: t, to: raw.Options()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			out, err := net.Dial(c.to.Network, c.to.Addr)
			if c.off || err != nil {
				_ = in.Close()
			} else {
				c.conns = append(c.conns, in, out)
				go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			}
			c.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); c.cut(true) })
	return c
}

func (c *cutter) cut(off bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func TestDeploymentDuringARedisOutageIsFollowed(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	line := newCutter(t, raw)
	a := startTestNode(t, raw, t.TempDir())
	b := startTestNode(t, raw, t.TempDir(), func(cfg *nodeConfig) {
		cfg.RedisURL = fmt.Sprintf("redis://%s/%d", line.Addr(), raw.Options().DB)
	})
	a.deploy("probe", env("1"))
	a.deploy("other")
	b.says("env=V", "1")
	eventually(t, func() bool {
		res, _ := b.do(http.MethodPost, "/function/other", "")
		return res.StatusCode == http.StatusOK
	})
	line.cut(true)
	b.says("env=V", "1")
	a.update(env("2"))
	require.NoError(t, a.client.DeleteFunction(t.Context(), "other", ""))
	a.deploy("third")
	require.NoError(t, a.raw.Del(t.Context(), "{hearth}:changes").Err(), "and nobody tells")
	res, _ := b.do(http.MethodPost, "/function/other", "")
	require.Equal(t, http.StatusOK, res.StatusCode, "it cannot know")
	line.cut(false)
	b.says("env=V", "2")
	eventually(t, func() bool {
		res, _ := b.do(http.MethodPost, "/function/third", "")
		return res.StatusCode == http.StatusOK
	})
	eventually(t, func() bool {
		res, _ := b.do(http.MethodPost, "/function/other", "")
		return res.StatusCode == http.StatusNotFound
	})
}

func TestRedisThatLostItsDataIsRestored(t *testing.T) {
	t.Parallel()
	a, b, log := twoNodes(t)
	for _, name := range []string{"probe", "two", "three"} {
		a.deploy(name, onTopic("shop.opened"))
	}
	eventually(t, func() bool { return len(b.registry.All()) == 3 })
	require.NoError(t, a.raw.FlushDB(t.Context()).Err())
	b.update(env("new"), onTopic("shop.opened"))
	a.says("env=V", "new")
	eventually(t, func() bool { return a.raw.HLen(t.Context(), "{hearth}:functions").Val() == 3 })
	for _, n := range []*testNode{a, b} {
		require.Len(t, n.registry.All(), 3, "none is removed")
		for _, name := range []string{"probe", "two", "three"} {
			eventually(t, func() bool {
				res, _ := n.do(http.MethodPost, "/async-function/"+name, "x")
				return res.StatusCode == http.StatusAccepted
			})
		}
	}
	a.put("{shop}.opened")
	eventually(t, func() bool { return a.raw.XLen(t.Context(), "{shop}.opened").Val() == 0 })
	require.Contains(t, log.String(), "Redis has lost its data")
}

func TestInstanceWithoutTheImageLeavesQueuedCallsToTheOther(t *testing.T) {
	t.Parallel()
	raw, log, state := chaintest.Redis(t), &told{}, t.TempDir()
	a, b := startTestNode(t, raw, t.TempDir()), startTestNode(t, raw, state, log.config)
	a.deploy("probe", env("1"))
	b.says("env=V", "1")
	require.NoError(t, processImages(a.cfg.State).Put(t.Context(), "test/only:here", providertest.Probe(t)))
	a.update(env("2"), func(d *types.FunctionDeployment) { d.Image = "test/only:here" })
	var text string
	eventually(t, func() bool {
		var res *http.Response
		res, text = b.do(http.MethodPost, "/function/probe?env=V", "")
		return res.StatusCode == http.StatusServiceUnavailable
	})
	require.Contains(t, text, "image test/only:here was not built on this machine")
	require.Contains(t, log.String(), "image test/only:here was not built on this machine")
	for i := range 40 {
		res, _ := []*testNode{a, b}[i%2].do(http.MethodPost, "/async-function/probe", "x")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool {
		q := a.queuesOf("probe")
		return len(q) == 1 && q[0].Waiting+q[0].Leased+q[0].Due+q[0].Delayed+q[0].Dead == 0
	})
	f, err := b.client.GetFunction(t.Context(), "probe", "")
	require.NoError(t, err)
	before := f.InvocationCount

	require.NoError(t, processImages(state).Put(t.Context(), "test/only:here", providertest.Probe(t)))
	b.says("env=V", "2")
	a.end()
	for range 10 {
		res, _ := b.do(http.MethodPost, "/async-function/probe", "x")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool {
		f, err := b.client.GetFunction(t.Context(), "probe", "")
		return err == nil && f.InvocationCount >= before+11
	})
}

func TestCopyOfAStateDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	raw, state, again := chaintest.Redis(t), t.TempDir(), t.TempDir()
	a := startTestNode(t, raw, state)
	name, err := os.ReadFile(filepath.Join(state, "instance"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(again, "instance"), name, 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, err = startNode(t.Context(), nodeConfig{State: again, RedisURL: chaintest.URL(raw), Listener: l,
		Log: slog.New(slog.DiscardHandler)})
	require.Equal(t, hearth.Conflict, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "state directory "+state)
	a.end()
	b := startTestNode(t, raw, again)
	require.Equal(t, a.instance, b.instance)
}

func TestOtherInstanceFinishesAbandonedCalls(t *testing.T) {
	t.Parallel()
	a, b, log := twoNodes(t)
	var mu sync.Mutex
	open, got := false, map[string]int{}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !open {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		got[r.Header.Get("X-Call-Id")]++
	}))
	defer listener.Close()
	a.deploy("probe")
	eventually(t, func() bool { return len(b.registry.All()) == 1 })
	res, _ := a.do(http.MethodPost, "/async-function/probe", "x", "X-Callback-Url", listener.URL,
		"X-Call-Id", "one")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool {
		for _, q := range a.queuesOf("probe") {
			if q.Name == "probe:callbacks" && q.Due == 1 {
				return true
			}
		}
		return false
	})
	// One call that instance a aborts as it stops, and one whose function was removed.
	res, _ = a.do(http.MethodPost, "/async-function/probe?sleep=300ms", "", "X-Callback-Url", listener.URL,
		"X-Call-Id", "two")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	a.closed = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = a.close(ctx)
	mu.Lock()
	open = true
	mu.Unlock()
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return got["one"] == 1 && got["two"] == 1 })
	require.NoError(t, b.client.DeleteFunction(t.Context(), "probe", ""))
	eventually(t, func() bool { return len(b.queuesOf("probe")) == 0 })
	require.Empty(t, log.errors())
}

// TestQueueOutlivesCallsOfTheOtherInstance: the calls in flight at a removal are
// settled before the queue goes.
func TestQueueOutlivesCallsOfTheOtherInstance(t *testing.T) {
	t.Parallel()
	a, b, log := twoNodes(t)
	a.deploy("probe", onTopic("shop.opened"))
	eventually(t, func() bool { return len(b.registry.All()) == 1 })
	for range 20 {
		res, _ := a.do(http.MethodPost, "/async-function/probe?sleep=200ms", "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool {
		q := a.queuesOf("probe")
		return q[0].Waiting == 0 && b.load("probe") > 0
	})
	require.NoError(t, a.client.DeleteFunction(t.Context(), "probe", ""))
	eventually(t, func() bool { return len(a.queuesOf("probe")) == 0 })
	require.Empty(t, log.errors())
}

func (n *testNode) load(name string) int {
	load, _ := n.router.Load(hearth.Name{Function: name, Namespace: hearth.DefaultNamespace})
	return load.InFlight
}
