package redis_test

import (
	"context"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

func TestDurabilityIsWhatRedisIsConfiguredFor(t *testing.T) {
	t.Parallel()
	server := chaintest.Full(t)
	queue, err := redis.Open(t.Context(), chaintest.URL(server.Client))
	require.NoError(t, err)
	defer func() { _ = queue.Close() }()
	for _, tt := range []struct {
		appendonly, fsync string
		setting, risk     string
	}{
		{"no", "everysec", "appendonly no", "all accepted calls since the last snapshot"},
		{"yes", "no", "appendfsync no", "operating system"},
		{"yes", "everysec", "appendfsync everysec", "the last second or two"},
		{"yes", "always", "appendfsync always", ""},
	} {
		require.NoError(t, server.ConfigSet(t.Context(), "appendonly", tt.appendonly).Err())
		require.NoError(t, server.ConfigSet(t.Context(), "appendfsync", tt.fsync).Err())
		got := queue.Durability(t.Context())
		require.Equal(t, tt.setting, got.Setting)
		require.Contains(t, got.Risk, tt.risk)
		require.Equal(t, tt.risk == "", got.Risk == "")
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Contains(t, queue.Durability(ended).Risk, "does not answer")
}

func TestDurabilityOfTheEmbeddedRedisIsNone(t *testing.T) {
	t.Parallel()
	queue, err := redis.Open(t.Context(), chaintest.URL(chaintest.Mini(t)))
	require.NoError(t, err)
	defer func() { _ = queue.Close() }()
	require.Equal(t, "in memory", queue.Durability(t.Context()).Setting)
}
