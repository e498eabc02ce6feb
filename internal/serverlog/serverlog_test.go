package serverlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFileIsRotated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "logs", "hearth.log")
	f, err := open(path, 1000)
	require.NoError(t, err)
	var writers sync.WaitGroup
	for i := range 10 {
		writers.Go(func() {
			for j := range 50 {
				_, err := fmt.Fprintf(f, "record %d of writer %d\n", j, i)
				require.NoError(t, err)
			}
		})
	}
	writers.Wait()
	require.NoError(t, f.Close())
	f, err = open(path, 1000) // what is there counts after a restart too
	require.NoError(t, err)
	_, err = f.Write([]byte(strings.Repeat("x", 900) + "\n"))
	require.NoError(t, err)
	_, err = f.Write([]byte(strings.Repeat("x", 900) + "\n"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = f.Write([]byte("late\n"))
	require.ErrorIs(t, err, os.ErrClosed)
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		info, err := file.Info()
		require.NoError(t, err)
		require.LessOrEqual(t, info.Size(), int64(1000), file.Name())
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}

// output is written and read by several goroutines.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

// take returns what was written since the last time.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.Reset()
	return o.String()
}

func TestLongTextsAreClipped(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(Limit(slog.NewTextHandler(&out, nil)))
	long := strings.Repeat("ä", 32<<10)
	log.With("with", long).Info(long, "path", long, "error", errors.New(long), "list", []string{long},
		slog.Group("group", "in", long), "short", 7)
	require.Equal(t, 6, strings.Count(out.String(), "bytes)"))
	require.Less(t, out.Len(), 7*(maxText+40))
	require.Contains(t, out.String(), "short=7")
}

func TestRepeatedWarningsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		limiter := Limit(slog.NewTextHandler(&out, nil))
		log := slog.New(limiter)
		for i := range 1000 {
			log.Warn("a call failed", "function", "oven", "path", i)
		}
		log.Warn("a call failed", "function", "baker")
		log.With("function", "server").Warn("a call failed")
		for range 100 {
			log.Info("scaled")
		}
		text := out.take()
		require.Equal(t, mostAlike+2, strings.Count(text, `msg="a call failed"`))
		require.Contains(t, text, "function=baker")
		require.Contains(t, text, "function=server")
		require.Equal(t, 100, strings.Count(text, "msg=scaled"), "what is no warning is not left out")
		time.Sleep(window + time.Second) // of this test's own clock
		synctest.Wait()
		require.Contains(t, out.take(),
			`level=WARN msg="left out similar messages" message="a call failed" count=980 function=oven`)

		for range mostAlike + 5 {
			log.Warn("a call failed", "function", "oven")
		}
		require.Equal(t, mostAlike, strings.Count(out.take(), `msg="a call failed"`), "a new window")
		limiter.Close()
		require.Contains(t, out.take(), "count=5")
		log.Warn("the last words")
		require.Contains(t, out.take(), "the last words")
	})
}

// TestManyKindsTakeBoundedMemory has more queues that fail than are told apart.
func TestManyKindsTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		limiter := Limit(slog.NewTextHandler(&out, nil))
		for i := range 3 * maxKinds {
			slog.New(limiter).Error("failed", "queue", i)
		}
		require.LessOrEqual(t, len(limiter.kinds), maxKinds+1)
		limiter.Close()
		require.Contains(t, out.take(), fmt.Sprintf("count=%d", 2*maxKinds-mostAlike))
	})
}
