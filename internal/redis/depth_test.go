package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestOldestIsTheFirstEntryThatWasNotTaken(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		oldest := func() float64 {
			d, err := q.Depths(t.Context(), []chain.Subscription{q.sub, redis.CallbacksOf(fn)})
			require.NoError(t, err)
			require.Zero(t, d[1], "a subscription that was never made")
			return d[0].Oldest
		}
		add := func(age time.Duration) {
			id := fmt.Sprintf("%d-1", time.Now().Add(-age).UnixMilli())
			require.NoError(t, q.raw.XAdd(t.Context(), &goredis.XAddArgs{Stream: q.sub.Stream, ID: id, Values: []string{"body", "x"}}).Err())
		}
		require.Zero(t, oldest())
		add(time.Hour)
		add(time.Minute)
		require.InDelta(t, 3600, oldest(), 30)
		q.one()
		require.InDelta(t, 60, oldest(), 30)
		q.one()
		require.Zero(t, oldest(), "what is being worked on does not wait")
		add(-time.Hour)
		require.Zero(t, oldest(), "a producer whose clock is ahead")
	})
}
