package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/meter"
	platform "github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Removal of functions that have calls.

// patient gives a replica a minute to finish its calls.
func patient(d *types.FunctionDeployment) { d.EnvVars["write_timeout"] = "1m" }

// gate is a file that a call of the probe waits for.
func gate(t *testing.T) (query string, open func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate")
	open = func() { require.NoError(t, os.WriteFile(path, nil, 0o600)) }
	return "until=" + path, open
}

// begin makes a call of the probe that waits at a gate, and returns when it is in flight.
func (n *testNode) begin(name, query string) (answered <-chan int) {
	n.t.Helper()
	before := n.load(name)
	done := make(chan int, 1)
	go func() {
		res, _ := n.do(http.MethodPost, "/function/"+name+"?"+query, "")
		done <- res.StatusCode
	}()
	eventually(n.t, func() bool { return n.load(name) > before })
	return done
}

// listed returns a function from GET /system/functions.
func (n *testNode) listed(name string) (f function, ok bool) {
	n.t.Helper()
	var list []function
	require.Equal(n.t, http.StatusOK, n.system(http.MethodGet, "/system/functions", nil, &list))
	for _, f := range list {
		if f.Name == name {
			return f, true
		}
	}
	return f, false
}

func (n *testNode) remove(name string) {
	n.t.Helper()
	status := n.system(http.MethodDelete, "/system/functions",
		types.DeleteFunctionRequest{FunctionName: name}, nil)
	require.Equal(n.t, http.StatusAccepted, status)
}

func (n *testNode) billed() meter.Row {
	n.t.Helper()
	r, err := n.meter.Report(n.t.Context(), meter.Query{Function: "probe.openfaas-fn"})
	require.NoError(n.t, err)
	return r.Total
}

// still requires that a call is not finished.
func still(t *testing.T, answered <-chan int, what string) {
	t.Helper()
	select {
	case status := <-answered:
		require.Fail(t, what, "the call was answered with %d", status)
	default:
	}
}

func TestRemovalAndRedeploymentDoNotWaitForCalls(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", patient, onTopic("shop.opened"))
	eventually(t, func() bool { return n.available("probe") == 1 })
	query, open := gate(t)
	answered := n.begin("probe", query)
	res, _ := n.do(http.MethodPost, "/async-function/probe?"+query, "")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.load("probe") == 2 })

	n.remove("probe")
	still(t, answered, "the removal waited for it")
	res, _ = n.do(http.MethodPost, "/function/probe", "")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	res, _ = n.do(http.MethodPost, "/async-function/probe", "")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	f, ok := n.listed("probe")
	require.True(t, ok, "it is listed until it has ended")
	require.True(t, f.Terminating)
	require.Equal(t, "terminating", f.state())
	require.Equal(t, 1, f.Draining)
	require.Zero(t, f.Replicas)
	require.Zero(t, f.AvailableReplicas)
	require.Nil(t, f.Annotations, "no connector calls it")
	var one function
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe", nil, &one))
	require.True(t, one.Terminating)
	require.Equal(t, http.StatusNotFound, n.system(http.MethodDelete, "/system/functions",
		types.DeleteFunctionRequest{FunctionName: "probe"}, nil), "it is removed already")

	status, err := n.client.Update(t.Context(), types.FunctionDeployment{Service: "probe", Image: probeImage})
	require.Error(t, err)
	require.Equal(t, http.StatusNotFound, status, "there is nothing to update")
	n.deploy("probe", patient, onTopic("shop.opened"))
	eventually(t, func() bool { return n.available("probe") == 1 })
	n.put("{shop}.opened")
	for range 2 {
		res, _ = n.do(http.MethodPost, "/async-function/probe", "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool { f, _ := n.listed("probe"); return f.InvocationCount == 3 })
	f, _ = n.listed("probe")
	require.False(t, f.Terminating)
	require.Equal(t, 1, f.Draining, "the old one still has its calls")
	still(t, answered, "it waits at its gate")

	open()
	require.Equal(t, http.StatusOK, <-answered)
	eventually(t, func() bool { f, _ := n.listed("probe"); return f.Draining == 0 })
	eventually(t, func() bool {
		q := n.queuesOf("probe")
		return len(q) == 2 && q[0].Depth == platform.Depth{} && q[1].Depth == platform.Depth{}
	})
	f, _ = n.listed("probe")
	require.EqualValues(t, 3, f.InvocationCount,
		"the call that was queued for the old one was made once, by it")
}

func TestRemovedFunctionDisappearsAfterItsCalls(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", patient, onTopic("shop.opened"))
	query, open := gate(t)
	res, _ := n.do(http.MethodPost, "/async-function/probe?"+query, "")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.load("probe") == 1 })
	n.remove("probe")
	require.NotEmpty(t, n.queuesOf("probe"), "its call is under way")
	require.EqualValues(t, 1, n.raw.HLen(t.Context(), "{hearth}:removed").Val())
	open()
	eventually(t, func() bool { _, ok := n.listed("probe"); return !ok })
	eventually(t, func() bool { return len(n.queuesOf("probe")) == 0 })
	eventually(t, func() bool { return n.raw.HLen(t.Context(), "{hearth}:removed").Val() == 0 })
	keys := n.raw.Keys(t.Context(), "*{fn:probe*").Val()
	require.Empty(t, keys, "nothing is left of it in Redis")
}

func TestBillIncludesDrainingFunctions(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", patient)
	query, open := gate(t)
	removed := n.begin("probe", query)
	n.remove("probe")
	before := n.billed()
	eventually(t, func() bool {
		now := n.billed()
		return now.BusySeconds > before.BusySeconds+1 && now.ReplicaSeconds > before.ReplicaSeconds+1
	})
	open()
	require.Equal(t, http.StatusOK, <-removed)
	eventually(t, func() bool { _, ok := n.listed("probe"); return !ok })
	last := n.billed()
	require.EqualValues(t, 1, last.Calls)
	require.Equal(t, last, n.billed(), "nothing is counted when its last replica has ended")

	n.deploy("probe", patient)
	query, open = gate(t)
	scaled := n.begin("probe", query)
	require.Equal(t, http.StatusAccepted, n.system(http.MethodPost, "/system/scale-function/probe",
		types.ScaleServiceRequest{ServiceName: "probe"}, nil))
	before = n.billed()
	eventually(t, func() bool { return n.billed().ReplicaSeconds > before.ReplicaSeconds+1 })
	open()
	require.Equal(t, http.StatusOK, <-scaled)
}

// crashed is the Redis that an instance leaves if it is killed now, with the instance's name free again.
func crashed(t *testing.T, raw redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	left := chaintest.Redis(t)
	for _, key := range raw.Keys(t.Context(), "*").Val() {
		if strings.HasPrefix(key, "{hearth}:instance:") {
			continue
		}
		text, err := raw.Dump(t.Context(), key).Result()
		require.NoError(t, err)
		require.NoError(t, left.Restore(t.Context(), key, 0, text).Err())
	}
	return left
}

// TestRemovalSurvivesACrash: an instance is killed after it confirmed a removal and before the function's
// calls ended. The next one does not have the function, and keeps its queued calls.
func TestRemovalSurvivesACrash(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state)
	n.deploy("probe", patient, onTopic("shop.opened"))
	query, open := gate(t)
	answered := n.begin("probe", query)
	n.remove("probe")
	left := crashed(t, raw)
	open()
	require.Equal(t, http.StatusOK, <-answered)
	n.end()
	again := startTestNode(t, left, state)
	_, ok := again.listed("probe")
	require.False(t, ok)
	eventually(t, func() bool { return len(again.queuesOf("probe")) == 0 })
	eventually(t, func() bool { return left.HLen(t.Context(), "{hearth}:removed").Val() == 0 })
	require.Empty(t, left.Keys(t.Context(), "*{fn:probe*").Val())
}

// TestQueuedCallOfARemovedFunctionSurvivesACrash: its outcome is unknown, so it
// runs when the function is deployed again.
func TestQueuedCallOfARemovedFunctionSurvivesACrash(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state)
	n.deploy("probe", patient)
	query, open := gate(t)
	res, _ := n.do(http.MethodPost, "/async-function/probe?"+query, "")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.load("probe") == 1 })
	n.remove("probe")
	left := crashed(t, raw)
	open()
	n.end()
	again := startTestNode(t, left, state)
	kept := again.queuesOf("probe")[0]
	require.EqualValues(t, 1, kept.Waiting+kept.Leased+kept.Due, "%+v", kept)
	_, ok := again.listed("probe")
	require.False(t, ok)
	again.deploy("probe")
	eventually(t, func() bool { f, _ := again.listed("probe"); return f.InvocationCount == 1 })
	eventually(t, func() bool { return again.queuesOf("probe")[0].Depth == platform.Depth{} })
}

// TestOtherInstanceDrainsARemovedFunction: each instance finishes its own calls of the
// function, and the last one leaves nothing.
func TestOtherInstanceDrainsARemovedFunction(t *testing.T) {
	t.Parallel()
	a, b, log := twoNodes(t)
	a.deploy("probe", patient)
	eventually(t, func() bool { _, ok := b.listed("probe"); return ok })
	query, open := gate(t)
	ofA, ofB := a.begin("probe", query), b.begin("probe", query)
	a.remove("probe")
	eventually(t, func() bool { f, ok := b.listed("probe"); return ok && f.Terminating })
	b.deploy("probe", patient)
	eventually(t, func() bool {
		f, _ := a.listed("probe")
		return !f.Terminating &&
			f.AvailableReplicas == 1
	})
	still(t, ofA, "it waits at its gate")
	still(t, ofB, "it waits at its gate")
	b.remove("probe")
	eventually(t, func() bool { f, ok := a.listed("probe"); return ok && f.Terminating })
	open()
	require.Equal(t, http.StatusOK, <-ofA)
	require.Equal(t, http.StatusOK, <-ofB)
	for _, n := range []*testNode{a, b} {
		eventually(t, func() bool { _, ok := n.listed("probe"); return !ok })
		eventually(t, func() bool { return len(n.queuesOf("probe")) == 0 })
	}
	eventually(t, func() bool { return a.raw.HLen(t.Context(), "{hearth}:removed").Val() == 0 })
	require.Empty(t, log.errors())
}

func TestUpdateDoesNotWaitForCallsOrStopTheQueue(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	one := func(d *types.FunctionDeployment) { d.EnvVars["max_inflight"] = "1" }
	n.deploy("probe", patient, one)
	query, open := gate(t)
	res, _ := n.do(http.MethodPost, "/async-function/probe?"+query, "")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.load("probe") == 1 })
	n.update(patient, one, env("2"))
	eventually(t, func() bool {
		f, _ := n.listed("probe")
		return f.Draining == 1 &&
			f.AvailableReplicas == 1
	})
	for range 3 {
		res, _ = n.do(http.MethodPost, "/async-function/probe", "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	eventually(t, func() bool {
		f, _ := n.listed("probe")
		return f.InvocationCount == 4 &&
			n.load("probe") == 1
	})
	open()
	eventually(t, func() bool { f, _ := n.listed("probe"); return f.Draining == 0 && n.load("probe") == 0 })
}
