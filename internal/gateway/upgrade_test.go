package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const upgrade = "GET /function/echo/socket?q HTTP/1.1\nHost: h\nConnection: keep-alive, Upgrade\nUpgrade: " +
	"websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"

// sockets is a gateway in front of a replica that upgrades, says hi with its 101, and then speaks.
func sockets(t *testing.T, speak func(c net.Conn, r *bufio.Reader)) *front {
	return raw(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "websocket" ||
			req.Header.Get("Connection") != "Upgrade" || req.Header.Get("Sec-WebSocket-Key") == "" {
			_, _ = io.WriteString(c, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c,
			crlf("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: "+
				"websocket\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n\nhi"))
		speak(c, r)
	}, "exec_timeout", "1ms")
}

func (l *line) upgraded() {
	l.t.Helper()
	res := l.head()
	require.Equal(l.t, 101, res.StatusCode)
	require.Equal(l.t, "websocket", res.Header.Get("Upgrade"))
	require.Equal(l.t, "Upgrade", res.Header.Get("Connection"))
	require.Equal(l.t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", res.Header.Get("Sec-WebSocket-Accept"))
	require.NotEmpty(l.t, res.Header.Get("X-Call-Id"))
	l.expect("hi")
}

func echoLines(c net.Conn, r *bufio.Reader) {
	for {
		text, err := r.ReadString('\n')
		if err != nil || text == "bye\n" {
			_, _ = io.WriteString(c, "bye\n")
			return
		}
		_, _ = io.WriteString(c, "<"+text)
	}
}

func TestUpgradeBothWays(t *testing.T) {
	t.Parallel()
	f := sockets(t, echoLines)
	l := f.dial(upgrade + "early") // the caller may speak before it has the 101
	l.upgraded()
	l.say(" bird\n")
	l.expect("<early bird\n")
	big := strings.Repeat("x", 300<<10) + "\n"
	go func() { _, _ = io.WriteString(l, big) }()
	l.expect("<" + big)
	l.say("bye\n")
	require.Equal(t, "bye\n", l.end(), "the replica closed it")
	f.idle()
}

func TestUpgradeEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	f := sockets(t, func(_ net.Conn, r *bufio.Reader) {
		_, err := r.ReadByte()
		ended <- err
	})
	l := f.dial(upgrade)
	l.upgraded()
	require.NoError(t, l.Close())
	require.Error(t, within(t, ended))
	f.idle()
}

// TestTimeoutDoesNotCutAnUpgrade: a call without one, that has as long, is cut while the socket goes on.
func TestTimeoutDoesNotCutAnUpgrade(t *testing.T) {
	t.Parallel()
	f := sockets(t, echoLines)
	l := f.dial(upgrade)
	l.upgraded()
	began := time.Now()
	other := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}, "exec_timeout", "1ms")
	res, _ := other.do("GET", "", nil)
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.Greater(t, time.Since(began), time.Millisecond)
	l.say("still here\n")
	l.expect("<still here\n")
}

func TestUpgradeIsCutWhenTheDrainIsOver(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	f := sockets(t, func(c net.Conn, r *bufio.Reader) {
		for {
			text, err := r.ReadString('\n')
			if err != nil {
				ended <- err
				return
			}
			_, _ = io.WriteString(c, text)
		}
	})
	l := f.dial(upgrade)
	l.upgraded()
	ctx, over := context.WithCancel(context.Background())
	down := make(chan struct{})
	go func() { f.gateway.Shutdown(ctx); close(down) }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", f.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, patience, time.Millisecond, "it takes no new ones")
	l.say("draining\n")
	l.expect("draining\n")
	over()
	require.Empty(t, l.end())
	require.Error(t, within(t, ended))
	within(t, down)
}

func TestUpgradeThatIsRefused(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no sockets here", http.StatusForbidden)
	})
	l := f.dial(upgrade)
	res, text := l.answer()
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.Equal(t, "no sockets here\n", text)
}

// TestUpgradeThatNobodyAskedFor would let a replica say what it likes on the caller's connection.
func TestUpgradeThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	f := answering(t,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 "+
			"200 OK\r\n\r\n")
	for _, header := range []string{"", "Upgrade: websocket\n", "Connection: Upgrade\n",
		"Connection: Upgrade\nUpgrade: h2c\n"} {
		res, _ := f.dial("GET /function/echo HTTP/1.1\nHost: h\n" + header + "\n").answer()
		require.Equal(t, http.StatusBadGateway, res.StatusCode, header)
	}
}

// TestAnUpgradeToHTTP2IsIgnored: through one, a caller would speak to the replica past the gateway, with any
// header.
func TestAnUpgradeToHTTP2IsIgnored(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
			_, _ = io.WriteString(w, name+"="+r.Header.Get(name)+";")
		}
	})
	for header, want := range map[string]string{
		"Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n" +
			"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\n": "Upgrade=;Connection=;Http2-Settings=;",
		"Connection: upgrade\nUpgrade: H2C , HTTP/2.0, TLS/1.2, h2-17\nHTTP2-Settings: " +
			"AAMAAABkAARAAAAAAAIAAAAA\n": "Upgrade=;Connection=;Http2-Settings=;",
		"Connection: Upgrade\nUpgrade: h2c, websocket\n": "Upgrade=websocket;Connection=Upgrade;" +
			"Http2-Settings=;",
	} {
		res, text := f.dial("GET /function/echo HTTP/1.1\nHost: h\n" + header + "\n").answer()
		require.Equal(t, http.StatusOK, res.StatusCode, header)
		require.Equal(t, want, text, header)
	}
}

// idle waits until no call is in flight.
func (f *front) idle() {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		l, _ := f.router.Load(echo)
		return l.InFlight == 0
	}, patience, time.Millisecond)
}
