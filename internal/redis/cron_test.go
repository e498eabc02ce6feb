package redis_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var monday = time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)

func hour(n int) time.Time { return monday.Add(time.Duration(n) * time.Hour) }

// clocked is a queue with the cursor of fn's schedule.
type clocked struct {
	queue
	cursor redis.Cursor
}

func (q *clocked) keep(schedule string, created, since time.Time) time.Time {
	q.t.Helper()
	var err error
	q.cursor, err = q.KeepSchedule(q.t.Context(), fn, schedule, created, since, q.cursor)
	require.NoError(q.t, err)
	return q.cursor.Done()
}

func (q *clocked) tick(schedule string, when time.Time, id string) (fired bool, err error) {
	t := redis.Tick{Schedule: schedule, Time: when, Entry: wire.Entry{CallID: id}}
	q.cursor, fired, err = q.Tick(q.t.Context(), fn, q.cursor, t,
		hearth.QueueLimit{Length: 3, Bytes: 1 << 10})
	return fired, err
}

func TestATimeIsQueuedOnceAndNeverAnEarlierOne(t *testing.T) {
	servers(t, func(t *testing.T, plain queue) {
		q := &clocked{queue: plain}
		fired := func(n int, id string) bool {
			t.Helper()
			fired, err := q.tick("@hourly", hour(n), id)
			require.NoError(t, err)
			return fired
		}
		require.Equal(t, hour(0), q.keep("@hourly", hour(0), hour(0)))
		require.False(t, fired(0, "a"), "the deployment's own time is past")
		before := q.cursor
		require.True(t, fired(1, "b"))
		q.cursor = before
		require.True(t, fired(1, "b"), "its answer was lost")
		require.False(t, fired(1, "c"), "another hearth was first")
		require.True(t, fired(3, "d"))
		require.False(t, fired(2, "e"), "a later one was")
		require.Equal(t, redis.Depth{Waiting: 2}, q.depth())
		d := q.one()
		e, err := wire.ParseEntry(d.Fields)
		require.NoError(t, err)
		require.Equal(t, "b", e.CallID)
	})
}

func TestWhereAScheduleBegins(t *testing.T) {
	servers(t, func(t *testing.T, plain queue) {
		q := &clocked{queue: plain}
		require.Equal(t, hour(1), q.keep("@hourly", hour(1), hour(1)), "a new one: when it was deployed")
		_, err := q.tick("@hourly", hour(2), "a")
		require.NoError(t, err)
		require.Equal(t, hour(2), q.keep("@hourly", hour(1), hour(5)),
			"the same, deployed again: where it was")
		require.Equal(t, hour(6), q.keep("@daily", hour(1), hour(6)), "another: when that was deployed")
		require.Equal(t, hour(6), q.keep("@hourly", hour(1), hour(5)),
			"a hearth that comes late with the old one changes nothing")
		_, err = q.tick("@hourly", hour(7), "b")
		require.ErrorIs(t, err, redis.ErrOtherSchedule)
		require.Equal(t, hour(9), q.keep("@daily", hour(9), hour(9)),
			"the same of a function that was created anew")
		require.NoError(t, q.ForgetSchedule(t.Context(), fn))
		_, err = q.tick("@daily", hour(24), "c")
		require.ErrorIs(t, err, redis.ErrOtherSchedule, "it was removed")
		require.Zero(t, q.raw.Exists(t.Context(), "{fn:oven.openfaas-fn}:cron").Val())
		require.Equal(t, hour(3), q.keep("@daily", hour(1), hour(3)))
	})
}

func TestATickThatFindsNoPlaceIsNotForgotten(t *testing.T) {
	servers(t, func(t *testing.T, plain queue) {
		q := &clocked{queue: plain}
		q.keep("@hourly", hour(0), hour(0))
		for i := range 3 {
			q.enqueue(fmt.Sprint(i))
		}
		_, err := q.tick("@hourly", hour(1), "a")
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(err))
		_, err = q.Settle(t.Context(), q.sub, q.one(), nil)
		require.NoError(t, err)
		fired, err := q.tick("@hourly", hour(1), "a")
		require.NoError(t, err)
		require.True(t, fired)

		_, _, err = q.Tick(t.Context(), fn, q.cursor, redis.Tick{Schedule: "@hourly", Time: hour(2)},
			hearth.QueueLimit{Length: 100, Bytes: 10})
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(err), "by its bytes")
		for range 3 {
			_, err = q.Settle(t.Context(), q.sub, q.one(), nil)
			require.NoError(t, err)
		}
		q.empty()
		require.Zero(t, q.raw.Exists(t.Context(), "{fn:oven.openfaas-fn}.calls:bytes").Val(),
			"what ticks had is given back")

		_, err = q.Unsubscribe(t.Context(), q.sub, true)
		require.NoError(t, err)
		_, err = q.tick("@hourly", hour(2), "b")
		require.ErrorIs(t, err, redis.ErrNoGroup)
	})
}

func TestTwentyRaceForEachTimeAndOneFires(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	q := &clocked{queue: open(t, raw)}
	other, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	other.UseRecords(redis.Records{Key: recordKey})
	q.keep("@hourly", hour(0), hour(0))
	const times, racers = 50, 20
	for n := 1; n <= times; n++ {
		var fired atomic.Int32
		var all sync.WaitGroup
		for r := range racers {
			client := []*redis.Client{q.Client, other}[r%2]
			all.Go(func() {
				tick := redis.Tick{
					Schedule: "@hourly",
					Time:     hour(n),
					Entry:    wire.Entry{CallID: fmt.Sprint(r)},
				}
				// The cursor is out of date.
				_, first, err := client.Tick(t.Context(), fn, q.cursor, tick, limit)
				if err != nil {
					t.Error(err)
				}
				if first {
					fired.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, fired.Load(), "hour %d", n)
	}
	require.Equal(t, redis.Depth{Waiting: times}, q.depth())
}

func TestAFullRedisRefusesTicksAndKeepsTheirTime(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	q := &clocked{queue: open(t, full.Client)}
	q.keep("@hourly", hour(0), hour(0))
	full.Fill(t)
	_, err := q.tick("@hourly", hour(1), "a")
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))
	require.ErrorContains(t, err, "Redis is full")
	keys, err := full.Keys(t.Context(), "{full}:*").Result()
	require.NoError(t, err)
	require.NoError(t, full.Del(t.Context(), keys...).Err())
	fired, err := q.tick("@hourly", hour(1), "a")
	require.NoError(t, err)
	require.True(t, fired)
}

// TestForgedCursorIsReportedAndNotUsed: a cursor that somebody else wrote neither holds up a schedule nor
// repeats ticks.
func TestForgedCursorIsReportedAndNotUsed(t *testing.T) {
	const key = "{fn:oven.openfaas-fn}:cron"
	ctx := t.Context()
	for name, forge := range map[string]func(q *clocked){
		"any text": func(q *clocked) { q.raw.Set(ctx, key, "x", 0) },
		"without a MAC": func(q *clocked) {
			q.raw.Set(ctx, key, `{"schedule":"@hourly","created":1,"since":1,"last":1}`, 0)
		},
		"changed": func(q *clocked) {
			text := q.raw.Get(ctx, key).Val()
			q.raw.Set(ctx, key, strings.Replace(text, "@hourly", "@weekly", 1), 0)
		},
		"of another function": func(q *clocked) {
			other := hearth.Name{Function: "baker", Namespace: "openfaas-fn"}
			_, err := q.KeepSchedule(ctx, other, "@hourly", hour(0), hour(0), redis.Cursor{})
			require.NoError(q.t, err)
			q.raw.Set(ctx, key, q.raw.Get(ctx, "{fn:baker.openfaas-fn}:cron").Val(), 0)
		},
		"of the version before": func(q *clocked) {
			q.raw.Del(ctx, key)
			q.raw.HSet(ctx, key, "schedule", "@hourly", "last", time.Now().UnixMilli())
		},
	} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, plain queue) {
				q := &clocked{queue: plain}
				q.keep("@hourly", hour(0), hour(0))
				forge(q)
				_, err := q.tick("@hourly", hour(1), "a")
				require.ErrorIs(t, err, redis.ErrBadCursor)
				require.Zero(t, q.depth(), "nothing is queued by it")
				_, bad := q.Bad(redis.KindSchedule, fn.String())
				require.True(t, bad)

				start := time.Now().Add(-time.Second)
				restarted := &clocked{queue: plain}
				for _, q := range []*clocked{restarted, q} {
					require.WithinDuration(t, time.Now(), q.keep("@hourly", hour(0), hour(0)), time.Minute)
					require.True(t, q.cursor.Done().After(start), "it goes on from now")
				}
				fired, err := q.tick("@hourly", time.Now().Add(time.Hour), "b")
				require.NoError(t, err)
				require.True(t, fired)
				_, bad = q.Bad(redis.KindSchedule, fn.String())
				require.False(t, bad)
			})
		})
	}
}

func (q *clocked) pauseSchedule(paused bool) {
	q.t.Helper()
	var err error
	q.cursor, err = q.PauseSchedule(q.t.Context(), fn, q.cursor, paused)
	require.NoError(q.t, err)
}

func TestPausedScheduleQueuesNoTickWhoeverAsks(t *testing.T) {
	servers(t, func(t *testing.T, plain queue) {
		q := &clocked{queue: plain}
		_, err := q.PauseSchedule(t.Context(), fn, redis.Cursor{}, true)
		require.ErrorIs(t, err, redis.ErrOtherSchedule, "there is none")
		q.keep("@hourly", hour(0), hour(0))
		other := &clocked{queue: plain, cursor: q.cursor} // an instance that has not heard of it
		stranger := &clocked{queue: plain}                // and one that knows nothing yet
		q.pauseSchedule(true)
		since := q.cursor.Paused
		require.Positive(t, since)
		q.pauseSchedule(true)
		require.Equal(t, since, q.cursor.Paused)
		_, err = q.tick("@hourly", hour(1), "a")
		require.ErrorIs(t, err, redis.ErrSchedulePaused)
		_, err = other.tick("@hourly", hour(1), "b")
		require.ErrorIs(t, err, redis.ErrSchedulePaused)
		require.Equal(t, since, other.cursor.Paused)
		stranger.pauseSchedule(true)
		require.Equal(t, since, stranger.cursor.Paused)
		require.Equal(t, redis.Depth{}, q.depth())

		q.pauseSchedule(false)
		q.pauseSchedule(false)
		fired, err := other.tick("@hourly", hour(3), "c")
		require.NoError(t, err, "it asks Redis whether it is still paused")
		require.True(t, fired)
		require.Zero(t, other.cursor.Paused)
	})
}

func TestPauseOfAScheduleEndsWithItsFunction(t *testing.T) {
	servers(t, func(t *testing.T, plain queue) {
		q := &clocked{queue: plain}
		q.keep("@hourly", hour(0), hour(0))
		q.pauseSchedule(true)
		q.keep("@hourly", hour(0), hour(2))
		require.Positive(t, q.cursor.Paused, "deployed again")
		q.keep("@daily", hour(0), hour(3))
		require.Positive(t, q.cursor.Paused, "with another schedule")
		q.keep("@daily", hour(4), hour(4))
		require.Zero(t, q.cursor.Paused, "created anew, and its cursor was left")
		q.pauseSchedule(true)
		require.NoError(t, q.ForgetSchedule(t.Context(), fn))
		_, err := q.PauseSchedule(t.Context(), fn, q.cursor, false)
		require.ErrorIs(t, err, redis.ErrOtherSchedule)
		q.keep("@daily", hour(5), hour(5))
		require.Zero(t, q.cursor.Paused, "removed")
	})
}

func TestRunOfAScheduleLeavesItsTicks(t *testing.T) {
	servers(t, func(t *testing.T, plain queue) {
		q := &clocked{queue: plain}
		q.keep("@hourly", hour(0), hour(0))
		before, most := q.cursor, hearth.QueueLimit{Length: 3, Bytes: 1 << 10}
		run := func(from redis.Cursor, id string) error {
			tick := redis.Tick{Schedule: "@hourly", Time: hour(2), Entry: wire.Entry{CallID: id}}
			after, err := q.RunSchedule(t.Context(), fn, from, tick, most)
			if err == nil {
				q.cursor = after
			}
			return err
		}
		at, call := q.cursor.LastRun()
		require.Equal(t, hour(0), at)
		require.Empty(t, call)
		require.NoError(t, run(before, "a"))
		require.NoError(t, run(before, "a"), "its answer was lost")
		require.Equal(t, 1, q.depth().Waiting)
		at, call = q.cursor.LastRun()
		require.Equal(t, hour(2), at)
		require.Equal(t, "a", call)
		fired, err := q.tick("@hourly", hour(1), "b")
		require.NoError(t, err)
		require.True(t, fired, "a tick of before is still to be queued")
		q.pauseSchedule(true)
		require.NoError(t, run(before, "c"), "also while it is paused, and with an old cursor")
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(run(q.cursor, "d")), "the limits are a tick's")
		require.Equal(t, 3, q.depth().Waiting)
		q.keep("@daily", hour(0), hour(3))
		require.ErrorIs(t, run(before, "e"), redis.ErrOtherSchedule)

		read, err := q.ReadCursor(t.Context(), fn)
		require.NoError(t, err)
		require.Equal(t, q.cursor, read)
		key := "{fn:oven.openfaas-fn}:cron"
		require.NoError(t, q.raw.Set(t.Context(), key, "nonsense", 0).Err())
		_, err = q.ReadCursor(t.Context(), fn)
		require.ErrorIs(t, err, redis.ErrBadCursor)
		_, err = q.PauseSchedule(t.Context(), fn, q.cursor, true)
		require.ErrorIs(t, err, redis.ErrBadCursor)
		q.raw.Del(t.Context(), key)
		read, err = q.ReadCursor(t.Context(), fn)
		require.NoError(t, err)
		require.Equal(t, redis.Cursor{}, read)
	})
}

func TestStateOfAScheduledCall(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		began := time.Now()
		state := func(call string) redis.State {
			got, err := q.StateOf(t.Context(), fn, call, began)
			require.NoError(t, err)
			return got
		}
		require.Equal(t, redis.Past, state("c-1"), "an empty queue")
		for _, body := range []string{"1", "2", "3"} {
			q.enqueue(body)
		}
		require.Equal(t, redis.Queued, state("c-1"))
		b := q.take(3)
		require.Equal(t, redis.InFlight, state("c-1"))
		_, err := q.Retry(t.Context(), q.sub, b.Deliveries[0], time.Hour, redis.Failure{Reason: "no"})
		require.NoError(t, err)
		require.Equal(t, redis.Delayed, state("c-1"))
		_, err = q.Bury(t.Context(), q.sub, b.Deliveries[1], redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		require.Equal(t, redis.Dead, state("c-2"))
		_, err = q.Settle(t.Context(), q.sub, b.Deliveries[2], nil)
		require.NoError(t, err)
		require.Equal(t, redis.Past, state("c-3"))

		pipe := q.raw.Pipeline()
		for range 1000 {
			pipe.XAdd(t.Context(), &goredis.XAddArgs{Stream: q.sub.Stream, Values: []string{"body", "x"}})
		}
		_, err = pipe.Exec(t.Context())
		require.NoError(t, err)
		require.Equal(t, redis.Unknown, state("c-4"), "too many others")
	})
}
