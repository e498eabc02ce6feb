package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/child"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// ownRedis is a redis-server that a test may stop and kill. It writes to disk before it answers, as the private one does.
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
	r := &ownRedis{t: t, args: append([]string{path, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--logfile", filepath.Join(dir, "log"),
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"}, config...)}
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

// kill ends it as a crash does.
func (r *ownRedis) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

func TestMeasure(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		r := newOwnRedis(t)
		n := startTestNode(t, r.Client, t.TempDir())
		n.deploy("probe")
		n.deploy("asleep", func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" })
		n.deploy("asleep2", func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" })
		n.deploy("slow", onTopic("back.log"), func(d *types.FunctionDeployment) { d.EnvVars["max_inflight"] = "2"; d.EnvVars["V"] = "1" })
		for range 300 {
			require.NoError(t, r.XAdd(t.Context(), &redis.XAddArgs{Stream: "{back}.log", Values: []string{"body", "x"}}).Err())
		}
		for i := range 300 {
			res, text := n.do(http.MethodPost, fmt.Sprintf("/async-function/slow?sleep=%dms", 20), fmt.Sprint(i))
			require.Equal(t, 202, res.StatusCode, text)
		}
		for _, q := range n.queuesOf("slow") {
			t.Logf("%+v", q)
		}
		timed := func(what, path string, headers ...string) {
			began := time.Now()
			res, text := n.do(http.MethodPost, path, "x", headers...)
			t.Logf("%s: %-30s %d in %v %s", how, what, res.StatusCode, time.Since(began), text)
		}
		if how == "stop" {
			r.signal(syscall.SIGSTOP)
		} else {
			r.kill()
		}
		timed("sync", "/function/probe")
		timed("async", "/async-function/probe")
		timed("async", "/async-function/probe")
		timed("sync wake", "/function/asleep")
		timed("async key", "/async-function/probe", "Idempotency-Key", "k")
		timed("async callback", "/async-function/probe", "X-Callback-Url", "http://127.0.0.1:1/")
		timed("sync wake", "/function/asleep2")
		timed("async after wake", "/async-function/asleep2", "X-Callback-Url", "http://127.0.0.1:1/")
		began := time.Now()
		if how == "stop" {
			r.signal(syscall.SIGCONT)
		} else {
			r.start()
		}
		timed("async back", "/async-function/probe")
		require.Eventually(t, func() bool {
			for _, q := range n.queuesOf("slow") {
				if q.Waiting+q.Leased+q.Due > 0 {
					return false
				}
			}
			return true
		}, 90*time.Second, 50*time.Millisecond)
		f, err := n.client.GetFunction(t.Context(), "slow", "")
		require.NoError(t, err)
		t.Logf("%s: %v calls made", how, f.InvocationCount)
		t.Logf("%s: all settled in %v", how, time.Since(began))
		n.end()
	}
}
