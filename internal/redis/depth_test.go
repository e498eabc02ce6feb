package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestOldestIsTheFirstEntryThatWasNotTaken(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		oldest := func() float64 {
			d, err := q.Depths(t.Context(), []wire.Subscription{q.sub, redis.CallbacksOf(fn)})
			require.NoError(t, err)
			require.Zero(t, d[1], "a subscription that was never made")
			return d[0].Oldest
		}
		add := func(age time.Duration) {
			id := fmt.Sprintf("%d-1", time.Now().Add(-age).UnixMilli())
			require.NoError(t, q.raw.XAdd(t.Context(),
				&goredis.XAddArgs{Stream: q.sub.Stream, ID: id, Values: []string{"body", "x"}}).Err())
		}
		waiting := func() int {
			n, err := q.Waiting(t.Context(), []wire.Subscription{redis.CallbacksOf(fn), q.sub})
			require.NoError(t, err)
			require.Zero(t, n[0], "a subscription that was never made")
			return n[1]
		}
		require.Zero(t, oldest())
		add(time.Hour)
		add(time.Minute)
		require.Equal(t, 2, waiting())
		require.InDelta(t, 3600, oldest(), 30)
		q.one()
		require.InDelta(t, 60, oldest(), 30)
		require.Equal(t, 1, waiting())
		q.one()
		require.Zero(t, waiting())
		require.Zero(t, oldest(), "what is being worked on does not wait")
		add(-time.Hour)
		require.Zero(t, oldest(), "a producer whose clock is ahead")
	})
}
