package redis_test

import (
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

func (q queue) enqueueEntry(e wire.Entry) {
	q.t.Helper()
	_, err := q.Enqueue(q.t.Context(), fn, redis.Call{Entry: e}, limit)
	require.NoError(q.t, err)
}

func TestDelayedCallIsNotTakenBeforeItsTime(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for i := range 3 {
			q.enqueueEntry(wire.Entry{
				Body:      fmt.Append(nil, "later ", i),
				CallID:    "l",
				DeliverAt: time.Now().Add(time.Hour),
			})
		}
		q.enqueue("now")
		q.enqueueEntry(wire.Entry{Body: []byte("past"), CallID: "p", DeliverAt: time.Now().Add(-time.Hour)})
		b := q.take(2)
		require.Len(t, b.Deliveries, 2, "those that wait for their time use up no room")
		require.Equal(t, "now", body(t, b.Deliveries[0]))
		require.Equal(t, "past", body(t, b.Deliveries[1]))
		b = q.take(1)
		require.Empty(t, b.Deliveries)
		require.Equal(t, redis.Depth{Leased: 2, Delayed: 3}, q.depth())
		require.LessOrEqual(t, b.Next, time.Minute, "the leases run out first")
		q.expire()
		b = q.take(10)
		require.Len(t, b.Deliveries, 5)
		for _, d := range b.Deliveries {
			if strings.HasPrefix(body(t, d), "later") {
				require.Equal(t, 1, d.Attempt)
				require.WithinDuration(t, time.Now(), d.Since, time.Minute,
					"its age begins with its first delivery")
			}
		}
	})
}

func TestTimeThatCannotBeReadIsNoDelay(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for _, at := range []string{"soon", "-5", "inf", "1e300", "99999999999999999999"} {
			require.NoError(t,
				q.raw.XAdd(t.Context(), &goredis.XAddArgs{
					Stream: q.sub.Stream,
					Values: []string{"body", "x", "deliver-at", at},
				}).Err())
			_, err := wire.ParseEntry(q.one().Fields)
			require.ErrorContains(t, err, `field "deliver-at"`,
				"it is delivered, and its reader says what is wrong")
		}
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		call := redis.Call{Entry: wire.Entry{Body: make([]byte, 400), CallID: "c"}}
		enqueue := func() error {
			_, err := q.Enqueue(t.Context(), fn, call, hearth.QueueLimit{Length: 100, Bytes: 1000})
			return err
		}
		bytes := func() string { return q.raw.Get(t.Context(), "{fn:oven.openfaas-fn}.calls:bytes").Val() }
		require.NoError(t, enqueue())
		require.NoError(t, enqueue())
		require.Equal(t, fmt.Sprint(2*(400+len("body")+len("call-id")+1)), bytes())
		full := enqueue()
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(full))
		require.ErrorContains(t, full, "has 2 calls with 824 bytes in total")

		d := q.one()
		_, err := q.Bury(t.Context(), q.sub, d, redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		require.ErrorContains(t, enqueue(), "1 of them dead letters", "a dead letter still takes its place")
		_, err = q.Purge(t.Context(), q.sub, []string{d.ID})
		require.NoError(t, err)
		require.Equal(t, "412", bytes())
		require.NoError(t, enqueue())
		cancelled, _, err := q.Cancel(t.Context(), fn, "c", "")
		require.NoError(t, err)
		require.Len(t, cancelled, 2)
		require.Empty(t, bytes(), "what is empty has none")

		require.NoError(t, enqueue())
		require.NoError(t, enqueue())
		b := q.take(5)
		require.NoError(t, q.SettleAll(t.Context(), q.sub, append(b.Deliveries, b.Deliveries[0])))
		require.Empty(t, bytes())
		require.NoError(t, enqueue())
		forged := q.one()
		forged.Token = "me:forged-and-long-enough"
		require.ErrorContains(t, q.SettleAll(t.Context(), q.sub, []redis.Delivery{forged}), "never issued")
		require.Equal(t, 1, q.depth().Leased)
	})
}

func TestCancel(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for i := range 1100 { // more than one script looks at
			q.enqueueEntry(wire.Entry{Body: []byte("x"), CallID: fmt.Sprint("call-", i%1099)})
			if i == 99 {
				q.take(50)
			}
		}
		last := q.raw.XRevRangeN(t.Context(), q.sub.Stream, "+", "-", 1).Val()[0].ID
		for only, callID := range map[string]string{"1-1": "call-0", last: "call-1"} {
			cancelled, _, err := q.Cancel(t.Context(), fn, callID, only)
			require.NoError(t, err)
			require.Empty(t, cancelled, "neither another id nor another call id is meant")
		}
		cancelled, dead, err := q.Cancel(t.Context(), fn, "call-0", "")
		require.NoError(t, err)
		require.Len(t, cancelled, 2, "one under way, and one that waits")
		require.Empty(t, dead)
		require.Equal(t, redis.Depth{Waiting: 1049, Leased: 49}, q.depth())
		cancelled, _, err = q.Cancel(t.Context(), fn, "call-0", "")
		require.NoError(t, err)
		require.Empty(t, cancelled)
		third := q.raw.XRange(t.Context(), q.sub.Stream, "-", "+").Val()[2]
		cancelled, _, err = q.Cancel(t.Context(), fn, third.Values["call-id"].(string), third.ID)
		require.NoError(t, err)
		require.Equal(t, []string{third.ID}, cancelled)
		q.enqueueEntry(wire.Entry{Body: []byte("x"), CallID: "in its place"})

		q.expire()
		d := q.one()
		_, err = q.Bury(t.Context(), q.sub, d, redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		e, err := wire.ParseEntry(d.Fields)
		require.NoError(t, err)
		cancelled, dead, err = q.Cancel(t.Context(), fn, e.CallID, "")
		require.NoError(t, err)
		require.Empty(t, cancelled)
		require.Equal(t, []string{d.ID}, dead)
		require.Equal(t, 1, q.depth().Dead)
	})
}

func TestCancelledCallIsToldToItsHolder(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		d := q.one()
		_, _, err := q.Cancel(t.Context(), fn, "c-x", "")
		require.NoError(t, err)
		require.Equal(t, []redis.Renewal{redis.Gone}, q.renew(d))
		done, err := q.Settle(t.Context(), q.sub, d, nil)
		require.NoError(t, err)
		require.False(t, done, "its answer counts for nothing")
		held, err := q.Retry(t.Context(), q.sub, d, 0, redis.Failure{})
		require.NoError(t, err)
		require.False(t, held)
		q.empty()
	})
}

func TestAttemptWithoutAnEndIsNoted(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		q.one()
		for _, id := range q.raw.ZRange(t.Context(), q.sub.Keys()[1], 0, -1).Val() {
			q.raw.ZAdd(t.Context(), q.sub.Keys()[1], goredis.Z{Score: 5000, Member: id})
		}
		q.one()
		n, err := q.Reclaim(t.Context(), q.sub, "me")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		_, err = q.Bury(t.Context(), q.sub, q.one(), redis.Failure{Attempt: 3, Reason: "no"}, nil)
		require.NoError(t, err)
		letters := q.letters()
		f := letters[0].Failures
		require.Len(t, f, 3)
		require.Contains(t, f[0].Reason, "lease ran out")
		require.Equal(t, time.UnixMilli(5000).UTC(), f[0].At)
		require.Contains(t, f[1].Reason, "the instance ended")
		require.Equal(t, []int{1, 2, 3}, []int{f[0].Attempt, f[1].Attempt, f[2].Attempt})
	})
}

func TestNotesOfAnEntryThatFailsForEverAreBounded(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		long := strings.Repeat("y", 4000)
		for range 60 {
			_, err := q.Retry(t.Context(), q.sub, q.one(), 0, redis.Failure{Reason: "again", Body: long})
			require.NoError(t, err)
		}
		_, err := q.Bury(t.Context(), q.sub, q.one(), redis.Failure{Reason: "the last"}, nil)
		require.NoError(t, err)
		letters := q.letters()
		n := len(letters[0].Failures)
		require.Greater(t, n, 12)
		require.Less(t, n, 40)
		require.Equal(t, "the last", letters[0].Failures[n-1].Reason)
	})
}
