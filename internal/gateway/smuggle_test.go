package gateway_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/stretchr/testify/require"
)

// TestRequestsThatSmuggle are read one way only: what the gateway takes for one call, its replica does too,
// or it is refused.
func TestRequestsThatSmuggle(t *testing.T) {
	t.Parallel()
	const hidden = "GET /function/echo/smuggled HTTP/1.1\nHost: h\n\n"
	tests := map[string]struct {
		head, body string
		status     int
		seen       string // by the replica: target and body
	}{
		"length and encoding": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: " +
			"3\nTransfer-Encoding: chunked\n\n", "5\nhello\n0\n\n", 200, "/x hello"},
		"two lengths": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: " +
			"0\nContent-Length: 5\n\n", hidden, 400, ""},
		"a list of lengths": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: 0, 5\n\n", hidden,
			400, ""},
		"the same twice": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: " +
			"2\nContent-Length: 2\n\n", "ok", 200, "/x ok"},
		"a signed length": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: +5\n\n", hidden,
			400, ""},
		"a negative length": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: -1\n\n", hidden,
			400, ""},
		"a hex length": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: 0x5\n\n", hidden,
			400, ""},
		"a huge length": {"POST /function/echo/x HTTP/1.1\nHost: h\nContent-Length: " +
			"99999999999999999999\n\n", hidden, 400, ""},
		"identity": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: identity\n\n",
			hidden, 501, ""},
		"xchunked": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: xchunked\n\n",
			hidden, 501, ""},
		"chunked, identity": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked, " +
			"identity\n\n", hidden, 501, ""},
		"two encodings": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: " +
			"chunked\nTransfer-Encoding: identity\n\n", hidden, 501, ""},
		"encoding with a tab": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding:\tchunked\n\n",
			"2\nok\n0\n\n", 200, "/x ok"},
		"a vertical tab": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: \x0bchunked\n\n",
			hidden, 400, ""},
		"space before colon": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding : chunked\n\n",
			hidden, 400, ""},
		"space before name": {"POST /function/echo/x HTTP/1.1\n Transfer-Encoding: chunked\nHost: h\n\n",
			hidden, 400, ""},
		"a fold": {"GET /function/echo/x HTTP/1.1\nHost: h\nX-One: 1\n Content-Length: 5\n\n",
			"", 200, "/x "},
		"a NUL": {"GET /function/echo/x HTTP/1.1\nHost: h\nX-One: a\x00b\n\n", "", 400, ""},
		"a bare CR": {"GET /function/echo/x HTTP/1.1\nHost: h\nX-One: a\rX-Topic: forged\n\n", "",
			400, ""},
		"chunk extensions": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n",
			"2;a=b;c=\"d\"\nok\n0;e\n\n", 200, "/x ok"},
		"a chunk too short": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n",
			"1\nok\n0\n\n", 0, ""},
		"a chunk size signed": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n",
			"+2\nok\n0\n\n", 0, ""},
		"a chunk size of 17": {"POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n",
			"10000000000000002\nok\n0\n\n", 0, ""},
		"HTTP/1.0 chunked": {"POST /function/echo/x HTTP/1.0\nHost: h\nConnection: " +
			"keep-alive\nTransfer-Encoding: chunked\n\n", "2\nok\n0\n\n", 400, ""},
		"HTTP/0.9":           {"GET /function/echo/x\n\n", "", 400, ""},
		"HTTP/3.7":           {"GET /function/echo/x HTTP/3.7\nHost: h\n\n", "", 505, ""},
		"no host":            {"GET /function/echo/x HTTP/1.1\n\n", "", 400, ""},
		"two hosts":          {"GET /function/echo/x HTTP/1.1\nHost: a\nHost: b\n\n", "", 400, ""},
		"a host with a path": {"GET /function/echo/x HTTP/1.1\nHost: a/../b\n\n", "", -1, ""},
		"absolute form":      {"GET http://other/function/echo/x HTTP/1.1\nHost: h\n\n", "", 200, "/x "},
		"authority form":     {"GET h:80 HTTP/1.1\nHost: h\n\n", "", -1, ""},
		"a control in path":  {"GET /function/echo/x\x01 HTTP/1.1\nHost: h\n\n", "", 400, ""},
		"a tab in path":      {"GET /function/echo/x\tHTTP/1.1\nHost: h\n\n", "", 400, ""},
		"a fragment":         {"GET /function/echo/x#y?z HTTP/1.1\nHost: h\n\n", "", 200, "/x#y?z "},
		"hop by Connection": {"POST /function/echo/x HTTP/1.1\nHost: h\nConnection: Content-Length, " +
			"Transfer-Encoding\nContent-Length: 2\n\n", "ok", 200, "/x ok"},
		"a GET with a body": {"GET /function/echo/x HTTP/1.1\nHost: h\nContent-Length: 46\n\n",
			crlf(hidden)[:46], 200, "/x " + crlf(hidden)[:46]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var seen []string
			f := raw(t, func(c net.Conn, r *bufio.Reader) {
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					body, err := io.ReadAll(req.Body)
					if err != nil {
						return
					}
					mu.Lock()
					seen = append(seen, req.RequestURI+" "+string(body))
					mu.Unlock()
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			l := f.dial("")
			l.say(crlf(tt.head))
			body := tt.body
			if !strings.Contains(body, "\r\n") {
				body = crlf(body)
			}
			_, _ = io.WriteString(l, body)
			status := 0
			res, err := http.ReadResponse(l.r, nil)
			if err == nil {
				status = res.StatusCode
				_, _ = io.Copy(io.Discard, res.Body)
				_, _ = io.WriteString(l,
					"GET /function/none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
				l.end()
			}
			mu.Lock()
			defer mu.Unlock()
			switch tt.status {
			case 200:
				require.Equal(t, 200, status)
				require.Equal(t, []string{tt.seen}, seen)
			case -1: // it may be taken, but then as one
				require.LessOrEqual(t, len(seen), 1)
			case 0: // it may end in any error
				require.True(t, status == 0 || status >= 400, status)
				require.Empty(t, seen)
			default:
				require.Equal(t, tt.status, status)
				require.Empty(t, seen)
			}
		})
	}
}

// TestRequestWithTwoLengthsEndsTheConnection: who sits in between may have obeyed the other one.
func TestRequestWithTwoLengthsEndsTheConnection(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "hi")
	})
	const next = "GET /function/echo HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, head := range map[string]string{
		"in this order":  "Content-Length: 12\nTransfer-Encoding: chunked\n",
		"in the other":   "Transfer-Encoding: chunked\nContent-Length: 12\n",
		"in other cases": "transfer-encoding:chunked\ncONTENT-lENGTH:\t12 \n",
	} {
		for _, path := range []string{"/function/echo", "/healthz"} {
			l := f.dial("POST " + path + " HTTP/1.1\nHost: h\n" + head + "\n2\nok\n0\n\n")
			res := l.head()
			for ; res.StatusCode == 103; res = l.head() {
			}
			require.Equal(t, 200, res.StatusCode, name)
			require.True(t, res.Close, "%s: %s", name, path)
			_, err := io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			_, _ = io.WriteString(l, next)
			require.Empty(t, l.end(), "%s: it must not be read as another request", name)
		}
	}
	l := f.dial("POST /function/echo HTTP/1.0\nConnection: keep-alive\nTransfer-Encoding: " +
		"chunked\nContent-Length: 3\n\nabc")
	res, _ := l.answer()
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
	l.end()
	l = f.dial("")
	for range 3 { // said once, it may come as often as it likes
		l.say(crlf("POST /function/echo HTTP/1.1\nHost: h\nTransfer-Encoding: " +
			"chunked\n\n2;x=\"y\"\nok\n0\nSum: 1\n\n"))
		res := l.head()
		require.Equal(t, 103, res.StatusCode)
		res, _ = l.answer()
		require.False(t, res.Close)
	}
}

// FuzzRequest says anything to the gateway. What reaches the replica is well formed, and has no header that
// is not for it.
func FuzzRequest(f *testing.F) {
	var mu sync.Mutex
	var wrong []string
	complain := func(why string, about []byte) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, why+": "+string(about))
	}
	forbidden := slices.Concat(wire.DeliveryHeaders,
		[]string{"Keep-Alive", "Proxy-Authorization", "Proxy-Connection"})
	front := raw(f, func(c net.Conn, _ *bufio.Reader) {
		var took bytes.Buffer
		r := bufio.NewReader(io.TeeReader(c, &took))
		for {
			if _, err := r.Peek(1); err != nil {
				return
			}
			req, err := http.ReadRequest(r)
			if cut := (*net.OpError)(nil); errors.As(err, &cut) {
				return // the caller broke off, and the gateway did so too
			}
			if err != nil {
				complain(err.Error(), took.Bytes())
				return
			}
			if !strings.HasPrefix(req.RequestURI, "/") || req.Host != "echo" || req.Proto != "HTTP/1.1" ||
				len(req.TransferEncoding) > 0 && req.ContentLength >= 0 {
				complain("not the gateway's", took.Bytes())
			}
			for _, name := range forbidden {
				if _, ok := req.Header[name]; ok {
					complain(name, took.Bytes())
				}
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return // the caller broke off
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	f.Add([]byte(crlf("POST /function/echo/x?y HTTP/1.1\nHost: h\nContent-Length: 2\n\nok")))
	f.Add([]byte(crlf("POST /function/echo/x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\nTrailer: " +
		"Sum\n\n2;a\nok\n0\nSum: 1\n\nGET /function/echo HTTP/1.1\nHost: h\n\n")))
	f.Add([]byte(crlf("GET http://h//function/echo//x HTTP/1.1\nHost: h\nConnection: X-One, " +
		"Upgrade\nUpgrade: x\nX-One: 1\nX_Topic: 1\n\n")))
	f.Fuzz(func(t *testing.T, said []byte) {
		front.t = t
		l := front.dial("")
		_, _ = l.Write(said)
		_, _ = io.WriteString(l, "\r\nGET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		_ = l.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, l.r)
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		require.Empty(t, wrong)
	})
}

// FuzzAnswer lets a replica answer anything. What the caller gets is what net/http reads of it, or 502, or a
// cut; and the next call is not touched by it.
func FuzzAnswer(f *testing.F) {
	var mu sync.Mutex
	var answer []byte
	front := raw(f, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.URL.Path == "/next" {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
				continue
			}
			mu.Lock()
			_, _ = c.Write(answer)
			mu.Unlock()
			_ = c.(*net.TCPConn).CloseWrite()
		}
	})
	f.Add([]byte(crlf("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")), false)
	f.Add([]byte(crlf("HTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK\nTransfer-Encoding: "+
		"chunked\nTrailer: Sum\n\n2\nok\n0\nSum: 1\n\nHTTP/1.1 200 OK\n\n")), false)
	f.Add([]byte(crlf("HTTP/1.1 304 Not Modified\nContent-Length: 2\nConnection: X-One\nX-One: 1\n\n")), true)
	f.Add([]byte(crlf("HTTP/1.1 101 Switching Protocols\n\nHTTP/1.0 200 OK\n\nto the end")), false)
	f.Fuzz(func(t *testing.T, said []byte, head bool) {
		front.t = t
		mu.Lock()
		answer = said
		mu.Unlock()
		method := http.MethodGet
		if head {
			method = http.MethodHead
		}
		asked := &http.Request{Method: method}
		l := front.dial(method + " /function/echo HTTP/1.1\nHost: h\n\n")
		got, err := http.ReadResponse(l.r, asked)
		require.NoError(t, err)
		for got.StatusCode < 200 {
			require.NotEqual(t, 101, got.StatusCode)
			got, err = http.ReadResponse(l.r, asked)
			require.NoError(t, err)
		}
		text, cut := io.ReadAll(got.Body)
		if got.StatusCode != http.StatusBadGateway {
			oracle := bufio.NewReader(bytes.NewReader(said))
			want, err := http.ReadResponse(oracle, asked)
			for err == nil && want.StatusCode < 200 {
				want, err = http.ReadResponse(oracle, asked)
			}
			require.NoError(t, err)
			require.Equal(t, want.StatusCode, got.StatusCode)
			body, broken := io.ReadAll(want.Body)
			require.Equal(t, broken == nil, cut == nil, "%v, %v", broken, cut)
			if cut == nil {
				require.Equal(t, string(body), string(text))
			}
		}
		if cut == nil && !got.Close {
			l.say("GET /function/echo/next HTTP/1.1\r\nHost: h\r\n\r\n")
			_, next := l.answer()
			require.Equal(t, "next", next)
		}
		require.NoError(t, l.SetDeadline(time.Time{}))
		_ = l.Close()
	})
}
