package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// oneQueue returns the queue of a function's own calls from GET /system/queues.
func (n *testNode) oneQueue(name string) queue.Queue {
	n.t.Helper()
	var list []queue.Queue
	require.Equal(n.t, http.StatusOK, n.system(http.MethodGet,
		"/system/queues?queue="+name+":calls", nil, &list))
	return list[0]
}

func TestDelayedCallRunsAtItsTime(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	began := time.Now()
	res, _ := n.do(http.MethodPost, "/async-function/probe", "", "X-Delay", "400ms")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	res, _ = n.do(http.MethodPost, "/async-function/probe", "", "X-Deliver-At",
		time.Now().Add(time.Hour).Format(time.RFC3339))
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool {
		q := n.oneQueue("probe")
		return q.Delayed == 1 &&
			q.Waiting+q.Leased+q.Due == 0
	})
	require.GreaterOrEqual(t, time.Since(began), 400*time.Millisecond)
	f, err := n.client.GetFunctions(t.Context(), "")
	require.NoError(t, err)
	require.EqualValues(t, 1, f[0].InvocationCount)
	res, text := n.do(http.MethodPost, "/async-function/probe", "", "X-Delay", "later")
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	require.Contains(t, text, "want a duration such as 90s")
}

func TestCancelRemovesOrAbortsACall(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	n.deploy("other")
	res, _ := n.do(http.MethodPost, "/async-function/probe", "", "X-Call-Id", "in an hour", "X-Delay", "1h")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	res, _ = n.do(http.MethodPost, "/async-function/probe?sleep=1m", "")
	running := res.Header.Get("X-Call-Id")
	eventually(t, func() bool { q := n.oneQueue("probe"); return q.Delayed == 1 && q.Leased == 1 })

	res, _ = n.do(http.MethodDelete, "/async-function/"+running, "")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, "a call id is no secret")
	var out map[string]int
	require.Equal(t, http.StatusAccepted, n.system(http.MethodDelete, "/async-function/"+running, nil, &out))
	require.Equal(t, map[string]int{"cancelled": 1}, out)
	require.Equal(t, http.StatusAccepted, n.system(http.MethodDelete,
		"/async-function/in%20an%20hour?function=probe", nil, &out))
	require.Equal(t, redis.Depth{}, n.oneQueue("probe").Depth)
	eventually(t, func() bool {
		load, _ := n.router.Load(hearth.Name{Function: "probe", Namespace: hearth.DefaultNamespace})
		return load.InFlight == 0 // aborted
	})
	for _, path := range []string{"/async-function/" + running, "/async-function/nobody",
		"/async-function/x?function=other"} {
		require.Equal(t, http.StatusNotFound, n.system(http.MethodDelete, path, nil, nil))
	}
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodDelete, "/async-function/", nil, nil))
}

// run runs a command against the node and returns its output.
func (n *testNode) run(args ...string) (string, error) {
	n.t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append(args, "--gateway", n.url(), "--state", n.cfg.State))
	err := root.ExecuteContext(n.t.Context())
	return out.String(), err
}

func TestDeadLettersAreSelectedExportedRedrivenAndPurged(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	n.deploy("other")
	for _, path := range []string{"probe?status=500", "probe?status=422", "probe?status=502",
		"other?status=500"} {
		res, _ := n.do(http.MethodPost, "/async-function/"+path, "the body")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool { return n.oneQueue("probe").Dead == 3 && n.oneQueue("other").Dead == 1 })

	list := func(args ...string) (letters []queue.DeadLetter) {
		text, err := n.run(append([]string{"dead", "list", "--json"}, args...)...)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(text), &letters))
		return letters
	}
	require.Len(t, list(), 4)
	require.Len(t, list("--limit", "2"), 2)
	require.Len(t, list("--function", "probe"), 3)
	require.Len(t, list("--status", "500"), 2)
	require.Len(t, list("--reason", "BAD GATEWAY"), 1)
	require.Len(t, list("--newer", "1h", "--queue", "other:calls"), 1)
	require.Empty(t, list("--older", "1h"))
	for _, l := range list("--function", "probe", "--status", "500") {
		require.Len(t, l.Failures, 2, "each attempt is kept")
		for i, f := range l.Failures {
			require.Equal(t, i+1, f.Attempt)
			require.Equal(t, 500, f.Status)
			require.NotEmpty(t, f.Body)
			require.NotEmpty(t, f.Replica)
			require.WithinDuration(t, time.Now(), f.At, time.Minute)
		}
	}

	text, err := n.run("dead", "export", "--function", "probe")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	require.Len(t, lines, 3)
	for _, line := range lines {
		var l queue.DeadLetter
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		require.Equal(t, "the body", string(l.Body))
		require.Equal(t, "POST", l.Method)
		require.Equal(t, "probe:calls", l.Queue)
	}
	_, err = n.run("dead", "export", "--queue", "nobody:calls")
	require.ErrorContains(t, err, "there is no queue")

	for _, answer := range []string{"n\n", ""} {
		text, err = n.runAnswering(answer, "dead", "purge", "--all", "--status", "422")
		require.ErrorContains(t, err, "nothing was purged")
		require.Contains(t, text, "purge 1 dead letter permanently? [y/N]")
	}
	require.Len(t, list("--function", "probe"), 3)
	text, err = n.run("dead", "purge", "--all", "--yes", "--status", "422")
	require.NoError(t, err)
	require.Equal(t, "purged 1 dead letter\n", text)
	text, err = n.run("dead", "redrive", "--all", "--function", "probe", "--reason", "502")
	require.NoError(t, err)
	require.Equal(t, "redriven 1 dead letter\n", text)
	eventually(t, func() bool { return n.oneQueue("probe").Dead == 2 })
	require.Len(t, list("--reason", "502")[0].Failures, 4, "those before the redrive among them")
	_, err = n.run("dead", "purge", "probe:calls", "1-1", "--status", "500")
	require.ErrorContains(t, err, "need --all")
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodGet,
		"/system/dead-letters?before=yesterday", nil, nil))
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodGet,
		"/system/dead-letters/export?status=many", nil, nil))
}

func TestFullQueueRefusesCalls(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, func(c *nodeConfig) { c.Queue = queueLimits{length: 50, bytes: "1Mi"} })
	n.deploy("probe", func(d *types.FunctionDeployment) { (*d.Annotations)["com.hearth.queue.length"] = "2" })
	n.deploy("roomy")
	later := func(name, body string) (*http.Response, string) {
		return n.do(http.MethodPost, "/async-function/"+name, body, "X-Delay", "1h")
	}
	for range 2 {
		res, _ := later("probe", "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	res, text := later("probe", "")
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	require.Equal(t, chain.ContentType, res.Header.Get("Content-Type"))
	require.Contains(t, text, "the queue of probe is full: it has 2 calls")
	res, _ = n.do(http.MethodPost, "/function/probe", "")
	require.Equal(t, http.StatusOK, res.StatusCode, "sync calls are untouched")

	for range 2 {
		res, text = later("roomy", strings.Repeat("x", 500_000))
		require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	}
	res, text = later("roomy", strings.Repeat("x", 500_000))
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.Contains(t, text, "may have 50 with 1048576")
}

func TestDeadLetterIsEditedAndSucceeds(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) { d.EnvVars["REFUSES"] = "wrong" })
	dies := func() string {
		res, _ := n.do(http.MethodPost, "/async-function/probe", "wrong", "X-Call-Id", "the call")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
		eventually(t, func() bool { return n.oneQueue("probe").Dead == 1 })
		var letters []queue.DeadLetter
		n.runJSON(&letters, "dead", "list")
		return letters[0].ID
	}
	file := filepath.Join(t.TempDir(), "body")
	require.NoError(t, os.WriteFile(file, []byte("right"), 0o600))
	for _, body := range []string{"right", "@" + file, "-"} {
		id := dies()
		text, err := n.runWith("right", "dead", "edit", "probe:calls", id, "--body", body,
			"--content-type", "text/plain")
		require.NoError(t, err)
		require.Contains(t, text, "edited dead letter "+id+", which is queued again as ")
		eventually(t, func() bool { return n.oneQueue("probe").Depth == redis.Depth{} })
	}
	id := dies()
	_, err := n.run("dead", "edit", "probe:calls", id, "--body", "wrong")
	require.NoError(t, err)
	eventually(t, func() bool { return n.oneQueue("probe").Dead == 1 })
	var letters []queue.DeadLetter
	n.runJSON(&letters, "dead", "list")
	require.NotEqual(t, id, letters[0].ID)
	require.Contains(t, letters[0].Failures[0].Reason, "edited: it was the dead letter "+id)
	text, err := n.run("dead", "show", "probe:calls", letters[0].ID)
	require.NoError(t, err)
	require.Contains(t, text, "call id    the call")

	large := map[string]string{"queue": "probe:calls", "id": letters[0].ID,
		"body": strings.Repeat("\x00", 1<<20)} // six bytes of JSON each
	require.Equal(t, http.StatusOK, n.system(http.MethodPost, "/system/dead-letters/edit", large, nil))
	for args, want := range map[string]string{
		"probe:calls 1-1 --body x":             "there is no dead letter",
		"prob:calls 1-1 --body x":              "probe:calls",
		"probe:calls 1-1":                      "--body is missing",
		"probe:calls 1-1 --body @/nowhere/any": "no such file",
		"probe:calls " + id + " --body other":  "edited in another way",
	} {
		_, err := n.run(append([]string{"dead", "edit"}, strings.Fields(args)...)...)
		require.ErrorContains(t, err, want, args)
	}
}
