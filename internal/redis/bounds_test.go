package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// answered makes a call and answers it, with a callback of so many bytes.
func (q queue) answered(bytes int) {
	q.t.Helper()
	cb := &redis.Callback{Of: fn, Entry: wire.Entry{Body: make([]byte, bytes), Callback: "http://x/"}}
	done, err := q.Settle(q.t.Context(), q.sub, q.one(), cb)
	require.NoError(q.t, err)
	require.True(q.t, done)
}

// bytes are what is counted of calls, and of callbacks.
func (q queue) bytes() [2]int {
	tag := strings.TrimSuffix(q.sub.Stream, ".calls")
	calls, _ := q.raw.Get(q.t.Context(), tag+".calls:bytes").Int()
	callbacks, _ := q.raw.Get(q.t.Context(), tag+".callbacks:bytes").Int()
	return [2]int{calls, callbacks}
}

// buryCallback takes a callback, and gives it up.
func (q queue) buryCallback() {
	q.t.Helper()
	to := redis.CallbacksOf(fn)
	b, err := q.Take(q.t.Context(), to, 1, redis.Holder{Instance: "me", Lease: time.Minute})
	require.NoError(q.t, err)
	require.Len(q.t, b.Deliveries, 1)
	held, err := q.Bury(q.t.Context(), to, b.Deliveries[0], redis.Failure{Reason: "no"}, nil)
	require.NoError(q.t, err)
	require.True(q.t, held)
}

// TestCallbacksCountAgainstTheLimitOfTheirFunction, and none is lost for it: no calls are accepted, or made,
// before there is room.
func TestCallbacksCountAgainstTheLimitOfTheirFunction(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		to := redis.CallbacksOf(fn)
		_, err := q.Subscribe(t.Context(), to)
		require.NoError(t, err)
		most := hearth.QueueLimit{Length: 5, Bytes: 10_000}
		enqueue := func() (redis.QueuedCall, error) {
			return q.Enqueue(t.Context(), fn,
				redis.Call{Entry: wire.Entry{Body: make([]byte, 100), CallID: "c"}}, most)
		}
		takeCalls := func() redis.Batch {
			b, err := q.TakeCalls(t.Context(), fn, 1, redis.Holder{Instance: "me", Lease: time.Minute},
				most.Bytes)
			require.NoError(t, err)
			return b
		}
		for range 4 {
			_, err := enqueue()
			require.NoError(t, err)
		}
		q.answered(6000)
		_, err = enqueue()
		require.NoError(t, err, "they have 5 entries now")
		_, err = enqueue()
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(err))
		require.ErrorContains(t, err, "has 5 calls with")
		require.ErrorContains(t, err, "1 of them callbacks")
		q.answered(6000)
		b := takeCalls()
		require.True(t, b.Blocked, "no call is made while callbacks have reached the limit")
		require.Empty(t, b.Deliveries)
		require.Equal(t, time.Second, b.Next)
		require.Len(t, q.take(1).Deliveries, 1, "but for who asks without a limit")
		q.expire()

		q.buryCallback()
		b = takeCalls()
		require.False(t, b.Blocked)
		require.Equal(t, 1, b.Dropped, "one that was given up makes room")
		require.Len(t, b.Deliveries, 1)
		q.expire()

		q.buryCallback()
		_, err = q.Purge(t.Context(), to, []string{"1-1"})
		require.NoError(t, err)
		_, err = enqueue()
		require.NoError(t, err)
		got, err := enqueue()
		require.NoError(t, err)
		require.Equal(t, 1, got.Dropped, "for calls to be accepted too")
		require.Zero(t, q.bytes()[1])
		require.Zero(t, q.raw.XLen(t.Context(), to.Stream).Val())
		_, err = enqueue()
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(err))
	})
}

// TestAllThatIsCountedIsUncounted: calls, callbacks, keys, and what is noted of failures, by each way that
// they end.
func TestAllThatIsCountedIsUncounted(t *testing.T) {
	no := redis.Failure{Reason: strings.Repeat("no ", 100)}
	for name, end := range map[string]func(q queue){
		"answered": func(q queue) { q.answered(100) },
		"retried":  func(q queue) { _, _ = q.Retry(q.t.Context(), q.sub, q.one(), 0, no); q.answered(100) },
		"cancelled after a retry": func(q queue) {
			_, _ = q.Retry(q.t.Context(), q.sub, q.one(), 0, no)
			_, _, err := q.Cancel(q.t.Context(), fn, "c", "")
			require.NoError(q.t, err)
		},
		"purged": func(q queue) {
			d := q.one()
			_, _ = q.Bury(q.t.Context(), q.sub, d, no,
				&redis.Callback{Of: fn, Entry: wire.Entry{Callback: "http://x/"}})
			_, err := q.Purge(q.t.Context(), q.sub, []string{d.ID})
			require.NoError(q.t, err)
		},
		"cleared": func(q queue) {
			_, _ = q.Retry(q.t.Context(), q.sub, q.one(), time.Hour, no)
			done, err := q.Clear(q.t.Context(), q.sub, true, false)
			require.NoError(q.t, err)
			require.Equal(q.t, redis.Cleared{Queued: 1}, done)
		},
		"lapsed": func(q queue) { q.one(); q.expire(); q.answered(100) },
	} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, q queue) {
				to := redis.CallbacksOf(fn)
				_, err := q.Subscribe(t.Context(), to)
				require.NoError(t, err)
				stays := redis.Call{Entry: wire.Entry{
					Body:      []byte("another, that stays"),
					CallID:    "d",
					DeliverAt: time.Now().Add(time.Hour),
				}}
				q.ask(stays)
				before := q.bytes()
				q.ask(keyed("k", "c", "x"))
				require.Greater(t, q.bytes()[0], before[0]+256)
				end(q)
				require.Equal(t, before[0], q.bytes()[0])
				b, err := q.Take(t.Context(), to, 9, redis.Holder{Instance: "me", Lease: time.Minute})
				require.NoError(t, err)
				for _, d := range b.Deliveries {
					require.NotZero(t, q.bytes()[1])
					_, err := q.Retry(t.Context(), to, d, 0, no)
					require.NoError(t, err)
				}
				b, err = q.Take(t.Context(), to, 9, redis.Holder{Instance: "me", Lease: time.Minute})
				require.NoError(t, err)
				if len(b.Deliveries) > 0 {
					require.NoError(t, q.SettleAll(t.Context(), to, b.Deliveries))
				}
				require.Zero(t, q.bytes()[1])
			})
		})
	}
}

func TestClear(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		later := time.Now().Add(time.Hour)
		dead, flying, retried := keyed("dead", "dead", "x"), keyed("flying", "flying", "x"),
			keyed("retried", "retried", "x")
		q.ask(dead)
		_, err := q.Bury(t.Context(), q.sub, q.one(), redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		q.ask(retried)
		_, err = q.Retry(t.Context(), q.sub, q.one(), time.Hour, redis.Failure{Reason: "no"})
		require.NoError(t, err)
		q.ask(flying)
		q.one()
		q.enqueueEntry(wire.Entry{Body: []byte("parked"), CallID: "parked", DeliverAt: later})
		require.Empty(t, q.take(1).Deliveries)
		for i := range 1500 { // more than one script looks at
			e := wire.Entry{Body: []byte("x"), CallID: "c"}
			if i%3 == 0 {
				e.DeliverAt = later
			}
			q.enqueueEntry(e)
		}
		done, err := q.Clear(t.Context(), q.sub, false, true)
		require.NoError(t, err)
		require.Equal(t, redis.Cleared{Delayed: 501}, done)
		require.Equal(t, redis.Depth{Waiting: 1000, Leased: 1, Due: 1, Dead: 1}, q.depth())
		done, err = q.Clear(t.Context(), q.sub, true, true)
		require.NoError(t, err)
		require.Equal(t, redis.Cleared{Queued: 1001}, done)
		require.Equal(t, redis.Depth{Leased: 1, Dead: 1}, q.depth())
		require.True(t, q.ask(flying).Before)
		require.True(t, q.ask(dead).Before)
		require.False(t, q.ask(retried).Before, "its key is free")

		_, err = q.Clear(t.Context(), redis.TopicOf(fn, "a.b"), true, true)
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
		done, err = q.Clear(t.Context(), redis.CallbacksOf(fn), true, true)
		require.NoError(t, err)
		require.Zero(t, done)
	})
}

// small is a queue on a Redis with little memory.
func small(t *testing.T) queue {
	t.Helper()
	q := open(t, chaintest.Full(t).Client)
	_, err := q.Subscribe(t.Context(), redis.CallbacksOf(fn))
	require.NoError(t, err)
	return q
}

// keepsWorking tells that the platform's own writes have room, in a Redis that takes no more calls.
func (q queue) keepsWorking() {
	q.t.Helper()
	ctx := q.t.Context()
	require.NoError(q.t, q.raw.Set(ctx, "{hearth}:a spec", make([]byte, 100_000), 0).Err())
	require.NoError(q.t, q.raw.Del(ctx, "{hearth}:a spec").Err())
	other := hearth.Name{Function: "other", Namespace: fn.Namespace}
	_, err := q.Subscribe(ctx, redis.CallsOf(other))
	require.NoError(q.t, err, "a function can be deployed")
}

// TestCallersCannotFillRedisWithCallsAndCallbacks: calls whose callbacks reach nobody. What is accepted is
// made, and when the callbacks are given up, calls are accepted again, and nobody had to purge anything.
func TestCallersCannotFillRedisWithCallsAndCallbacks(t *testing.T) {
	t.Parallel()
	q := small(t)
	unlimited := hearth.QueueLimit{Length: 100_000, Bytes: 256 << 20}
	accepted, refused := 0, 0
	for range 100 { // of 90 KB each: more than this Redis has
		_, err := q.Enqueue(t.Context(), fn,
			redis.Call{Entry: wire.Entry{
				Body:     make([]byte, 90_000),
				CallID:   "c",
				Callback: "http://192.0.2.1/",
			}}, unlimited)
		if err != nil {
			require.Contains(t, []hearth.Code{hearth.Exhausted, hearth.Unavailable}, hearth.CodeOf(err), err)
			refused++
			continue
		}
		accepted++
		q.answered(90_000)
	}
	require.Positive(t, refused)
	require.Greater(t, accepted, 20)
	q.keepsWorking()
	for range accepted {
		q.buryCallback()
	}
	for range 100 {
		_, err := q.Enqueue(t.Context(), fn,
			redis.Call{Entry: wire.Entry{
				Body:     make([]byte, 90_000),
				CallID:   "c",
				Callback: "http://192.0.2.1/",
			}}, unlimited)
		require.NoError(t, err)
		q.answered(90_000)
		q.buryCallback()
	}
	q.keepsWorking()
}

// TestCallersCannotFillRedisWithKeys of calls that were answered at once.
func TestCallersCannotFillRedisWithKeys(t *testing.T) {
	t.Parallel()
	q := small(t)
	names := []hearth.Name{fn}
	for i := range 7 {
		n := hearth.Name{Function: fmt.Sprint("f", i), Namespace: fn.Namespace}
		_, err := q.Subscribe(t.Context(), redis.CallsOf(n))
		require.NoError(t, err)
		names = append(names, n)
	}
	ctx, refused := t.Context(), 0
	ended := int(float64(time.Now().Add(24 * time.Hour).UnixMilli()))
	for _, n := range names { // as if 9,900 calls of each had ended: they would fill this Redis by themselves
		stream, pipe := redis.CallsOf(n).Stream, q.raw.Pipeline()
		for i := range 9_900 {
			key := fmt.Sprintf("%032d", i)
			pipe.HSet(ctx, stream+":keys", key, strings.Repeat("d", 32)+" 1795437512656-0 request "+
				strings.Repeat("c", 36))
			pipe.ZAdd(ctx, stream+":ended", goredis.Z{Score: float64(ended + i), Member: key})
		}
		_, _ = pipe.Exec(ctx) // until it is full
	}
	for i := range 200 {
		n := names[i%len(names)]
		_, err := q.Enqueue(ctx, n, keyed(fmt.Sprint("k", i), "c", "x"), limit)
		if err != nil {
			require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))
			refused++
			time.Sleep(10 * time.Millisecond) // a caller that tries again
			continue
		}
		b, err := q.Take(ctx, redis.CallsOf(n), 1, redis.Holder{Instance: "me", Lease: time.Minute})
		require.NoError(t, err)
		require.NoError(t, q.SettleAll(ctx, redis.CallsOf(n), b.Deliveries))
	}
	require.Less(t, refused, 150, "old keys are forgotten, and calls are accepted again")
	q.keepsWorking()
}

// TestAFullRedisStillKnowsItsCalls: a repeat is told that its call was queued before.
func TestAFullRedisStillKnowsItsCalls(t *testing.T) {
	t.Parallel()
	q := small(t)
	first := q.ask(keyed("k", "c", "x"))
	for i := 0; ; i++ {
		_, err := q.Enqueue(t.Context(), fn,
			redis.Call{Entry: wire.Entry{Body: make([]byte, 50_000), CallID: "c"}},
			hearth.QueueLimit{Length: 1000, Bytes: 1 << 30})
		if err != nil {
			break
		}
		require.Less(t, i, 1000)
	}
	other := hearth.Name{Function: "other", Namespace: fn.Namespace}
	_, err := q.Subscribe(t.Context(), redis.CallsOf(other))
	require.NoError(t, err)
	for i := 0; ; i++ { // one function may use half of it
		_, err := q.Enqueue(t.Context(), other,
			redis.Call{Entry: wire.Entry{Body: make([]byte, 50_000), CallID: "c"}},
			hearth.QueueLimit{Length: 1000, Bytes: 1 << 30})
		if hearth.CodeOf(err) == hearth.Unavailable {
			require.ErrorContains(t, err, "Redis is full")
			break
		}
		require.NoError(t, err)
		require.Less(t, i, 1000)
	}
	again := q.ask(keyed("k", "c", "x"))
	require.True(t, again.Before)
	require.Equal(t, first.ID, again.ID)
	q.keepsWorking()
}
