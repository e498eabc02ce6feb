package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLogAcceptsAnyAttribute(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	var console bytes.Buffer
	log, closeLog, err := openLog(state, slog.LevelInfo, &console, slog.LevelInfo)
	require.NoError(t, err)
	log.With("time", "noon", "level", 3, "msg", time.Second).Info("queued scheduled invocation", "time", 12)
	closeLog()
	require.Regexp(t,
		`^time=\d\d:\d\d:\d\d level=INFO msg="queued scheduled invocation" time=noon .*time=12\n$`,
		console.String())
	text, err := os.ReadFile(filepath.Join(state, "logs", "hearth.log"))
	require.NoError(t, err)
	require.Contains(t, string(text), `msg="queued scheduled invocation" time=noon`)
}
