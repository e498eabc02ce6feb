package backlog_test

import (
	"bufio"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hearthfaas/hearth/internal/backlog"
	"github.com/stretchr/testify/require"
)

// TestEveryConnectionIsAnsweredOrRefused while callers keep connecting: none sees its connection break.
func TestEveryConnectionIsAnsweredOrRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	var connected atomic.Int32
	enough := make(chan struct{})
	var callers sync.WaitGroup
	for range 40 {
		callers.Go(func() {
			for {
				c, err := net.Dial("unix", path)
				if err != nil {
					return // refused
				}
				if connected.Add(1) == 20 {
					close(enough)
				}
				_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Error(err)
				} else if !backlog.NotTaken(res.StatusCode, res.Header) {
					t.Error(res.Status)
				}
				_ = c.Close()
			}
		})
	}
	<-enough
	require.NoError(t, backlog.Close(l))
	callers.Wait()
}

func TestOnlyItsOwnAnswerCounts(t *testing.T) {
	t.Parallel()
	marked := http.Header{backlog.Header: {"1"}}
	require.True(t, backlog.NotTaken(http.StatusServiceUnavailable, marked))
	require.False(t, backlog.NotTaken(http.StatusOK, marked))
	require.False(t, backlog.NotTaken(http.StatusServiceUnavailable, http.Header{}))
}
