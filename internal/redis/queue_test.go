package redis_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestTakeAndSettle(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for i := range 5 {
			q.enqueue(fmt.Sprint(i))
		}
		require.Equal(t, redis.Depth{Waiting: 5}, q.depth())
		b := q.take(3)
		require.Len(t, b.Deliveries, 3)
		require.False(t, b.Drained)
		require.Equal(t, redis.Depth{Waiting: 2, Leased: 3}, q.depth())
		rest := q.take(10)
		require.Len(t, rest.Deliveries, 2)
		require.True(t, rest.Drained)
		require.Equal(t, rest.Deliveries[1].ID, rest.Last)
		require.Greater(t, rest.Next, 50*time.Second, "the first lease runs out in a minute")
		seen := map[string]bool{}
		for i, d := range append(b.Deliveries, rest.Deliveries...) {
			require.Equal(t, fmt.Sprint(i), body(t, d))
			require.Equal(t, 1, d.Attempt)
			require.WithinDuration(t, time.Now(), d.Since, 5*time.Second)
			require.False(t, seen[d.Token], "each delivery has a token of its own")
			seen[d.Token] = true
			done, err := q.Settle(t.Context(), q.sub, d, nil)
			require.NoError(t, err)
			require.True(t, done)
			done, err = q.Settle(t.Context(), q.sub, d, nil)
			require.NoError(t, err)
			require.False(t, done)
		}
		q.empty()
		b = q.take(1)
		require.Empty(t, b.Deliveries)
		require.Negative(t, b.Next)
	})
}

func TestLeaseThatRanOutIsTakenAgain(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		first := q.one()
		require.Empty(t, q.take(1).Deliveries, "it is leased")
		q.expire()
		second := q.one()
		require.Equal(t, first.ID, second.ID)
		require.Equal(t, 2, second.Attempt)
		require.NotEqual(t, first.Token, second.Token)

		held, err := q.Retry(t.Context(), q.sub, first, 0, redis.Failure{Reason: "late"})
		require.NoError(t, err)
		require.False(t, held, "an older token may not reschedule")
		held, err = q.Bury(t.Context(), q.sub, first, redis.Failure{Reason: "late"}, nil)
		require.NoError(t, err)
		require.False(t, held, "nor bury")
		done, err := q.Settle(t.Context(), q.sub, first, nil)
		require.NoError(t, err)
		require.True(t, done, "but a late success is a success")
		q.empty()
	})
}

func TestRetryWaitsAndCounts(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		held, err := q.Retry(t.Context(), q.sub, q.one(), time.Hour, redis.Failure{Reason: "one"})
		require.NoError(t, err)
		require.True(t, held)
		b := q.take(1)
		require.Empty(t, b.Deliveries)
		require.Greater(t, b.Next, 59*time.Minute)
		require.Equal(t, redis.Depth{Due: 1}, q.depth())
		q.expire()
		d := q.one()
		require.Equal(t, 2, d.Attempt)
		_, err = q.Bury(t.Context(), q.sub, d, redis.Failure{Reason: "two", Status: 500, Attempt: 2}, nil)
		require.NoError(t, err)
		require.Equal(t, redis.Depth{Dead: 1}, q.depth())
		letters := q.letters()
		require.Len(t, letters, 1)
		require.Equal(t, 2, letters[0].Attempts)
		require.Equal(t, "x", string(letters[0].Entry.Body))
		require.Equal(t, []string{"one", "two"},
			[]string{letters[0].Failures[0].Reason, letters[0].Failures[1].Reason})
		require.WithinDuration(t, time.Now(), letters[0].Queued, 5*time.Second)
		require.WithinDuration(t, time.Now(), letters[0].Buried, 5*time.Second)
	})
}

func TestBusyIsNoAttempt(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		since := time.Time{}
		for range 5 {
			d := q.one()
			require.Equal(t, 1, d.Attempt)
			require.True(t, since.IsZero() || since.Equal(d.Since), "the age goes on")
			since = d.Since
			held, err := q.Busy(t.Context(), q.sub, d, 0)
			require.NoError(t, err)
			require.True(t, held)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		var ids []string
		for i := range 4 {
			q.enqueue(fmt.Sprint(i))
			d := q.one()
			ids = append(ids, d.ID)
			_, err := q.Bury(t.Context(), q.sub, d, redis.Failure{Reason: "no"}, nil)
			require.NoError(t, err)
			if i == 3 { // a late success takes it off the list
				done, err := q.Settle(t.Context(), q.sub, d, nil)
				require.NoError(t, err)
				require.True(t, done)
			}
		}
		require.Equal(t, redis.Depth{Dead: 3}, q.depth())
		require.Empty(t, q.take(5).Deliveries)

		_, ok, err := q.DeadLetter(t.Context(), q.sub, ids[3])
		require.NoError(t, err)
		require.False(t, ok)
		n, err := q.Redrive(t.Context(), q.sub, []string{ids[0], ids[0], ids[3], "1-1"})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		d := q.one()
		require.Equal(t, ids[0], d.ID)
		require.Equal(t, 1, d.Attempt, "it has all its attempts again")
		n, err = q.Redrive(t.Context(), q.sub, []string{ids[0]})
		require.NoError(t, err)
		require.Zero(t, n, "it is not dead now")
		n, err = q.Purge(t.Context(), q.sub, ids)
		require.NoError(t, err)
		require.Equal(t, 2, n, "only dead letters are thrown away")
		_, err = q.Settle(t.Context(), q.sub, d, nil)
		require.NoError(t, err)
		q.empty()
	})
}

func TestCallbackIsQueuedWithTheEnd(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		to := redis.CallbacksOf(fn)
		_, err := q.Subscribe(t.Context(), to)
		require.NoError(t, err)
		cb := &redis.Callback{
			Of:    fn,
			Entry: wire.Entry{Body: []byte("answer"), Callback: "http://x/", Header: http.Header{"A": {"b"}}},
		}
		q.enqueue("x")
		d := q.one()
		for range 2 {
			_, err = q.Settle(t.Context(), q.sub, d, cb)
			require.NoError(t, err)
		}
		require.EqualValues(t, 1, q.raw.XLen(t.Context(), to.Stream).Val(),
			"once, although it was settled twice")
		b, err := q.Take(t.Context(), to, 1, redis.Holder{Instance: "me", Lease: time.Minute})
		require.NoError(t, err)
		e, err := wire.ParseEntry(b.Deliveries[0].Fields)
		require.NoError(t, err)
		require.Equal(t, cb.Entry, e)

		q.enqueue("y")
		_, err = q.Bury(t.Context(), q.sub, q.one(), redis.Failure{Reason: "no"}, cb)
		require.NoError(t, err)
		require.EqualValues(t, 2, q.raw.XLen(t.Context(), to.Stream).Val())
	})
}

func TestReclaimOwnLeasesOnly(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		q.enqueue("y")
		mine := q.one()
		_, err := q.Take(t.Context(), q.sub, 1, redis.Holder{Instance: "me-too", Lease: time.Minute})
		require.NoError(t, err)
		n, err := q.Reclaim(t.Context(), q.sub, "me")
		require.NoError(t, err)
		require.Equal(t, 1, n)
		b := q.take(5)
		require.Len(t, b.Deliveries, 1)
		require.Equal(t, mine.ID, b.Deliveries[0].ID)
	})
}

func TestSweepFindsWhatNobodyHolds(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for i := range 150 {
			q.enqueue(fmt.Sprint(i))
		}
		_, err := q.raw.XReadGroup(t.Context(), &goredis.XReadGroupArgs{
			Group:    q.sub.Group,
			Consumer: "stranger",
			Streams:  []string{q.sub.Stream, ">"},
			Count:    149,
		}).Result()
		require.NoError(t, err)
		q.one()
		n, err := q.Sweep(t.Context(), q.sub, time.Minute)
		require.NoError(t, err)
		require.Equal(t, 149, n)
		n, err = q.Sweep(t.Context(), q.sub, time.Minute)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, redis.Depth{Leased: 150}, q.depth())
	})
}

func TestEntryThatIsGoneIsStillDelivered(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		d := q.one()
		q.raw.XDel(t.Context(), q.sub.Stream, d.ID)
		q.expire()
		d = q.one()
		require.Nil(t, d.Fields, "for the dispatcher to bury, with that reason")
		_, err := q.Bury(t.Context(), q.sub, d, redis.Failure{Reason: "gone"}, nil)
		require.NoError(t, err)
		letters := q.letters()
		require.NotEmpty(t, letters[0].Bad)
		_, err = q.Purge(t.Context(), q.sub, []string{d.ID})
		require.NoError(t, err)
		q.empty()
	})
}

// TestUntakeLosesNoLateSuccess: what an instance does not know of may still be of a call that was made, by its
// former life, or whose end it could not tell Redis.
func TestUntakeLosesNoLateSuccess(t *testing.T) {
	for name, restart := range map[string]bool{"of a former life": true, "of this one": false} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, q queue) {
				q.enqueue("x")
				old := q.one()
				if restart {
					n, err := q.Reclaim(t.Context(), q.sub, "me")
					require.NoError(t, err)
					require.Equal(t, 1, n)
				}
				n, err := q.Untake(t.Context(), q.sub, "me", nil)
				require.NoError(t, err)
				require.Equal(t, !restart, n == 1, "a lease that has ended is taken anyway")
				again := q.one()
				if restart {
					require.Equal(t, 2, again.Attempt, "an attempt that was cut off counts")
				}
				done, err := q.Settle(t.Context(), q.sub, old, nil)
				require.NoError(t, err)
				require.True(t, done)
				q.empty()
			})
		})
	}
}

func TestUntakeGivesBackWhatNobodyKnowsOf(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for _, body := range []string{"lost", "known", "another's"} {
			q.enqueue(body)
		}
		lost, known := q.one(), q.one()
		_, err := q.Take(t.Context(), q.sub, 1, redis.Holder{Instance: "me-too", Lease: time.Minute})
		require.NoError(t, err)
		for _, want := range []int{1, 0} {
			n, err := q.Untake(t.Context(), q.sub, "me", []string{known.Token})
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		require.Equal(t, redis.Depth{Leased: 2, Due: 1}, q.depth())
		again := q.one()
		require.Equal(t, lost.ID, again.ID)
		require.Equal(t, 1, again.Attempt, "it was no attempt")
		require.Equal(t, lost.Since, again.Since)
		done, err := q.Settle(t.Context(), q.sub, known, nil)
		require.NoError(t, err)
		require.True(t, done)
	})
}
