package inbound_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/inbound"
	"github.com/stretchr/testify/require"
)

// safe is a buffer that a log may be written to by others.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serve serves on a limited listener: /hold is answered when hold is closed.
func serve(t *testing.T, l net.Listener, cfg inbound.Config) (hold chan struct{}, log *safe) {
	t.Helper()
	hold, log = make(chan struct{}), &safe{}
	cfg.Log, cfg.Plain = slog.New(slog.NewTextHandler(log, nil)), true
	server := &http.Server{ConnContext: inbound.Context,
		Handler: inbound.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
				<-hold
			}
		}))}
	go func() { _ = server.Serve(inbound.Listen(l, cfg)) }()
	t.Cleanup(func() { _ = server.Close() })
	return hold, log
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// say opens a connection and says something. It returns the first bytes of the answer, as many as the text
// has that is wanted.
func say(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c
}

func hears(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	require.NoError(t, err, "%q", got[:n])
	require.Equal(t, want, string(got))
}

const request = " HTTP/1.1\r\nHost: h\r\n\r\n"

func TestIdleConnectionsShutNobodyOut(t *testing.T) {
	t.Parallel()
	l := listen(t)
	_, log := serve(t, l, inbound.Config{Max: 5, PerAddress: 100})
	for range 50 {
		say(t, l, "GET /slow") // and nothing more
	}
	for range 10 {
		hears(t, say(t, l, "GET /"+request), "HTTP/1.1 200 OK")
	}
	require.Contains(t, log.String(), "too many connections")
	require.Equal(t, 1, strings.Count(log.String(), "\n"), "said seldom")
}

func TestConnectionsThatServeAreKept(t *testing.T) {
	t.Parallel()
	for what, cfg := range map[string]inbound.Config{"limit=max": {Max: 3, PerAddress: 100},
		"limit=per_address": {Max: 100, PerAddress: 3}} {
		l := listen(t)
		hold, log := serve(t, l, cfg)
		var held []net.Conn
		for range 3 {
			c := say(t, l, "GET /hold HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			hears(t, c, "HTTP/1.1 200 OK")
			held = append(held, c)
		}
		hears(t, say(t, l, ""), "HTTP/1.1 503 Service Unavailable")
		require.Contains(t, log.String(), what)
		close(hold)
		for _, c := range held {
			text, err := io.ReadAll(c)
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(string(text), "0\r\n\r\n"), "it was answered to its end: %q",
				text)
		}
	}
}

func TestAnExemptAddressHasNoLimitOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, loopback := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", loopback)
		if err != nil {
			continue // this machine has no IPv6
		}
		hold, _ := serve(t, l, inbound.Config{Max: 10, PerAddress: 1, Exempt: netip.Addr.IsLoopback})
		for range 10 {
			hears(t, say(t, l, "GET /hold"+request), "HTTP/1.1 200 OK")
		}
		hears(t, say(t, l, ""), "HTTP/1.1 503")
		close(hold)
	}
}

// exhausted is a listener that has no file left for the next connections.
type exhausted struct {
	net.Listener
	times int
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.times--; e.times >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return e.Listener.Accept()
}

func TestAcceptErrorsAreLogged(t *testing.T) {
	t.Parallel()
	l := listen(t)
	_, log := serve(t, &exhausted{l, 3}, inbound.Config{})
	hears(t, say(t, l, "GET /"+request), "HTTP/1.1 200 OK")
	require.Contains(t, log.String(), "could not accept connection")
	require.Contains(t, log.String(), "too many open files")
}

func TestMostIsWithinTheLimitOfFiles(t *testing.T) {
	t.Parallel()
	var files syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	require.GreaterOrEqual(t, inbound.Most(), 16)
	require.LessOrEqual(t, uint64(2*inbound.Most()), max(files.Cur, 32),
		"each may need one for its replica too")
}

// TestAmbiguousRequestsEndTheConnection: which requests end their connection, as another
// reader may have read them in another way.
func TestAmbiguousRequestsEndTheConnection(t *testing.T) {
	t.Parallel()
	const chunks = "5\r\nhello\r\n0\r\n\r\n"
	for name, tt := range map[string]struct {
		text string
		ends bool
	}{
		"a length": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", false},
		"an encoding": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
			chunks, false},
		"both": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " +
			"5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, true},
		"both, bare line feeds": {"POST / HTTP/1.1\nHost: h\nContent-Length: 5\nTransfer-Encoding: " +
			"chunked\n\n" + chunks, true},
		"a fold hides the length": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n " +
			"5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, true},
		"spaces hide the length": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:" +
			strings.Repeat(" ", 1000) + "5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, true},
		"a body that looks so": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " +
			"49\r\n\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		"a chunk that looks so": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n13\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", false},
		"a trailer that says so": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", false},
		"a long line": {"GET /" + strings.Repeat("x", 5000) +
			" HTTP/1.1\r\nHost: h\r\nX-Long: " + strings.Repeat("y", 5000) + "\r\n\r\n", false},
	} {
		for _, step := range []int{1, 7, 1 << 20} { // however it is cut
			l := listen(t)
			serve(t, l, inbound.Config{})
			c := say(t, l, "")
			for range 2 {
				text := tt.text
				for len(text) > 0 {
					n := min(step, len(text))
					if _, err := io.WriteString(c, text[:n]); err != nil {
						break
					}
					text = text[n:]
				}
				if tt.ends {
					all, err := io.ReadAll(c)
					if err == nil {
						require.Contains(t, string(all), "Connection: close", "%s, by %d", name, step)
					}
					break
				}
				buffer := make([]byte, 4096)
				n, err := c.Read(buffer)
				require.NoError(t, err, "%s, by %d", name, step)
				require.Contains(t, string(buffer[:n]), "200 OK", name)
				require.NotContains(t, string(buffer[:n]), "Connection: close", "%s, by %d", name, step)
			}
		}
	}
}
