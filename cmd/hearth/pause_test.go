package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/queue"
	hearthredis "github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestPausedQueueStartsNothingUntilItIsResumed(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Labels)["com.openfaas.scale.min"] = "0"
		(*d.Annotations)["topic"] = "paused.topic"
	})
	n.deploy("emitter", func(d *types.FunctionDeployment) {
		(*d.Annotations)["com.hearth.emits"] = "paused.topic"
	})
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 0))
	eventually(t, func() bool { return n.available("probe") == 0 })
	for _, q := range []string{"probe:calls", "probe:paused.topic"} {
		text, err := n.run("queues", "pause", q)
		require.NoError(t, err)
		require.Equal(t, "paused "+q+": 0 queued, 0 in flight\n", text)
	}
	eventually(t, func() bool {
		return n.dispatch.IsPaused(probeName, hearthredis.TopicOf(probeName, "paused.topic"))
	})
	text, err := n.run("queues", "pause", "probe:calls", "--json")
	require.NoError(t, err)
	var paused queue.Queue
	require.NoError(t, json.Unmarshal([]byte(text), &paused))
	require.True(t, paused.Paused)

	res, _ := n.do(http.MethodPost, "/async-function/probe", "b")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.NoError(t, n.raw.XAdd(t.Context(), &redis.XAddArgs{Stream: "{paused}.topic",
		Values: []string{"body", "m"}}).Err())
	res, _ = n.do(http.MethodPost, "/function/emitter", "") // and would start the probe ahead
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, _ = n.do(http.MethodPost, "/async-function/emitter", "") // somebody else's queue goes on
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	eventually(t, func() bool { return n.oneQueue("emitter").Queued+n.oneQueue("emitter").InFlight == 0 })
	require.Zero(t, n.available("probe"))
	f, ok := n.registry.Function(probeName)
	require.True(t, ok)
	require.Zero(t, f.Replicas, "nothing has started it")
	q := n.oneQueue("probe")
	require.Equal(t, 1, q.Queued)
	require.Equal(t, paused.PausedAt, q.PausedAt)
	for _, args := range [][]string{{"queues"}, {"describe", "probe"}} {
		text, err = n.run(args...)
		require.NoError(t, err)
		require.Equal(t, 2, strings.Count(text, "paused since"), text)
	}
	require.Equal(t, 1.0,
		n.scrape()[`hearth_queue_paused{function_name="probe.openfaas-fn",queue="probe:calls"}`])

	n.update(func(d *types.FunctionDeployment) { (*d.Annotations)["topic"] = "paused.topic" })
	require.True(t, n.oneQueue("probe").Paused, "an update keeps the pause")

	for _, q := range []string{"probe:calls", "probe:paused.topic"} {
		text, err = n.run("queues", "resume", q)
		require.NoError(t, err)
		require.Equal(t, "resumed "+q+": 1 queued, 0 in flight\n", text)
	}
	eventually(t, func() bool { return n.oneQueue("probe").Queued+n.oneQueue("probe").InFlight == 0 })
	eventually(t, func() bool { return n.raw.XLen(t.Context(), "{paused}.topic").Val() == 0 })
	require.False(t, n.oneQueue("probe").Paused)

	require.Equal(t, http.StatusNotFound, n.system(http.MethodPost, "/system/queues/pause",
		map[string]string{"queue": "nobody:calls"}, nil))
	_, err = n.run("queues", "pause", "prob:calls")
	require.ErrorContains(t, err, "probe:calls", "it suggests what may be meant")

	_, err = n.run("queues", "pause", "probe:calls")
	require.NoError(t, err)
	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", ""))
	eventually(t, func() bool { return n.raw.Exists(t.Context(), "{fn:probe.openfaas-fn}.calls").Val() == 0 })
	n.deploy("probe")
	require.False(t, n.oneQueue("probe").Paused, "a new queue is not paused")
}

func TestPauseHoldsInAllInstances(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	one, two := startTestNode(t, raw, state), startTestNode(t, raw, t.TempDir())
	one.deploy("probe")
	eventually(t, func() bool { _, ok := two.registry.Function(probeName); return ok })
	_, err := one.run("queues", "pause", "probe:calls")
	require.NoError(t, err)
	for _, n := range []*testNode{one, two} {
		res, _ := n.do(http.MethodPost, "/async-function/probe", "b")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	one.end()
	one = startTestNode(t, raw, state)
	q := one.oneQueue("probe")
	require.True(t, q.Paused)
	require.Equal(t, []int{2, 0}, []int{q.Queued, q.InFlight})
	_, err = two.run("queues", "resume", "probe:calls")
	require.NoError(t, err)
	eventually(t, func() bool { q := one.oneQueue("probe"); return q.Queued+q.InFlight == 0 })
}
