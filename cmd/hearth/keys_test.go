package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/stretchr/testify/require"
)

// queueCall queues a call of the probe and returns the status, state, call id and message id of the response.
func (n *testNode) queueCall(body string, header ...string) (status int, state, callID, message string) {
	n.t.Helper()
	res, _ := n.do(http.MethodPost, "/async-function/probe", body, header...)
	h := res.Header
	return res.StatusCode, h.Get("X-Call-State"), h.Get(wire.HeaderCallID), h.Get(wire.HeaderMessageID)
}

// probed counts the calls of the probe.
func (n *testNode) probed() int {
	n.t.Helper()
	f, err := n.client.GetFunction(n.t.Context(), "probe", "")
	require.NoError(n.t, err)
	return int(f.InvocationCount)
}

// TestCancelledCallMayBeQueuedAgain with the same call id or key, after a cancel and after
// a purge. Once it got a 202 and never ran.
func TestCancelledCallMayBeQueuedAgain(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	for i, id := range []string{"X-Call-Id", "Idempotency-Key"} {
		status, state, callID, _ := n.queueCall("x", id, "c", "X-Delay", "1h")
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "delayed", state)
		out, err := n.run("cancel", callID)
		require.NoError(t, err)
		require.Equal(t, "cancelled 1 call\n", out)
		status, state, _, _ = n.queueCall("x", id, "c")
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "queued", state)
		eventually(t, func() bool { return n.probed() == i+1 })
	}

	fails := func() (int, string) {
		res, text := n.do(http.MethodPost, "/async-function/probe?status=422", "x", "Idempotency-Key", "k")
		return res.StatusCode, res.Header.Get("X-Call-State") + " " + text
	}
	status, _ := fails()
	require.Equal(t, http.StatusAccepted, status)
	eventually(t, func() bool { return n.oneQueue("probe").Dead == 1 })
	status, text := fails()
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "dead the call is a dead letter of probe", "said plainly")
	require.Equal(t, 3, n.probed())
	out, err := n.run("dead", "purge", "--all", "--yes", "--function", "probe")
	require.NoError(t, err)
	require.Equal(t, "purged 1 dead letter\n", out)
	status, text = fails()
	require.Equal(t, http.StatusAccepted, status, text)
	eventually(t, func() bool { return n.probed() == 4 })
}

// TestCallsThatShareACallIDAllRun, each with its callback. A cancel applies to all of them, or to one.
func TestCallsThatShareACallIDAllRun(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, callbacksHere)
	n.deploy("probe")
	c := newCalled(t, nil)
	for _, path := range []string{"/a", "/b", "/c"} {
		status, _, callID, _ := n.queueCall("x", "X-Call-Id", "c", "X-Path", path,
			"X-Callback-Url", c.URL+path)
		require.Equal(t, http.StatusAccepted, status)
		require.Equal(t, "c", callID)
	}
	paths := map[string]bool{}
	for range 3 {
		r := <-c.got
		require.Equal(t, "c", r.Header.Get("X-Call-Id"))
		paths[r.URL.Path] = true
	}
	require.Len(t, paths, 3)
	require.Equal(t, 3, n.probed())

	var messages []string
	for range 3 {
		_, _, _, message := n.queueCall("x", "X-Call-Id", "c", "X-Delay", "1h")
		messages = append(messages, message)
	}
	_, err := n.run("cancel", "c", "--message", messages[1])
	require.ErrorContains(t, err, "--function")
	out, err := n.run("cancel", "c", "--function", "probe", "--message", messages[1])
	require.NoError(t, err)
	require.Equal(t, "cancelled 1 call\n", out)
	_, err = n.run("cancel", "other", "--function", "probe", "--message", messages[0])
	require.ErrorContains(t, err, "no call")
	out, err = n.run("cancel", "c")
	require.NoError(t, err)
	require.Equal(t, "cancelled 2 calls\n", out)
}

// TestRepeatedCallGetsTheStateOfTheFirst and its call id, and does not run.
func TestRepeatedCallGetsTheStateOfTheFirst(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	repeat := func() string {
		status, state, callID, message := n.queueCall("x", "Idempotency-Key", "k", "X-Call-Id", "another")
		require.Equal(t, "c", callID)
		require.NotEmpty(t, message)
		require.Equal(t, map[string]int{"delayed": 202, "queued": 202, "in-flight": 202,
			"finished": 200}[state], status, state)
		return state
	}
	status, state, _, _ := n.queueCall("x", "Idempotency-Key", "k", "X-Call-Id", "c", "X-Delay", "2s")
	require.Equal(t, http.StatusAccepted, status)
	require.Equal(t, "delayed", state)
	require.Equal(t, "delayed", repeat())
	eventually(t, func() bool { return repeat() == "finished" })
	require.Equal(t, 1, n.probed())

	for header, want := range map[string]string{strings.Repeat("k", 256): "has 256 bytes, want at most 255"} {
		res, text := n.do(http.MethodPost, "/async-function/probe", "", "Idempotency-Key", header)
		require.Equal(t, http.StatusBadRequest, res.StatusCode)
		require.Contains(t, text, want)
	}
	var queue []queue.Queue
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/queues?queue=probe:calls", nil, &queue))
	require.Zero(t, queue[0].Waiting+queue[0].Due+queue[0].Delayed)
}
