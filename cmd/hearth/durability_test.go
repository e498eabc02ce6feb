package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/stretchr/testify/require"
)

func TestDurabilityOfRedisIsShown(t *testing.T) {
	t.Parallel()
	server := chaintest.Full(t)
	n := startTestNode(t, server.Client, t.TempDir())
	for _, tt := range []struct{ appendonly, fsync, setting, level string }{
		{"no", "always", "appendonly no", "WARN"},
		{"yes", "everysec", "appendfsync everysec", "WARN"},
		{"yes", "always", "appendfsync always", "INFO"},
	} {
		require.NoError(t, server.ConfigSet(t.Context(), "appendonly", tt.appendonly).Err())
		require.NoError(t, server.ConfigSet(t.Context(), "appendfsync", tt.fsync).Err())
		var info struct {
			Arch   string
			Hearth struct {
				Redis struct{ Durability, Risk string }
			}
		}
		require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/info", nil, &info))
		require.NotEmpty(t, info.Arch)
		require.Equal(t, tt.setting, info.Hearth.Redis.Durability)
		require.Equal(t, tt.level == "INFO", info.Hearth.Redis.Risk == "")

		var log bytes.Buffer
		logDurability(t.Context(), n.queue, false, slog.New(slog.NewTextHandler(&log, nil)))
		require.Contains(t, log.String(), "level="+tt.level)
		require.Contains(t, log.String(), `durability="`+tt.setting+`"`)
		log.Reset()
		logDurability(t.Context(), n.queue, true, slog.New(slog.NewTextHandler(&log, nil)))
		require.Contains(t, log.String(), "level=INFO", "who chose it need not be warned")
	}
}
