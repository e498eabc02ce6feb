package gateway_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

// A front is a gateway on a real listener, with the function echo behind it.
type front struct {
	t       testing.TB
	addr    string
	replica string // its address
	gateway *gateway.Gateway
	router  *router.Router
}

// behind is a gateway in front of a replica at an address. env is the function's, as pairs.
func behind(t testing.TB, address string, env ...string) *front {
	t.Helper()
	r := router.New(router.Config{})
	f := hearth.Function{Replicas: 1}
	f.Service, f.Namespace, f.EnvVars = "echo", hearth.DefaultNamespace, map[string]string{}
	for i := 0; i < len(env); i += 2 {
		f.EnvVars[env[i]] = env[i+1]
	}
	f = hearthtest.Parse(f)
	r.Set(f)
	r.Update(f.Name(), []hearth.Replica{{ID: "one", Address: address, Accepting: true, Ready: true}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g, err := gateway.New(gateway.Config{
		Router:  r,
		Log:     slog.New(slog.DiscardHandler),
		Metrics: http.NotFoundHandler(),
		Version: "v1",
	})
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		g.Shutdown(ended)
		require.NoError(t, <-served)
		r.Delete(f.Name()) // its connections close
	})
	return &front{t: t, addr: l.Addr().String(), replica: address, gateway: g, router: r}
}

// serving is a gateway in front of an HTTP server with this handler.
func serving(t testing.TB, h http.HandlerFunc, env ...string) *front {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return behind(t, s.URL, env...)
}

// raw is a gateway in front of a replica that speaks by itself on each connection, which is closed after it.
func raw(t testing.TB, speak func(c net.Conn, r *bufio.Reader), env ...string) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				speak(c, bufio.NewReader(c))
			}()
		}
	}()
	return behind(t, "http://"+l.Addr().String(), env...)
}

// answering is a gateway in front of a replica that gives this answer to each request, and hangs up.
func answering(t testing.TB, answer string) *front {
	t.Helper()
	return raw(t, func(c net.Conn, r *bufio.Reader) {
		if takeRequest(r) == nil {
			_, _ = io.WriteString(c, answer)
		}
	})
}

// takeRequest reads a request with its body.
func takeRequest(r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return err
}

func (f *front) url(path string) string { return "http://" + f.addr + "/function/echo" + path }

// A line is a connection to the gateway without a client's help.
type line struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

// patience is how long a test waits for what must come.
const patience = time.Minute

// dial opens a connection and says something. A bare \n in it becomes \r\n.
func (f *front) dial(text string) *line {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = c.Close() })
	require.NoError(f.t, c.SetDeadline(time.Now().Add(patience)))
	l := &line{t: f.t, Conn: c, r: bufio.NewReader(c)}
	l.say(crlf(text))
	return l
}

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

func (l *line) say(text string) {
	l.t.Helper()
	_, err := io.WriteString(l.Conn, text)
	require.NoError(l.t, err)
}

// expect reads just this.
func (l *line) expect(text string) {
	l.t.Helper()
	got := make([]byte, len(text))
	n, err := io.ReadFull(l.r, got)
	require.NoError(l.t, err, "got %q", got[:n])
	require.Equal(l.t, text, string(got))
}

// head reads an answer's status and headers.
func (l *line) head() *http.Response {
	l.t.Helper()
	res, err := http.ReadResponse(l.r, nil)
	require.NoError(l.t, err)
	return res
}

// answer reads an answer.
func (l *line) answer() (*http.Response, string) {
	l.t.Helper()
	res := l.head()
	text, err := io.ReadAll(res.Body)
	require.NoError(l.t, err)
	return res, string(text)
}

// end reads until the gateway hangs up.
func (l *line) end() string {
	l.t.Helper()
	text, err := io.ReadAll(l.r)
	if err != nil {
		require.ErrorContains(l.t, err, "reset")
	}
	return string(text)
}

// do makes a call with a client of its own, which follows nothing and unpacks nothing.
func (f *front) do(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	f.t.Helper()
	res := f.start(method, path, body, header...)
	text, err := io.ReadAll(res.Body)
	require.NoError(f.t, err)
	return res, string(text)
}

// start makes a call, and leaves its answer's body to be read.
func (f *front) start(method, path string, body io.Reader, header ...string) *http.Response {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	f.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, f.url(path), body)
	require.NoError(f.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	transport := &http.Transport{DisableCompression: true}
	f.t.Cleanup(transport.CloseIdleConnections)
	res, err := transport.RoundTrip(req)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// within fails the test if something does not happen in time.
func within[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "it did not happen")
		panic("unreachable")
	}
}
