package chaintest

import (
	"os/exec"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// The Redis of make up wants a password, which the REDIS_URL that it prints does not have: functions are
// given it by Hearth.
func TestARedisThatWantsAPasswordIsNotUsed(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("needs a redis-server in PATH")
	}
	s, err := start()
	require.NoError(t, err)
	t.Cleanup(s.stop)
	hearths := client(t, &redis.Options{Network: "unix", Addr: s.socket, PoolSize: 1})
	require.NoError(t, hearths.ConfigSet(t.Context(), "requirepass", "secret").Err())
	t.Setenv("REDIS_URL", "unix://"+s.socket)
	rdb := Redis(t)
	require.NoError(t, rdb.Set(t.Context(), "key", "value", 0).Err())
	require.NotEqual(t, s.socket, rdb.Options().Addr)
	t.Setenv("REDIS_URL", "unix://:secret@"+s.socket)
	require.Equal(t, s.socket, Redis(t).Options().Addr, "with the password it is used")
}
