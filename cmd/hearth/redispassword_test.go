package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedisPasswordForAnotherContainer(t *testing.T) {
	dir := t.TempDir()
	c := serveConfig{RedisAuth: dir}
	t.Setenv("REDIS_PASSWORD", "")
	first, err := c.withPassword("redis://redis:6379")
	require.NoError(t, err)
	require.Regexp(t, `^redis://:[A-Z2-7]{26}@redis:6379$`, first)
	again, err := c.withPassword("redis://redis:6379")
	require.NoError(t, err)
	require.Equal(t, first, again, "it stays the same")
	info, err := os.Stat(filepath.Join(dir, "password"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	t.Setenv("REDIS_PASSWORD", `chosen "by hand`)
	given, err := c.withPassword("redis://redis:6379")
	require.NoError(t, err)
	require.Equal(t, "redis://:chosen%20%22by%20hand@redis:6379", given)
	conf, err := os.ReadFile(filepath.Join(dir, "redis.conf"))
	require.NoError(t, err)
	require.Equal(t, "requirepass \"chosen \\\"by hand\"\n", string(conf))

	for _, url := range []string{"redis://:own@redis:6379", ""} {
		given, err := c.withPassword(url)
		require.NoError(t, err)
		require.Equal(t, url, given)
	}
}
