package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// story returns what became of a call.
func (n *testNode) story(id string) (s calls.Story, status int) {
	n.t.Helper()
	s.Call = &calls.Call{}
	status = n.system(http.MethodGet, "/async-function/"+url.PathEscape(id), nil, &s)
	return s, status
}

func recordsBodies(d *types.FunctionDeployment) {
	d.Annotations = &map[string]string{"com.hearth.record": "bodies"}
}

func TestARecordedCallIsFoundShownAndReplayed(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", recordsBodies)
	res, _ := n.do(http.MethodPost, "/async-function/probe", "flour", "Authorization", "Bearer hush",
		"X-Shop", "north")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	id := res.Header.Get("X-Call-Id")
	var s calls.Story
	eventually(t, func() bool { s, _ = n.story(id); return s.State == calls.Succeeded })
	require.Equal(t, calls.Async, s.Kind)
	require.Equal(t, "probe", s.Function)
	require.Equal(t, "probe-1", s.Replica)
	require.Equal(t, http.StatusOK, s.Status)
	require.NotEmpty(t, s.TraceID)
	require.NotNil(t, s.StartedAt)
	require.Equal(t, "flour", string(s.Bodies.Request))
	require.Equal(t, []string{"north"}, s.Bodies.Header["X-Shop"])
	require.NotContains(t, s.Bodies.Header, "Authorization")

	res, _ = n.do(http.MethodGet, "/async-function/"+id, "")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, "a call id is no secret")
	_, status := n.story("nobody")
	require.Equal(t, http.StatusNotFound, status)

	out, err := n.run("calls", "show", id)
	require.NoError(t, err, out)
	require.Contains(t, out, "succeeded")
	require.Contains(t, out, "probe-1")
	out, err = n.run("calls", "replay", id, "--json")
	require.NoError(t, err, out)
	var made struct {
		CallID string `json:"call_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &made))
	require.NotEqual(t, id, made.CallID)
	eventually(t, func() bool { s, _ = n.story(made.CallID); return s.State == calls.Succeeded })
	require.Equal(t, "flour", string(s.Bodies.Request))

	out, err = n.run("calls", "list", "--function", "probe", "--in-state", "succeeded", "--json")
	require.NoError(t, err, out)
	var list []calls.Call
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.Len(t, list, 2)
	require.Equal(t, made.CallID, list[0].CallID, "the newest first")
	out, err = n.run("calls", "list", "--in-state", "dead")
	require.NoError(t, err, out)
	require.Equal(t, "no calls\n", out)
}

func TestASyncCallIsInTheRecord(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	const parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	res, _ := n.do(http.MethodPost, "/function/probe/oven?secret=1", "", "Traceparent", parent)
	require.Equal(t, http.StatusOK, res.StatusCode)
	var s calls.Story
	id := res.Header.Get("X-Call-Id")
	eventually(t, func() bool { s, _ = n.story(id); return s.State == calls.Succeeded })
	require.Equal(t, calls.Sync, s.Kind)
	require.Equal(t, "/oven", s.Path)
	require.Equal(t, "0123456789abcdef0123456789abcdef", s.TraceID)
	var j calls.Journey
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/traces/"+s.TraceID, nil, &j))
	require.Len(t, j.Hops, 1)
	require.Equal(t, "0123456789abcdef", j.Hops[0].Parent)
	require.NotContains(t, strings.Join(res.Header.Values("X-Hearth-Cold-Start"), ""), ".",
		"callers do not see what the platform notes")
}

func TestABadFilterOfCallsIsNamed(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for query, want := range map[string]string{
		"state=baked":             "state is",
		"kind=cookie":             "kind is",
		"status=abc":              "status is",
		"status=9999":             "status is",
		"limit=0":                 "limit is",
		"limit=100000":            "limit is",
		"after=yesterday":         "after is",
		"before=1":                "before is",
		"min_ms=-1":               "min_ms is",
		"max_ms=NaN":              "max_ms is",
		"cursor=!":                "cursor is",
		"colour=red":              "there is no filter",
		"function=oven&service=x": "names two functions",
	} {
		address := n.url() + "/system/calls?" + query
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		require.NoError(t, err)
		req.SetBasicAuth(n.credentials.User, n.credentials.Password)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusBadRequest, res.StatusCode, query)
		require.Contains(t, string(text), want, query)
	}
}

func TestCallsAreNotRecordedIfNobodyWantsIt(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, func(c *nodeConfig) { c.Queue.record.calls = 0 })
	n.deploy("probe")
	res, _ := n.do(http.MethodPost, "/async-function/probe", "")
	id := res.Header.Get("X-Call-Id")
	eventually(t, func() bool { q := n.oneQueue("probe"); return q.Queued+q.InFlight == 0 })
	_, status := n.story(id)
	require.Equal(t, http.StatusNotFound, status)
	out, err := n.run("calls", "list")
	require.ErrorContains(t, err, "--record-calls", out)
}
