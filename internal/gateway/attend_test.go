package gateway

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

// TestRequestsMustArriveInTime also where no call is made: one that says a length and sends
// nothing ends. What has come takes its time.
func TestRequestsMustArriveInTime(t *testing.T) {
	t.Parallel()
	took := make(chan error, 1)
	g, err := New(Config{Router: router.New(router.Config{}), Log: slog.New(slog.DiscardHandler),
		Credentials: Credentials{"admin", "right"},
		Metrics: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select { // a request that is under way for longer than it may take to come
			case <-r.Context().Done():
				took <- r.Context().Err()
			case <-time.After(3 * time.Second):
				took <- nil
			}
		})})
	require.NoError(t, err)
	g.server.ReadTimeout, g.server.ReadHeaderTimeout = time.Second, time.Second
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() { g.Shutdown(t.Context()); require.NoError(t, <-served) })
	for _, head := range []string{"GET /healthz", "POST /system/functions", "GET /ui/", "GET /nothing",
		"POST /function/nobody"} {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, head+" HTTP/1.1\r\nHost: hearth\r\nContent-Length: 100000\r\n\r\n")
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
		_, err = io.Copy(io.Discard, bufio.NewReader(c))
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "%s is still open", head)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: hearth\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, <-took, "it was cut off while it was served")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
}
