package redis_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// keyed is a call with an Idempotency-Key.
func keyed(key, callID, body string) redis.Call {
	return redis.Call{Key: key, Entry: wire.Entry{Body: []byte(body), CallID: callID, Method: "POST"}}
}

// ask queues a call, or finds that it was queued before.
func (q queue) ask(c redis.Call) redis.QueuedCall {
	q.t.Helper()
	got, err := q.Enqueue(q.t.Context(), fn, c, limit)
	require.NoError(q.t, err)
	return got
}

// keys are how many keys are known, and of how many of them the call has ended.
func (q queue) keys() [2]int64 {
	tag := strings.TrimSuffix(q.sub.Stream, ".calls")
	return [2]int64{q.raw.HLen(q.t.Context(), tag+".calls:keys").Val(),
		q.raw.ZCard(q.t.Context(), tag+".calls:ended").Val()}
}

func TestEnqueueOncePerKey(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		first := q.ask(keyed("k", "c1", "x"))
		require.Equal(t, redis.QueuedCall{CallID: "c1", ID: first.ID, State: redis.Queued}, first)
		again := q.ask(keyed("k", "c2", "x"))
		require.Equal(t, redis.QueuedCall{CallID: "c1", ID: first.ID, State: redis.Queued, Before: true},
			again, "the same call, under its first call id")
		require.Equal(t, 1, q.depth().Waiting)

		for what, change := range map[string]func(*redis.Call){
			"method":       func(c *redis.Call) { c.Method = "PUT" },
			"path":         func(c *redis.Call) { c.Path = "/a" },
			"query":        func(c *redis.Call) { c.Query = "a=b" },
			"body":         func(c *redis.Call) { c.Body = []byte("y") },
			"content type": func(c *redis.Call) { c.ContentType = "text/x" },
			"callback":     func(c *redis.Call) { c.Callback = "http://x/" },
		} {
			other := keyed("k", "c1", "x")
			change(&other)
			_, err := q.Enqueue(t.Context(), fn, other, limit)
			require.Equal(t, hearth.Unprocessable, hearth.CodeOf(err), what)
		}
		_, err := q.Enqueue(t.Context(), fn, keyed("k", "c3", "x"),
			hearth.QueueLimit{Length: 1, Bytes: 1 << 20})
		require.NoError(t, err, "a full queue still knows its calls")
		_, err = q.Enqueue(t.Context(), fn, keyed("k2", "c4", "x"),
			hearth.QueueLimit{Length: 1, Bytes: 1 << 20})
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(err))
		require.Equal(t, [2]int64{1, 0}, q.keys(), "one that was refused is not remembered")
	})
}

// TestOneCallIDForSeveralCalls: it is for correlation. Functions pass it on, so calls that have it in common
// are still different ones.
func TestOneCallIDForSeveralCalls(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		ids := map[string]bool{}
		for _, callback := range []string{"http://a/", "http://b/", "http://b/"} {
			got := q.ask(redis.Call{Entry: wire.Entry{Body: []byte("x"), CallID: "c", Callback: callback}})
			require.False(t, got.Before)
			ids[got.ID] = true
		}
		require.Len(t, ids, 3)
		require.Equal(t, 3, q.depth().Waiting)
	})
}

// TestAKeyIsKnownAsLongAsItsCall: what a repeat is told, and whether it runs, after each thing that can
// become of a call.
func TestAKeyIsKnownAsLongAsItsCall(t *testing.T) {
	no := redis.Failure{Reason: "no"}
	bury := func(q queue, d redis.Delivery) {
		_, err := q.Bury(q.t.Context(), q.sub, d, no, nil)
		require.NoError(q.t, err)
	}
	settle := func(q queue, d redis.Delivery) {
		_, err := q.Settle(q.t.Context(), q.sub, d, nil)
		require.NoError(q.t, err)
	}
	cancel := func(q queue) {
		ids, _, err := q.Cancel(q.t.Context(), fn, "c", "")
		require.NoError(q.t, err)
		require.Len(q.t, ids, 1)
	}
	for name, tt := range map[string]struct {
		at    time.Time
		after func(q queue)
		want  redis.State // "" if the key is free
	}{
		"nothing": {want: redis.Queued, after: func(queue) {}},
		"its delay": {
			want:  redis.Delayed,
			at:    time.Now().Add(time.Hour),
			after: func(queue) {},
		},
		"being set aside": {
			want:  redis.Delayed,
			at:    time.Now().Add(time.Hour),
			after: func(q queue) { q.take(1) },
		},
		"being taken": {want: redis.InFlight, after: func(q queue) { q.one() }},
		"its lease":   {want: redis.InFlight, after: func(q queue) { q.one(); q.expire() }},
		"a failed attempt": {want: redis.Delayed,
			after: func(q queue) { _, _ = q.Retry(q.t.Context(), q.sub, q.one(), time.Hour, no) }},
		"its last attempt": {want: redis.Dead, after: func(q queue) { bury(q, q.one()) }},
		"its answer":       {want: redis.Finished, after: func(q queue) { settle(q, q.one()) }},
		"an answer, settled late": {want: redis.Finished,
			after: func(q queue) { d := q.one(); bury(q, d); settle(q, d) }},
		"an answer, told twice": {want: redis.Finished,
			after: func(q queue) { d := q.one(); settle(q, d); settle(q, d) }},
		"a day after its answer": {after: func(q queue) {
			settle(q, q.one())
			ended := strings.TrimSuffix(q.sub.Stream, ".calls") + ".calls:ended"
			key := q.raw.ZRange(q.t.Context(), ended, 0, -1).Val()[0]
			left := time.Until(time.UnixMilli(int64(q.raw.ZScore(q.t.Context(), ended, key).Val())))
			require.InDelta(q.t, 24*time.Hour, left, float64(time.Minute))
			q.raw.ZAdd(q.t.Context(), ended,
				goredis.Z{Score: float64(time.Now().UnixMilli() - 1), Member: key})
		}},
		"a cancel": {after: cancel},
		"a cancel during its delay": {at: time.Now().Add(time.Hour),
			after: func(q queue) { q.take(1); cancel(q) }},
		"a cancel while it is going": {after: func(q queue) { d := q.one(); cancel(q); settle(q, d) }},
		"a purge": {after: func(q queue) {
			d := q.one()
			bury(q, d)
			n, err := q.Purge(q.t.Context(), q.sub, []string{d.ID})
			require.NoError(q.t, err)
			require.Equal(q.t, 1, n)
		}},
		"a redrive": {want: redis.Delayed, after: func(q queue) {
			d := q.one()
			bury(q, d)
			_, _ = q.Redrive(q.t.Context(), q.sub, []string{d.ID})
		}},
		"an XDEL by hand": {after: func(q queue) { q.raw.XTrimMaxLen(q.t.Context(), q.sub.Stream, 0) }},
	} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, q queue) {
				c := keyed("k", "c", "x")
				c.DeliverAt = tt.at
				first := q.ask(c)
				tt.after(q)
				again := q.ask(keyed("k", "another", "x"))
				if tt.want != "" {
					require.Equal(t,
						redis.QueuedCall{CallID: "c", ID: first.ID, State: tt.want, Before: true}, again)
					return
				}
				require.Equal(t, redis.QueuedCall{CallID: "another", ID: again.ID, State: redis.Queued},
					again)
				require.NotEqual(t, first.ID, again.ID)
				require.Equal(t, [2]int64{1, 0}, q.keys())
				d := q.one()
				require.Equal(t, again.ID, d.ID, "it runs")
				settle(q, d)
				require.Equal(t, redis.Finished, q.ask(c).State)
			})
		})
	}
}

// TestAnEntryOfAStrangerFreesNoKey: whoever may add entries may name any key in them.
func TestAnEntryOfAStrangerFreesNoKey(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		c := keyed("k", "c", "x")
		first := q.ask(c)
		key := q.raw.XRange(t.Context(), q.sub.Stream, "-", "+").Val()[0].Values["key"]
		for range 2 {
			require.NoError(t,
				q.raw.XAdd(t.Context(), &goredis.XAddArgs{
					Stream: q.sub.Stream,
					Values: []any{"body", "x", "call-id", "theirs", "key", key},
				}).Err())
		}
		cancelled, _, err := q.Cancel(t.Context(), fn, "theirs", "")
		require.NoError(t, err)
		require.Len(t, cancelled, 2)
		require.Equal(t, redis.QueuedCall{CallID: "c", ID: first.ID, State: redis.Queued, Before: true},
			q.ask(c))
	})
}

// TestKeysOfEndedCallsAreBounded in number, and forgotten when their time is over.
func TestKeysOfEndedCallsAreBounded(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		const most = 10_000
		tag := strings.TrimSuffix(q.sub.Stream, ".calls")
		pipe := q.raw.Pipeline()
		later := float64(time.Now().Add(time.Hour).UnixMilli())
		for i := range most { // as if that many had ended
			pipe.HSet(t.Context(), tag+".calls:keys", fmt.Sprint("old ", i), "digest 1-1 request call")
			pipe.ZAdd(t.Context(), tag+".calls:ended",
				goredis.Z{Score: later + float64(i), Member: fmt.Sprint("old ", i)})
		}
		_, err := pipe.Exec(t.Context())
		require.NoError(t, err)
		for i := range 3 {
			c := keyed(fmt.Sprint("k", i), "c", "x")
			q.ask(c)
			_, err := q.Settle(t.Context(), q.sub, q.one(), nil)
			require.NoError(t, err)
			require.Equal(t, redis.Finished, q.ask(c).State)
		}
		require.Equal(t, [2]int64{most, most}, q.keys())
		require.Equal(t, "old 3", q.raw.ZRange(t.Context(), tag+".calls:ended", 0, 0).Val()[0],
			"the oldest are forgotten")

		for _, key := range q.raw.ZRange(t.Context(), tag+".calls:ended", 0, 49).Val() {
			q.raw.ZAdd(t.Context(), tag+".calls:ended", goredis.Z{Score: 1, Member: key})
		}
		for range 3 {
			q.ask(keyed(fmt.Sprint("another ", time.Now().UnixNano()), "c", "x"))
		}
		require.Equal(t, [2]int64{most - 50 + 3, most - 50}, q.keys(),
			"a call with a key forgets some whose time is over")
	})
}

// TestKeysWithoutCallsAreForgotten: of calls that a version before this one has settled, or that somebody has
// trimmed away.
func TestKeysWithoutCallsAreForgotten(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.ask(keyed("ended", "c", "x"))
		_, err := q.Settle(t.Context(), q.sub, q.one(), nil)
		require.NoError(t, err)
		for i := range 1200 {
			q.ask(keyed(fmt.Sprint("k", i), "c", "x"))
		}
		require.NoError(t, q.raw.XTrimMaxLen(t.Context(), q.sub.Stream, 1).Err())
		require.Equal(t, [2]int64{1201, 1}, q.keys())
		_, err = q.Sweep(t.Context(), q.sub, time.Minute)
		require.NoError(t, err)
		require.Equal(t, [2]int64{2, 1}, q.keys())
		require.True(t, q.ask(keyed("ended", "c", "x")).Before)
		require.True(t, q.ask(keyed("k1199", "c", "x")).Before)
	})
}

// TestKeyOfTheVersionBeforeIsRead: a call that was queued before an upgrade is not queued again.
func TestKeyOfTheVersionBeforeIsRead(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		hash := func(text string) string {
			sum := sha256.Sum256([]byte(text))
			return hex.EncodeToString(sum[:16])
		}
		old := strings.TrimSuffix(q.sub.Stream, ".calls") + ":once:" + hash("key k")
		require.NoError(t,
			q.raw.Set(t.Context(), old, hash("POST\x00\x00\x00x")+" c of old", time.Hour).Err())
		require.Equal(t, redis.QueuedCall{CallID: "c of old", State: redis.Unknown, Before: true},
			q.ask(keyed("k", "c", "x")))
		_, err := q.Enqueue(t.Context(), fn, keyed("k", "c", "y"), limit)
		require.Equal(t, hearth.Unprocessable, hearth.CodeOf(err))
		require.Zero(t, q.depth().Waiting)
	})
}

// TestKeysOutliveTheRemovalOfTheirFunctionForADay, and no longer.
func TestKeysOutliveTheRemovalOfTheirFunctionForADay(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		c := keyed("k", "c", "x")
		q.ask(c)
		_, err := q.Settle(t.Context(), q.sub, q.one(), nil)
		require.NoError(t, err)
		done, err := q.Unsubscribe(t.Context(), q.sub, false)
		require.NoError(t, err)
		require.True(t, done)
		keys := strings.TrimSuffix(q.sub.Stream, ".calls") + ".calls:keys"
		require.InDelta(t, 24*time.Hour, q.raw.PTTL(t.Context(), keys).Val(), float64(time.Minute))
		_, err = q.Subscribe(t.Context(), q.sub)
		require.NoError(t, err)
		require.Equal(t, redis.Finished, q.ask(c).State)
		q.ask(keyed("k2", "c", "x"))
		require.Negative(t, q.raw.PTTL(t.Context(), keys).Val(), "it is used again")
	})
}
