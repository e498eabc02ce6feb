package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/upstream"
	"github.com/stretchr/testify/require"
)

func TestConnectionIsReusedOnlyIfNothingIsLeftOnIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer string
		unread bool // the caller does not read the body
		reused bool
	}{
		"a whole answer": {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false, true},
		"a chunked answer": {"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", false,
			true},
		"no body": {"HTTP/1.1 204 None\n\n", true, true},
		"1.0 with keep-alive": {"HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2\n\nok",
			false, true},
		"1.0": {"HTTP/1.0 200 OK\nContent-Length: 2\n\nok", false, false},
		"close": {"HTTP/1.1 200 OK\nConnection: close\nContent-Length: 2\n\nok", false,
			false},
		"a body that is not read": {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", true, false},
		"something behind the answer": {"HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 " +
			"OK\nContent-Length: 4\n\nevil", false, false},
		"something behind a 204": {"HTTP/1.1 204 None\nContent-Length: 4\n\nevil", false, false},
		"something behind a 304": {"HTTP/1.1 304 Same\n\nHTTP/1.1 200 OK\nContent-Length: 4\n\nevil",
			false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			client := replica(t, func(c net.Conn, r *bufio.Reader) {
				first := connections.Add(1) == 1
				for readHead(r) == nil {
					text := crlf("HTTP/1.1 200 OK\nContent-Length: 6\n\nsecond")
					if first {
						text, first = crlf(tt.answer), false
					}
					_, _ = io.WriteString(c, text)
				}
			})
			res, err := client.Do(request(t, "POST", "/"), soon(), upstream.Options{})
			require.NoError(t, err)
			if !tt.unread {
				_, err = io.ReadAll(res.Body)
				require.NoError(t, err)
			}
			require.NoError(t, res.Body.Close())
			_, body, err := do(t, client, request(t, "POST", "/"))
			require.NoError(t, err)
			require.Equal(t, "second", body)
			require.Equal(t, tt.reused, connections.Load() == 1)
		})
	}
}

// TestIdleConnectionThatSpeaksIsNotUsed: the bytes would be taken for the next call's answer.
func TestIdleConnectionThatSpeaksIsNotUsed(t *testing.T) {
	t.Parallel()
	spoken := make(chan struct{}, 2)
	client := replica(t, func(c net.Conn, r *bufio.Reader) {
		for readHead(r) == nil {
			_, _ = io.WriteString(c, crlf("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"))
			time.Sleep(10 * time.Millisecond) // until the connection is idle
			_, _ = io.WriteString(c, crlf("HTTP/1.1 200 OK\nContent-Length: 4\n\nevil"))
			spoken <- struct{}{}
		}
	})
	for range 2 {
		_, body, err := do(t, client, request(t, "POST", "/"))
		require.NoError(t, err)
		require.Equal(t, "ok", body)
		<-spoken
	}
}

func TestCallIsRepeatedOnlyIfItSurelyDidNotRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		request  func(t *testing.T) *http.Request
		repeated bool
	}{
		"GET": {func(t *testing.T) *http.Request { return request(t, "GET", "/") }, true},
		"GET with a body": {func(t *testing.T) *http.Request {
			return withBody(request(t, "GET", "/"), "x")
		}, true},
		"POST": {func(t *testing.T) *http.Request {
			return withBody(request(t, "POST", "/"), "x")
		}, false},
		"PUT": {func(t *testing.T) *http.Request {
			return withBody(request(t, "PUT", "/"), "x")
		}, false},
		"GET, a streamed body": {func(t *testing.T) *http.Request {
			return streamed(request(t, "GET", "/"), strings.NewReader("x"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			client := replica(t, func(c net.Conn, r *bufio.Reader) {
				for readHead(r) == nil {
					if calls.Add(1) == 2 {
						return // the connection was used before, and ends without a byte
					}
					_, _ = io.WriteString(c, crlf("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"))
				}
			})
			_, _, err := do(t, client, request(t, "GET", "/first"))
			require.NoError(t, err)
			_, body, err := do(t, client, tt.request(t))
			if tt.repeated {
				require.NoError(t, err)
				require.Equal(t, "ok", body)
				require.EqualValues(t, 3, calls.Load())
				return
			}
			require.Error(t, err)
			require.False(t, upstream.NotSent(err))
			require.EqualValues(t, 2, calls.Load())
		})
	}
}

func TestRefusedConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	client := upstream.New("unix://" + filepath.Join(t.TempDir(), "nobody"))
	_, _, err := do(t, client, request(t, "POST", "/"))
	require.Error(t, err)
	require.True(t, upstream.NotSent(err))
}

func TestDeadlineAndContextEndACall(t *testing.T) {
	t.Parallel()
	client := replica(t, func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	_, err := client.Do(request(t, "POST", "/"), time.Now().Add(20*time.Millisecond), upstream.Options{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.False(t, upstream.NotSent(err))

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = client.Do(request(t, "POST", "/").WithContext(ctx), soon(), upstream.Options{})
	require.Error(t, err)
	require.Error(t, ctx.Err())
}

func TestClosedClientKeepsNoConnections(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 2)
	client := replica(t, func(c net.Conn, r *bufio.Reader) {
		for readHead(r) == nil {
			_, _ = io.WriteString(c, crlf("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"))
		}
		gone <- struct{}{}
	})
	_, _, err := do(t, client, request(t, "GET", "/"))
	require.NoError(t, err)
	client.Close()
	<-gone
	_, _, err = do(t, client, request(t, "GET", "/")) // a call in flight when it closes goes on
	require.NoError(t, err)
	<-gone
}

func TestBodyWithAShortBeginningCanBeSentAgain(t *testing.T) {
	t.Parallel()
	client := upstream.New("unix:///nowhere")
	read := func(req *http.Request, n int64) string {
		text, err := io.ReadAll(io.LimitReader(req.Body, n))
		require.NoError(t, err)
		return string(text)
	}
	req := streamed(request(t, "POST", "/"), strings.NewReader("dough"))
	client.KeepBody(req)
	client.KeepBody(req) // once is enough
	require.Equal(t, "dou", read(req, 3))
	require.True(t, upstream.Rewind(req))
	require.Equal(t, "dough", read(req, 10))

	long := streamed(request(t, "POST", "/"), strings.NewReader(strings.Repeat("x", 300<<10)))
	client.KeepBody(long)
	read(long, 280<<10)
	require.False(t, upstream.Rewind(long))

	tcp := streamed(request(t, "POST", "/"), strings.NewReader("dough"))
	upstream.New("http://127.0.0.1:1").KeepBody(tcp)
	require.True(t, upstream.Rewind(tcp))
	require.Equal(t, "d", read(tcp, 1))
	require.False(t, upstream.Rewind(tcp))

	require.True(t, upstream.Rewind(request(t, "GET", "/")))
	require.False(t, upstream.Rewind(streamed(request(t, "POST", "/"), strings.NewReader("x"))))
	failing := withBody(request(t, "POST", "/"), "x")
	failing.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	require.False(t, upstream.Rewind(failing))
}

func TestReplicaOverTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Host)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	client := upstream.New("http://" + l.Addr().String())
	defer client.Close()
	_, body, err := do(t, client, request(t, "GET", "/"))
	require.NoError(t, err)
	require.Equal(t, "oven", body)
}
