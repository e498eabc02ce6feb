package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

var echo = hearth.Name{Function: "echo", Namespace: hearth.DefaultNamespace}

// TestReplicaThatDiesInTheMiddle: the caller sees a cut, not a clean end.
func TestReplicaThatDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"HTTP/1.1 200 OK\nContent-Length: 100\n\nhalf",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhalf\n",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhalf\nzz\n"} {
		l := answering(t, crlf(answer)).dial("GET /function/echo HTTP/1.1\nHost: h\n\n")
		res := l.head()
		require.Equal(t, 200, res.StatusCode)
		text, err := io.ReadAll(res.Body)
		require.Error(t, err, answer)
		require.Equal(t, "half", string(text))
	}
	res, text := answering(t, "").do("GET", "", nil)
	require.Equal(t, http.StatusBadGateway, res.StatusCode)
	require.Contains(t, text, "may have run")
}

// TestAnswersThatCannotBePassedOn are the replica's fault, and the caller is told.
func TestAnswersThatCannotBePassedOn(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"no HTTP":               "220 mail ESMTP\n",
		"HTTP/2":                "HTTP/2.0 200 OK\nContent-Length: 2\n\nok",
		"half a head":           "HTTP/1.1 200 OK\nX-One: 1\n",
		"status 000":            "HTTP/1.1 000 OK\nContent-Length: 2\n\nok",
		"status 099":            "HTTP/1.1 099 OK\nContent-Length: 2\n\nok",
		"status 999":            "HTTP/1.1 999 OK\nContent-Length: 2\n\nok",
		"status of four":        "HTTP/1.1 2000 OK\nContent-Length: 2\n\nok",
		"two lengths":           "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok!",
		"a length below zero":   "HTTP/1.1 200 OK\nContent-Length: -2\n\nok",
		"a signed length":       "HTTP/1.1 200 OK\nContent-Length: +2\n\nok",
		"a length in hex":       "HTTP/1.1 200 OK\nContent-Length: 0x2\n\nok",
		"encoding identity":     "HTTP/1.1 200 OK\nTransfer-Encoding: identity\n\nok",
		"encoding xchunked":     "HTTP/1.1 200 OK\nTransfer-Encoding: xchunked\n\n2\nok\n0\n\n",
		"encoding gzip,chunked": "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n2\nok\n0\n\n",
		"two encodings": "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: " +
			"chunked\n\n2\nok\n0\n\n",
		"space before colon":  "HTTP/1.1 200 OK\nContent-Length : 2\n\nok",
		"a name with a space": "HTTP/1.1 200 OK\nX One: 2\n\nok",
		"no colon":            "HTTP/1.1 200 OK\nX-One\n\nok",
		"a first line folded": "HTTP/1.1 200 OK\n X-One: 1\n\nok",
		"a NUL":               "HTTP/1.1 200 OK\nX-One: a\x00b\n\nok",
		"a huge head":         "HTTP/1.1 200 OK\nX-One: " + strings.Repeat("a", 1<<20) + "\n\nok",
		"endless hints":       strings.Repeat("HTTP/1.1 103 Early Hints\n\n", 1<<16),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := answering(t, crlf(answer)).dial("GET /function/echo HTTP/1.1\nHost: h\n\n")
			res := l.head()
			for ; res.StatusCode == 103; res = l.head() {
				require.Equal(t, "endless hints", name)
			}
			text, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusBadGateway, res.StatusCode, "%s %v", text, res.Header)
			require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
		})
	}
}

// TestBytesAfterAnAnswerAreNotUsed: it is nobody's answer.
func TestBytesAfterAnAnswerAreNotUsed(t *testing.T) {
	t.Parallel()
	const more = "HTTP/1.1 200 OK\nContent-Length: 5\n\nwrong"
	for _, answer := range []string{"HTTP/1.1 200 OK\nContent-Length: 5\n\nright" + more,
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n5;x=y\nright\n0\n\n" + more,
		"HTTP/1.1 204 No Content\nContent-Length: 5\n\n" + more,
		"HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n" + more} {
		f := raw(t, func(c net.Conn, r *bufio.Reader) {
			for takeRequest(r) == nil {
				_, _ = io.WriteString(c, crlf(answer))
			}
		})
		l := f.dial("")
		for range 3 {
			l.say(crlf("GET /function/echo HTTP/1.1\nHost: h\n\n"))
			_, text := l.answer()
			require.NotContains(t, text, "wrong", answer)
		}
	}
}

// TestAnswerBeforeTheBody: a caller gets it although it has not sent all, and is told that its connection
// ends there.
func TestAnswerBeforeTheBody(t *testing.T) {
	t.Parallel()
	f := raw(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nfull")
			_, _ = io.Copy(io.Discard, r)
		}
	})
	for _, body := range []string{"Content-Length: 1000000\n\nabc",
		"Transfer-Encoding: chunked\n\n3\nabc\n"} {
		l := f.dial("POST /function/echo HTTP/1.1\nHost: h\n" + body)
		res, text := l.answer()
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
		require.Equal(t, "full", text)
		require.True(t, res.Close)
		l.end()
	}
	f.idle()
	res, _ := f.do("POST", "", bytes.NewReader(make([]byte, 8<<20)))
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
}

// TestConnectionClosedAsItIsReused: what may have run is not sent again, but for the methods that RFC 9110
// calls safe.
func TestConnectionClosedAsItIsReused(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	f := raw(t, func(c net.Conn, r *bufio.Reader) {
		for i := range 2 {
			if takeRequest(r) != nil {
				return
			}
			requests.Add(1)
			if i == 0 {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	for _, tt := range []struct {
		method, key string
		status      int
		times       int32
	}{{"GET", "", 200, 2}, {"OPTIONS", "", 200, 2}, {"POST", "", 502, 1}, {"POST", "k", 502, 1},
		{"DELETE", "", 502, 1}} {
		f.router.Update(echo, []hearth.Replica{{ID: "one", Address: f.replica, Accepting: true, Ready: true}})
		for { // until there is a connection that is used again
			if res, _ := f.do("POST", "", strings.NewReader("warm")); res.StatusCode == 200 {
				break
			}
		}
		requests.Store(0)
		var body io.Reader
		if tt.method == "POST" {
			body = strings.NewReader("body")
		}
		res, text := f.do(tt.method, "", body, "Idempotency-Key", tt.key)
		require.Equal(t, tt.status, res.StatusCode, "%s: %s", tt.method, text)
		require.Equal(t, tt.times, requests.Load(), tt.method)
	}
}

// TestConnectionClosedWhileIdle is not used again.
func TestConnectionClosedWhileIdle(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	f := raw(t, func(c net.Conn, r *bufio.Reader) {
		if takeRequest(r) == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			_ = c.Close()
			closed <- struct{}{}
		}
	})
	for i := range 200 {
		res, text := f.do("POST", "", strings.NewReader("body"))
		require.Equal(t, 200, res.StatusCode, "call %d: %s", i, text)
		within(t, closed)
	}
}

// TestConnectionsAreReused: a thousand calls, one after the other, need one.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	f := raw(t, func(c net.Conn, r *bufio.Reader) {
		opened.Add(1)
		for takeRequest(r) == nil {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	l := f.dial("")
	for i := range 1000 {
		l.say(crlf([]string{"POST /function/echo HTTP/1.1\nHost: h\nContent-Length: 2\n\nok",
			"POST /function/echo HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n",
			"GET /function/echo HTTP/1.1\nHost: h\n\n"}[i%3]))
		_, text := l.answer()
		require.Equal(t, "ok", text)
	}
	require.EqualValues(t, 1, opened.Load())
}
