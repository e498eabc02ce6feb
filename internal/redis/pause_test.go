package redis_test

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func (q queue) pause() {
	q.t.Helper()
	_, err := q.Pause(q.t.Context(), q.sub)
	require.NoError(q.t, err)
}

func (q queue) resume() {
	q.t.Helper()
	require.NoError(q.t, q.Resume(q.t.Context(), q.sub))
}

func (q queue) waiting() int {
	q.t.Helper()
	n, err := q.Waiting(q.t.Context(), []wire.Subscription{q.sub})
	require.NoError(q.t, err)
	return n[0]
}

func TestPausedQueueAcceptsAndDeliversNothing(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		began := time.Now().Add(-time.Second)
		q.enqueue("1")
		since, err := q.Pause(t.Context(), q.sub)
		require.NoError(t, err)
		require.WithinRange(t, since, began, time.Now().Add(time.Minute))
		again, err := q.Pause(t.Context(), q.sub)
		require.NoError(t, err)
		require.Equal(t, since, again, "a second pause changes nothing")
		q.enqueue("2")
		b := q.take(5)
		require.Empty(t, b.Deliveries)
		require.True(t, b.Paused)
		require.Negative(t, b.Next)
		require.False(t, b.Drained)
		b, err = q.TakeCalls(t.Context(), fn, 5, redis.Holder{Instance: "me", Lease: time.Minute}, 1<<20)
		require.NoError(t, err)
		require.True(t, b.Paused)
		require.Equal(t, redis.Depth{Waiting: 2, Paused: true, PausedAt: since}, q.depth())
		require.Zero(t, q.waiting(), "nothing to start replicas for")

		q.resume()
		q.resume()
		require.Equal(t, 2, q.waiting())
		b = q.take(5)
		require.Len(t, b.Deliveries, 2)
		require.False(t, b.Paused)
	})
}

func TestWhatIsInFlightEndsWhileItsQueueIsPaused(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for _, body := range []string{"settled", "retried", "buried", "lapsed"} {
			q.enqueue(body)
		}
		b := q.take(4)
		require.Len(t, b.Deliveries, 4)
		q.pause()
		done, err := q.Settle(t.Context(), q.sub, b.Deliveries[0], nil)
		require.NoError(t, err)
		require.True(t, done)
		held, err := q.Retry(t.Context(), q.sub, b.Deliveries[1], 0, redis.Failure{Reason: "no"})
		require.NoError(t, err)
		require.True(t, held)
		held, err = q.Bury(t.Context(), q.sub, b.Deliveries[2], redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		require.True(t, held)
		require.Equal(t, []redis.Renewal{redis.Renewed}, q.renew(b.Deliveries[3]))
		q.expire()
		require.Empty(t, q.take(4).Deliveries, "neither a retry, nor what nobody holds")
		d := q.depth()
		require.Equal(t, []int{0, 1, 1, 1}, []int{d.Waiting, d.Leased, d.Due, d.Dead})
		n, err := q.Redrive(t.Context(), q.sub, []string{b.Deliveries[2].ID})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Empty(t, q.take(4).Deliveries, "nor what is redriven")
		q.resume()
		require.Len(t, q.take(4).Deliveries, 3)
	})
}

func TestPauseEndsWithItsSubscription(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		calls, topic := redis.CallsOf(fn), redis.TopicOf(fn, "bakery.dough")
		for _, s := range []wire.Subscription{calls, redis.CallbacksOf(fn), topic} {
			_, err := q.Subscribe(t.Context(), s)
			require.NoError(t, err)
			_, err = q.Pause(t.Context(), s)
			require.NoError(t, err)
			if s == calls {
				q.enqueue("1")
				done, err := q.Unsubscribe(t.Context(), s, false)
				require.NoError(t, err)
				require.False(t, done, "its call waits for the function to come back")
				require.True(t, q.depth().Paused)
			}
			done, err := q.Unsubscribe(t.Context(), s, true)
			require.NoError(t, err)
			require.True(t, done)
			require.Zero(t, q.raw.Exists(t.Context(), s.Stream+":"+s.Group+":paused").Val())
			_, err = q.Pause(t.Context(), s)
			require.ErrorIs(t, err, redis.ErrNoGroup)
			_, err = q.Subscribe(t.Context(), s)
			require.NoError(t, err)
			b, err := q.Take(t.Context(), s, 1, redis.Holder{Instance: "me", Lease: time.Minute})
			require.NoError(t, err)
			require.False(t, b.Paused)
		}
	})
}

func TestPauseIsOfOneSubscriptionOfATopic(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		oven := redis.TopicOf(fn, "bakery.dough")
		baker := redis.TopicOf(hearth.Name{Function: "baker", Namespace: "openfaas-fn"}, "bakery.dough")
		_, err := q.SubscribeAll(t.Context(), []wire.Subscription{oven, baker})
		require.NoError(t, err)
		_, err = q.Pause(t.Context(), oven)
		require.NoError(t, err)
		require.NoError(t, q.raw.XAdd(t.Context(),
			&goredis.XAddArgs{Stream: oven.Stream, Values: []string{"body", "{}"}}).Err())
		take := func(s wire.Subscription) redis.Batch {
			b, err := q.Take(t.Context(), s, 1, redis.Holder{Instance: "me", Lease: time.Minute})
			require.NoError(t, err)
			return b
		}
		require.True(t, take(oven).Paused)
		b := take(baker)
		require.Len(t, b.Deliveries, 1)
		q.raw.ZAdd(t.Context(), baker.Keys()[1], goredis.Z{Score: 1, Member: b.Deliveries[0].ID})
		require.Len(t, take(baker).Deliveries, 1, "a topic's lapsed lease is counted nowhere")
		require.NoError(t, q.Resume(t.Context(), oven))
		require.Len(t, take(oven).Deliveries, 1)
	})
}

func TestPauseThatSomebodyElseHasWrittenHolds(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		require.NoError(t, q.raw.Set(t.Context(), q.sub.Stream+":"+q.sub.Group+":paused", "x", 0).Err())
		require.True(t, q.take(1).Paused)
		require.True(t, q.depth().Paused)
		q.pause()
		q.resume()
		require.False(t, q.take(1).Paused)
	})
}
