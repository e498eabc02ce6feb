package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// runAnswering runs a command with an answer to its prompt.
func (n *testNode) runAnswering(answer string, args ...string) (string, error) {
	n.t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetIn(strings.NewReader(answer))
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append(args, "--gateway", n.url(), "--state", n.cfg.State))
	err := root.ExecuteContext(n.t.Context())
	return out.String(), err
}

// TestDelaysAreLimitedAndCanBePurged: otherwise calls delayed by a year block a limited queue for a year.
func TestDelaysAreLimitedAndCanBePurged(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) { (*d.Annotations)["com.hearth.queue.length"] = "3" })
	for _, header := range [][]string{{"X-Delay", "8760h"}, {"X-Delay", "86460"},
		{"X-Deliver-At", time.Now().Add(25 * time.Hour).Format(time.RFC3339)}} {
		res, text := n.do(http.MethodPost, "/async-function/probe", "x", header...)
		require.Equal(t, http.StatusBadRequest, res.StatusCode, header)
		require.Contains(t, text, "--max-delay")
	}
	for i := range 3 {
		status, _, _, _ := n.queueCall("x", "X-Delay", "23h", "Idempotency-Key", fmt.Sprint(i))
		require.Equal(t, http.StatusAccepted, status)
	}
	status, _, _, _ := n.queueCall("x")
	require.Equal(t, http.StatusTooManyRequests, status)
	eventually(t, func() bool { return n.oneQueue("probe").Depth == redis.Depth{Delayed: 3} })
	text, err := n.run("queues")
	require.NoError(t, err)
	require.Regexp(t, `probe:calls +0 +0 +0 +3 +0`, text)

	text, err = n.runAnswering("n\n", "queues", "purge", "probe")
	require.ErrorContains(t, err, "nothing was purged")
	require.Contains(t, text, "purge 0 queued and 3 delayed of probe:calls permanently? [y/N]")
	_, err = n.runAnswering("", "queues", "purge", "probe", "--delayed")
	require.ErrorContains(t, err, "--yes", "nobody answers")
	text, err = n.run("queues", "purge", "probe", "--queued", "--yes")
	require.NoError(t, err)
	require.Equal(t, "purged 0 queued and 0 delayed\n", text)
	text, err = n.runAnswering("y\n", "queues", "purge", "probe:calls")
	require.NoError(t, err)
	require.Contains(t, text, "purged 0 queued and 3 delayed\n")
	status, state, _, _ := n.queueCall("x", "Idempotency-Key", "0")
	require.Equal(t, http.StatusAccepted, status)
	require.Equal(t, "queued", state, "its key is free, and so is its place")

	for _, in := range []map[string]any{{"queue": "probe:calls"}, {"queued": true}, {}} {
		require.Equal(t, http.StatusBadRequest, n.system(http.MethodPost,
			"/system/queues/purge", in, nil), in)
	}
	require.Equal(t, http.StatusNotFound, n.system(http.MethodPost, "/system/queues/purge",
		map[string]any{"queue": "nobody:calls", "queued": true}, nil))
	res, _ := n.do(http.MethodPost, "/system/queues/purge", `{"queue":"probe:calls","queued":true}`)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
}

func TestFunctionMayRefuseCallbacks(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, callbacksHere)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Annotations)["com.hearth.callbacks"] = "false"
	})
	res, text := n.do(http.MethodPost, "/async-function/probe", "x", "X-Callback-Url", "http://192.0.2.1/")
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, text, "makes no callbacks")
	status, _, _, _ := n.queueCall("x")
	require.Equal(t, http.StatusAccepted, status)
}

// TestRateLimitsEachCaller counts sync and queued calls together.
func TestRateLimitsEachCaller(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) { (*d.Annotations)["com.hearth.rate"] = "3/h" })
	n.deploy("other")
	for i, path := range []string{"/function/probe", "/async-function/probe", "/function/probe"} {
		res, text := n.do(http.MethodPost, path, "x")
		require.Less(t, res.StatusCode, 300, text)
		require.Equal(t, `"caller";q=3;w=3600`, res.Header.Get("RateLimit-Policy"))
		require.Contains(t, res.Header.Get("RateLimit"), fmt.Sprintf(`"caller";r=%d;t=`, 2-i))
	}
	for _, path := range []string{"/function/probe", "/async-function/probe"} {
		res, text := n.do(http.MethodPost, path, "x")
		require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
		require.Contains(t, text, "a caller may call probe at most 3/h")
		require.Contains(t, res.Header.Get("RateLimit"), `"caller";r=0;t=`)
		require.Regexp(t, `^1(1[0-9][0-9]|200)$`, res.Header.Get("Retry-After"))
	}
	res, _ := n.do(http.MethodPost, "/function/other", "x")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Empty(t, res.Header.Get("RateLimit"))
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodPut, "/system/functions",
		types.FunctionDeployment{
			Service: "other", Image: probeImage, Annotations: &map[string]string{"com.hearth.rate": "often"}},
		nil))
}

// TestUndeliverableCallbacksDoNotFillRedis: 105 calls of 900 KB once filled 96 MiB
// permanently. The test uses less of both.
func TestUndeliverableCallbacksDoNotFillRedis(t *testing.T) {
	t.Parallel()
	r := newOwnRedis(t, "--maxmemory", "16mb")
	n := startTestNode(t, r.Client, t.TempDir())
	n.deploy("probe")
	n.deploy("other")
	body, accepted, refused := strings.Repeat("x", 300_000), 0, 0
	for range 80 {
		// refused at once: a dead letter
		res, text := n.do(http.MethodPost, "/async-function/probe", body, "X-Callback-Url",
			"http://127.0.0.1:9/")
		switch res.StatusCode {
		case http.StatusAccepted:
			accepted++
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			refused++
		default:
			require.Fail(t, text)
		}
	}
	eventually(t, func() bool { q := n.oneQueue("probe"); return q.Depth == redis.Depth{} })
	require.Equal(t, accepted, n.probed(), "each that was accepted was made")
	n.deploy("one-more")
	n.accepted("probe")
	n.accepted("other")
	used, err := r.Info(t.Context(), "memory").Result()
	require.NoError(t, err)
	t.Logf("accepted %d, refused %d, %s", accepted, refused, strings.Split(used, "\r\n")[2])
}
