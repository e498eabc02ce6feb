package dispatch_test

import (
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

func TestPausedQueueIsDeliveredAfterItIsResumed(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.subscribe("bakery.dough")
		calls := redis.CallsOf(oven)
		_, err := r.queue.Pause(t.Context(), calls)
		require.NoError(t, err)
		r.d.LookAgain()
		eventually(t, func() bool { return r.d.IsPaused(oven, calls) })
		require.False(t, r.d.IsPaused(oven, redis.TopicOf(oven, "bakery.dough")))
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
		r.d.Notify(oven, calls)
		chaintest.Put(t, r.raw, "bakery.dough", "{}")
		r.settled(redis.TopicOf(oven, "bakery.dough"))
		require.Len(t, r.fns.seen(), 1, "only the topic's")
		require.Equal(t, 1, r.depth(calls).Waiting)

		require.NoError(t, r.queue.Resume(t.Context(), calls))
		r.d.Notify(oven, calls)
		r.settled(calls)
		require.Len(t, r.fns.seen(), 2)
		require.False(t, r.d.IsPaused(oven, calls))
		require.False(t, r.d.IsPaused(hearth.Name{Function: "nobody"}, calls))
	})
}

func TestResumedQueueIsFoundByWhoWasNotTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	r.subscribe()
	calls := redis.CallsOf(oven)
	_, err := r.queue.Pause(t.Context(), calls)
	require.NoError(t, err)
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
	eventually(t, func() bool { return r.d.IsPaused(oven, calls) })
	require.NoError(t, r.queue.Resume(t.Context(), calls))
	r.settled(calls)
}
