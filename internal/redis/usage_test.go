package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

func TestUsageOfADayIsKeptByFunctionAndInstance(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		used := func(function, instance, value string) redis.Used {
			return redis.Used{Function: function, Instance: instance, Value: []byte(value)}
		}
		require.NoError(t, q.KeepUsage(t.Context(), hour(3),
			[]redis.Used{used("oven.a", "me", "1"), used("baker.a", "me", "\x00\xff")}, time.Hour))
		require.NoError(t, q.KeepUsage(t.Context(), hour(23),
			[]redis.Used{used("oven.a", "you", "3")}, time.Hour))
		require.NoError(t, q.KeepUsage(t.Context(), hour(4),
			[]redis.Used{used("oven.a", "me", "2")}, 2*time.Hour))
		require.NoError(t, q.KeepUsage(t.Context(), hour(24), nil, time.Hour))
		got, err := q.Usage(t.Context(), hour(9))
		require.NoError(t, err)
		require.ElementsMatch(t, []redis.Used{used("oven.a", "me", "2"), used("oven.a", "you", "3"),
			used("baker.a", "me", "\x00\xff")}, got)
		got, err = q.Usage(t.Context(), hour(24))
		require.NoError(t, err)
		require.Empty(t, got)
		keys := q.raw.Keys(t.Context(), "*usage*").Val()
		if len(keys) > 0 { // of a cluster, one node is asked
			require.Len(t, keys, 1)
			require.Greater(t, q.raw.PTTL(t.Context(), keys[0]).Val(), time.Hour)
		}
	})
}

func TestUsageOfManyFunctionsIsKept(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		var many []redis.Used
		for i := range 1234 {
			many = append(many, redis.Used{Function: fmt.Sprintf("f%d.a", i), Instance: "me",
				Value: []byte("x")})
		}
		require.NoError(t, q.KeepUsage(t.Context(), monday, many, time.Hour))
		got, err := q.Usage(t.Context(), monday)
		require.NoError(t, err)
		require.ElementsMatch(t, many, got)
	})
}

func TestFullRedisRefusesUsage(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	q := open(t, full.Client)
	full.Fill(t)
	err := q.KeepUsage(t.Context(), monday, []redis.Used{{Function: "oven.a", Instance: "me",
		Value: []byte("x")}}, time.Hour)
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))
	require.Contains(t, err.Error(), "full")
	got, err := q.Usage(t.Context(), monday)
	require.NoError(t, err, "it can still be read")
	require.Empty(t, got)
}
