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
