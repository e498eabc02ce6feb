package redis_test

import (
	"fmt"
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

func (q queue) keep(schedule string, created, since time.Time) time.Time {
	q.t.Helper()
	last, err := q.KeepSchedule(q.t.Context(), fn, schedule, created, since)
	require.NoError(q.t, err)
	return last
}

func (q queue) tick(schedule string, when time.Time, id string) (bool, error) {
	return q.Tick(q.t.Context(), fn, redis.Tick{Schedule: schedule, Time: when, Entry: wire.Entry{CallID: id}}, hearth.QueueLimit{Length: 3, Bytes: 1 << 10})
}

func TestATimeIsQueuedOnceAndNeverAnEarlierOne(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		fired := func(n int, id string) bool {
			t.Helper()
			fired, err := q.tick("@hourly", hour(n), id)
			require.NoError(t, err)
			return fired
		}
		require.Equal(t, hour(0), q.keep("@hourly", hour(0), hour(0)))
		require.False(t, fired(0, "a"), "the deployment's own time is past")
		require.True(t, fired(1, "b"))
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
	servers(t, func(t *testing.T, q queue) {
		require.Equal(t, hour(1), q.keep("@hourly", hour(1), hour(1)), "a new one: when it was deployed")
		_, err := q.tick("@hourly", hour(2), "a")
		require.NoError(t, err)
		require.Equal(t, hour(2), q.keep("@hourly", hour(1), hour(5)), "the same, deployed again: where it was")
		require.Equal(t, hour(6), q.keep("@daily", hour(1), hour(6)), "another: when that was deployed")
		require.Equal(t, hour(6), q.keep("@hourly", hour(1), hour(5)), "a hearth that comes late with the old one changes nothing")
		_, err = q.tick("@hourly", hour(7), "b")
		require.ErrorIs(t, err, redis.ErrOtherSchedule)
		require.Equal(t, hour(9), q.keep("@daily", hour(9), hour(9)), "the same of a function that was created anew")
		require.NoError(t, q.ForgetSchedule(t.Context(), fn))
		_, err = q.tick("@daily", hour(24), "c")
		require.ErrorIs(t, err, redis.ErrOtherSchedule, "it was removed")
		require.Zero(t, q.raw.Exists(t.Context(), "{fn:oven.openfaas-fn}:cron").Val())
		require.Equal(t, hour(3), q.keep("@daily", hour(1), hour(3)))
	})
}

func TestATickThatFindsNoPlaceIsNotForgotten(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
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

		_, err = q.Tick(t.Context(), fn, redis.Tick{Schedule: "@hourly", Time: hour(2)}, hearth.QueueLimit{Length: 100, Bytes: 10})
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(err), "by its bytes")
		for range 3 {
			_, err = q.Settle(t.Context(), q.sub, q.one(), nil)
			require.NoError(t, err)
		}
		q.empty()
		require.Zero(t, q.raw.Exists(t.Context(), "{fn:oven.openfaas-fn}.calls:bytes").Val(), "what ticks had is given back")

		_, err = q.Unsubscribe(t.Context(), q.sub, true)
		require.NoError(t, err)
		_, err = q.tick("@hourly", hour(2), "b")
		require.ErrorIs(t, err, redis.ErrNoGroup)
	})
}

func TestTwentyRaceForEachTimeAndOneFires(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	q := open(t, raw)
	other, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	q.keep("@hourly", hour(0), hour(0))
	const times, racers = 50, 20
	for n := 1; n <= times; n++ {
		var fired atomic.Int32
		var all sync.WaitGroup
		for r := range racers {
			client := []*redis.Client{q.Client, other}[r%2]
			all.Go(func() {
				first, err := client.Tick(t.Context(), fn, redis.Tick{Schedule: "@hourly", Time: hour(n), Entry: wire.Entry{CallID: fmt.Sprint(r)}}, limit)
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
	q := open(t, full.Client)
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
