package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/child"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// ownRedis is a redis-server that a test may stop and kill. Like the private
// one, it writes to disk before it responds.
type ownRedis struct {
	*redis.Client
	t    *testing.T
	args []string
	cmd  *exec.Cmd
}

func newOwnRedis(t *testing.T, config ...string) *ownRedis {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs a redis-server in PATH: the in-memory one cannot be stopped, and is never full")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	require.NoError(t, l.Close())
	dir := t.TempDir()
	r := &ownRedis{t: t, args: append([]string{path, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--logfile", filepath.Join(dir, "log"),
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy",
		"noeviction"}, config...)}
	r.Client = redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, MaxRetries: -1})
	t.Cleanup(func() { r.kill(); _ = r.Close() })
	r.start()
	return r
}

func (r *ownRedis) start() {
	r.t.Helper()
	r.cmd = exec.Command(r.args[0], r.args[1:]...)
	require.NoError(r.t, child.Start(r.cmd, syscall.SIGKILL))
	eventually(r.t, func() bool { return r.Ping(context.Background()).Err() == nil })
}

func (r *ownRedis) signal(s syscall.Signal) { require.NoError(r.t, r.cmd.Process.Signal(s)) }

// kill ends it like a crash.
func (r *ownRedis) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// bounded is how long the response that Redis is unavailable may take: 3 s, with a margin for a slow machine.
const bounded = 8 * time.Second

// refused makes an async call and requires a prompt refusal in the format of RFC 9457.
func (n *testNode) refused(function, says string, headers ...string) {
	n.t.Helper()
	began := time.Now()
	res, text := n.do(http.MethodPost, "/async-function/"+function, "x", headers...)
	require.Equal(n.t, http.StatusServiceUnavailable, res.StatusCode, text)
	require.Equal(n.t, chain.ContentType, res.Header.Get("Content-Type"))
	require.NotEmpty(n.t, res.Header.Get("Retry-After"))
	require.Contains(n.t, text, says)
	require.Less(n.t, time.Since(began), bounded)
}

// answers makes a sync call and requires success.
func (n *testNode) answers(function string) {
	n.t.Helper()
	res, text := n.do(http.MethodPost, "/function/"+function, "hello")
	require.Equal(n.t, http.StatusOK, res.StatusCode, text)
	require.Equal(n.t, "hello", text)
}

// accepted waits until an async call is accepted.
func (n *testNode) accepted(function string) {
	n.t.Helper()
	eventually(n.t, func() bool {
		res, _ := n.do(http.MethodPost, "/async-function/"+function, "x")
		return res.StatusCode == http.StatusAccepted
	})
}

// drained waits until a function's queues are empty and requires that there are no dead letters.
func (n *testNode) drained(function string) {
	n.t.Helper()
	eventually(n.t, func() bool {
		for _, q := range n.queuesOf(function) {
			require.Zero(n.t, q.Dead, q.Name)
			if q.Waiting+q.Leased+q.Due+q.Delayed > 0 {
				return false
			}
		}
		return true
	})
}

func TestFullRedisRefusesCallsAndDrains(t *testing.T) {
	t.Parallel()
	r := newOwnRedis(t, "--maxmemory", "16mb")
	n := startTestNode(t, r.Client, t.TempDir())
	gate := filepath.Join(t.TempDir(), "open")
	n.deploy("probe", func(d *types.FunctionDeployment) {
		d.EnvVars["max_inflight"], d.EnvVars["write_timeout"] = "1", "1m"
	})
	n.deploy("awake")
	n.deploy("other", asleep)

	body := strings.Repeat("x", 64<<10)
	// calls wait for this file
	write := "/async-function/probe?write=" + filepath.Dir(gate) + "/%d&until=" + gate
	queued := 0
	var res *http.Response
	var text string
	for ; ; queued++ {
		require.Less(t, queued, 1000, "16 MB are never full")
		res, text = n.do(http.MethodPost, fmt.Sprintf(write, queued), body)
		if res.StatusCode != http.StatusAccepted {
			break
		}
	}
	require.Greater(t, queued, 10)
	// one function may use half of the memory
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode, text)
	for i := 0; ; i++ {
		require.Less(t, i, 1000, "16 MB are never full")
		if res, text = n.do(http.MethodPost, "/async-function/awake?write="+t.TempDir()+"/x&until="+gate,
			body); res.StatusCode != http.StatusAccepted {
			break
		}
	}
	// and all functions together nine tenths
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, text)
	n.deploy("one-more", asleep)
	chaintest.FullRedis{Client: r.Client}.Fill(t) // so that no call fits
	n.refused("other", "Redis is full")
	n.refused("other", "Redis is full", "Idempotency-Key", "k")
	n.refused("other", "Redis is full", "X-Callback-Url", "http://192.0.2.1/")
	n.answers("awake")
	n.answers("other")

	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	n.drained("probe")
	done, err := os.ReadDir(filepath.Dir(gate))
	require.NoError(t, err)
	require.Len(t, done, queued+1, "each was done, and the gate")
	n.accepted("probe")
	n.accepted("other")
	n.drained("probe")
	n.drained("other")
}

func TestStartWithAFullRedisDrainsIt(t *testing.T) {
	t.Parallel()
	r := newOwnRedis(t)
	state := t.TempDir()
	n := startTestNode(t, r.Client, state)
	n.deploy("probe", func(d *types.FunctionDeployment) { (*d.Annotations)["topic"] = "some.topic" })
	for range 3 {
		res, text := n.do(http.MethodPost, "/async-function/probe", "x", "X-Delay", "2s", "X-Callback-Url",
			"http://192.0.2.1/")
		require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	}
	n.end()
	require.NoError(t, r.ConfigSet(t.Context(), "maxmemory", "1").Err())
	n = startTestNode(t, r.Client, state)
	eventually(t, func() bool {
		for _, q := range n.queuesOf("probe") {
			if q.Name == "probe:calls" && q.Waiting+q.Leased+q.Due+q.Delayed > 0 {
				return false
			}
		}
		return true
	})
	n.refused("probe", "Redis is full")
}

func TestRedisOutageRefusesQueuedCallsAndRecovers(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]struct{ begin, end func(*ownRedis) }{
		"stands still": {func(r *ownRedis) { r.signal(syscall.SIGSTOP) },
			func(r *ownRedis) { r.signal(syscall.SIGCONT) }},
		"is killed": {(*ownRedis).kill, (*ownRedis).start},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newOwnRedis(t)
			n := startTestNode(t, r.Client, t.TempDir())
			const topic, calls = 2000, 100
			done := t.TempDir()
			n.deploy("probe", func(d *types.FunctionDeployment) { d.EnvVars["max_inflight"] = "2" })
			n.deploy("busy", onTopic("back.log"))
			for _, name := range []string{"first", "second", "third"} {
				n.deploy(name, asleep)
			}
			eventually(t, func() bool { return n.available("busy") == 1 })
			for i := range calls {
				res, text := n.do(http.MethodPost,
					fmt.Sprintf("/async-function/probe?write=%s/%d", done, i), "x")
				require.Equal(t, http.StatusAccepted, res.StatusCode, text)
			}
			pipe := r.Pipeline()
			for range topic {
				pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "{back}.log", Values: []string{"body", "x"}})
			}
			_, err := pipe.Exec(t.Context())
			require.NoError(t, err)
			eventually(t, func() bool { return r.XLen(t.Context(), "{back}.log").Val() < topic*9/10 })

			outage.begin(r) // during deliveries, calls and settling
			n.answers("probe")
			n.refused("probe", "Redis is unavailable")
			n.answers("first")
			n.refused("probe", "Redis is unavailable", "Idempotency-Key", "k")
			// the first callback of a function is more work in Redis
			n.refused("second", "Redis is unavailable", "X-Callback-Url", "http://192.0.2.1/")
			n.answers("second")
			n.answers("third")
			outage.end(r)
			back := time.Now()

			n.accepted("probe")
			n.accepted("second")
			n.drained("probe")
			n.drained("second")
			eventually(t, func() bool { return r.XLen(t.Context(), "{back}.log").Val() == 0 })
			n.drained("busy")
			files, err := os.ReadDir(done)
			require.NoError(t, err)
			require.Len(t, files, calls)
			t.Logf("all was done %v after Redis was back", time.Since(back))
		})
	}
}

func TestStartWaitsForRedis(t *testing.T) {
	t.Parallel()
	r := newOwnRedis(t)
	url := chaintest.URL(r.Client)
	r.kill()
	log, opened := &told{}, make(chan error, 1)
	go func() {
		c, err := openRedis(t.Context(), url, time.Minute, slog.New(slog.NewTextHandler(log, nil)))
		if err == nil {
			err = c.Close()
		}
		opened <- err
	}()
	eventually(t, func() bool { return strings.Contains(log.String(), "waiting for Redis") })
	r.start()
	require.NoError(t, <-opened)
	require.Equal(t, 1, strings.Count(log.String(), "waiting"), "it is said once")
}

func TestStartFailsAtOnceOnAWrongPassword(t *testing.T) {
	t.Parallel()
	r := newOwnRedis(t)
	require.NoError(t, r.ConfigSet(t.Context(), "requirepass", "right").Err())
	_, err := openRedis(t.Context(), strings.Replace(chaintest.URL(r.Client), "://", "://:wrong@", 1),
		time.Hour, slog.New(slog.DiscardHandler))
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.ErrorContains(t, err, "refuses")
}
