package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

// TestConnectorServiceUsesExistingFlags reads the systemd unit for a connector beside faasd.
func TestConnectorServiceUsesExistingFlags(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile(filepath.Join("..", "..", "deploy", "systemd", "hearth-connector.service"))
	require.NoError(t, err)
	start := regexp.MustCompile(`(?s)ExecStart=/usr/local/bin/hearth connector (.*?[^\\])\n`).
		FindSubmatch(unit)
	require.NotNil(t, start)
	flags := regexp.MustCompile(`--([a-z-]+)`).FindAllSubmatch(start[1], -1)
	require.NotEmpty(t, flags)
	for _, f := range flags {
		require.NotNil(t, newConnector().Flags().Lookup(string(f[1])), "hearth connector has no --%s", f[1])
	}
}

// TestRedisBesideFaasdIsDurable starts Redis with the configuration in deploy/faasd, at another address.
func TestRedisBesideFaasdIsDurable(t *testing.T) {
	t.Parallel()
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("there is no redis-server in PATH")
	}
	conf, err := filepath.Abs(filepath.Join("..", "..", "deploy", "faasd", "redis.conf"))
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "r") // socket paths must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(server, "-")
	cmd.Stdin = strings.NewReader("include " + conf + "\nrequirepass secret\nport 0\nunixsocket " + socket +
		"\ndir " + dir + "\n")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var queue *redis.Client
	require.Eventually(t, func() bool {
		queue, err = redis.Open(t.Context(), "unix://:secret@"+socket)
		return err == nil
	}, 30*time.Second, 20*time.Millisecond)
	defer func() { _ = queue.Close() }()
	require.Equal(t, "appendfsync always", queue.Durability(t.Context()).Setting)
}
