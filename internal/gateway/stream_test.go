package gateway_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBodiesStreamBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		_ = out.EnableFullDuplex()
		_ = out.Flush()
		in := bufio.NewReader(r.Body)
		for {
			text, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "you said "+text)
			_ = out.Flush()
		}
	})
	body, say := io.Pipe()
	res := f.start("POST", "", body)
	hear := bufio.NewReader(res.Body)
	for i := range 20 {
		_, err := fmt.Fprintf(say, "%d\n", i)
		require.NoError(t, err)
		text, err := hear.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("you said %d\n", i), text)
	}
	require.NoError(t, say.Close())
	_, err := hear.ReadString('\n')
	require.Equal(t, io.EOF, err)
}

// TestEventsAreNotHeldBack: nor is the head of an answer that has no event yet, nor a part of an answer whose
// length is known.
func TestEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/event-stream", "application/x-ndjson", "text/plain"} {
		for _, length := range []string{"", "18"} {
			next := make(chan struct{})
			f := serving(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				out := http.NewResponseController(w)
				_ = out.Flush()
				for i := range 3 {
					<-next
					_, _ = fmt.Fprintf(w, "data %d", i)
					_ = out.Flush()
				}
			})
			res := f.start("GET", "", nil, "Accept", kind)
			require.Equal(t, kind, res.Header.Get("Content-Type"))
			for i := range 3 {
				next <- struct{}{}
				got := make([]byte, 6)
				_, err := io.ReadFull(res.Body, got)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("data %d", i), string(got))
			}
			_, err := res.Body.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
		}
	}
}

// TestTimeoutIsForTheHeadOfAStream: the watchdog has no limit for one either.
func TestTimeoutIsForTheHeadOfAStream(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		_ = http.NewResponseController(w).Flush()
		<-over
		_, _ = io.WriteString(w, "late")
	}, "exec_timeout", "1ms") // and the second that the watchdog's answer has
	cut := f.start("GET", "?type=text/plain", nil, "Accept", "text/event-stream")
	unasked := f.start("GET", "?type=text/event-stream", nil)
	stream := f.start("GET", "?type=text/event-stream", nil, "Accept", "text/html, text/event-stream;q=0.9")
	_, err := io.ReadAll(cut.Body)
	require.Error(t, err)
	_, err = io.ReadAll(unasked.Body)
	require.Error(t, err)
	late := f.start("GET", "?type=text/plain", nil) // its limit ends after the stream's would have
	_, err = io.ReadAll(late.Body)
	require.Error(t, err)
	close(over)
	text, err := io.ReadAll(stream.Body)
	require.NoError(t, err)
	require.Equal(t, "late", string(text))
}

func TestUploadWithoutLength(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, r.TransferEncoding, r.ContentLength, n, err)
	})
	for _, size := range []int{0, 1, 100 << 10, 3 << 20} {
		_, text := f.do("POST", "", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))
		require.Equal(t, fmt.Sprint([]string{"chunked"}, -1, size, nil), text)
	}
	l := f.dial("POST /function/echo HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n")
	_, text := l.answer()
	require.Contains(t, text, "3 <nil>")
	l.say(crlf("POST /function/echo HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n1\na\n0\n\n"))
	_, text = l.answer()
	require.Contains(t, text, "1 <nil>", "the connection goes on")
}

// TestUploadThatEndsEarly: the replica sees a cut, not a clean end.
func TestUploadThatEndsEarly(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"Transfer-Encoding: chunked\n\n5\nhello\n",
		"Transfer-Encoding: chunked\n\n5\nhello\nzz\n", "Content-Length: 100000\n\nhello"} {
		saw := make(chan error, 1)
		f := serving(t, func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			saw <- err
		})
		l := f.dial("POST /function/echo HTTP/1.1\nHost: h\n" + head)
		if !strings.Contains(head, "zz") {
			require.NoError(t, l.Conn.(*net.TCPConn).CloseWrite())
		}
		require.Error(t, within(t, saw), head)
	}
}

func TestTrailersBothWays(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum, X-Topic")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("Sum", r.Trailer.Get("Sum")+"!")
		w.Header().Set(http.TrailerPrefix+"Late",
			fmt.Sprint(len(r.Trailer), r.Trailer.Get("X-Topic"), r.Trailer.Get("Unsaid")))
	})
	l := f.dial("POST /function/echo HTTP/1.1\nHost: h\nTE: trailers\nTransfer-Encoding: " +
		"chunked\nTrailer: Sum, X-Topic\n\n3\nabc\n0\nSum: 294\nX-Topic: forged\nUnsaid: x\n\n")
	res := l.head()
	require.Contains(t, res.Trailer, "Sum")
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "abc", string(text))
	require.Equal(t, "294!", res.Trailer.Get("Sum"))
	require.Equal(t, "1", res.Trailer.Get("Late"),
		"delivery headers cannot be forged in trailers, nor what was not announced")
}

func TestFunctionDecidesAboutExpect(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, string(body), r.Header.Get("Expect"))
	})
	l := f.dial("POST /function/echo HTTP/1.1\nHost: h\nContent-Length: 4\nExpect: 100-continue\n\n")
	l.expect("HTTP/1.1 100 Continue\r\n\r\n")
	l.say("body")
	_, text := l.answer()
	require.Equal(t, "body100-continue", text)

	l = f.dial("POST /function/echo/no HTTP/1.1\nHost: h\nContent-Length: 4\nExpect: 100-continue\n\n")
	res, _ := l.answer()
	require.Equal(t, http.StatusForbidden, res.StatusCode, "without a 100 before")
	require.True(t, res.Close)

	res, _ = f.dial("POST /function/echo HTTP/1.1\nHost: h\nContent-Length: 4\nExpect: cookies\n\n").answer()
	require.Equal(t, http.StatusExpectationFailed, res.StatusCode)

	asked := make(chan struct{})
	f = raw(t, func(c net.Conn, r *bufio.Reader) { // one that knows nothing of it
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		got := make([]byte, 4)
		_, _ = io.ReadFull(r, got)
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n%s", got)
		close(asked)
	})
	l = f.dial("POST /function/echo HTTP/1.1\nHost: h\nContent-Length: 4\nExpect: 100-continue\n\n")
	l.expect("HTTP/1.1 100 Continue\r\n\r\n")
	l.say("body")
	_, text = l.answer()
	require.Equal(t, "body", text)
	within(t, asked)
}

func TestEarlyHintsArePassedOn(t *testing.T) {
	t.Parallel()
	f := raw(t, func(c net.Conn, r *bufio.Reader) {
		if takeRequest(r) == nil {
			_, _ = io.WriteString(c,
				crlf("HTTP/1.1 102 Processing\n\nHTTP/1.1 103 Early Hints\nLink: </a.css>\nConnection: "+
					"X-One\nX-One: 1\n\nHTTP/1.1 200 OK\nX-Last: 1\nContent-Length: 2\n\nok"))
		}
	})
	l := f.dial("GET /function/echo HTTP/1.1\nHost: h\n\n")
	require.Equal(t, 102, l.head().StatusCode)
	res := l.head()
	require.Equal(t, 103, res.StatusCode)
	require.Equal(t, http.Header{"Link": {"</a.css>"}}, res.Header)
	res, text := l.answer()
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, "ok", text)
	require.NotContains(t, res.Header, "Link", "the hint's headers are not the answer's")
	res, _ = f.dial("GET /function/echo HTTP/1.0\nHost: h\n\n").answer()
	require.Equal(t, 200, res.StatusCode, "HTTP/1.0 has no 1xx")
}

func TestCallerThatLeavesIsNoticed(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{"no body": "GET /function/echo HTTP/1.1\nHost: h\n\n",
		"a body":      "POST /function/echo HTTP/1.1\nHost: h\nContent-Length: 2\n\nok",
		"half a body": "POST /function/echo HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2\nok\n",
		"an answer":   "GET /function/echo?answer HTTP/1.1\nHost: h\n\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			came, gone := make(chan struct{}), make(chan struct{})
			f := serving(t, func(w http.ResponseWriter, r *http.Request) {
				close(came)
				_, _ = io.Copy(io.Discard, r.Body) // net/http looks for what comes after it
				if r.URL.RawQuery != "" {
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
				close(gone)
			})
			l := f.dial(request)
			within(t, came)
			if strings.HasSuffix(name, "answer") {
				l.head()
			}
			_ = l.Close()
			within(t, gone)
		})
	}
}

// pattern is bytes without an end, the same however they are read.
type pattern struct{ at int }

var block = func() []byte {
	b := make([]byte, 65521) // of no round length
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}()

func (p *pattern) Read(b []byte) (int, error) {
	n := copy(b, block[p.at:])
	p.at = (p.at + n) % len(block)
	return n, nil
}

// TestLargeBodiesTakeNoMemory is not parallel: it measures all that is allocated in the process.
func TestLargeBodiesTakeNoMemory(t *testing.T) {
	const size = 256 << 20
	var came hash.Hash
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		came = sha256.New()
		_, _ = io.Copy(came, r.Body)
		_, _ = io.Copy(w, io.LimitReader(&pattern{}, size))
	}, "exec_timeout", "10m") // a busy machine takes more than the default
	for _, length := range []int64{size, -1} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		req, err := http.NewRequestWithContext(ctx, "POST", f.url(""), io.LimitReader(&pattern{}, size))
		require.NoError(t, err)
		req.ContentLength = length
		transport := &http.Transport{}
		res, err := transport.RoundTrip(req)
		require.NoError(t, err)
		got, want := sha256.New(), sha256.New()
		n, err := io.Copy(got, res.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		transport.CloseIdleConnections()
		cancel()
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20),
			"client, gateway and replica together, garbage too")
		_, _ = io.Copy(want, io.LimitReader(&pattern{}, size))
		require.Equal(t, want.Sum(nil), got.Sum(nil))
		require.Equal(t, want.Sum(nil), came.Sum(nil))
	}
}

// TestSlowReaderGetsAll: what it does not take waits in the replica, not in the gateway.
func TestSlowReaderGetsAll(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	done := make(chan struct{})
	f := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(&pattern{}, size))
		close(done)
	}, "exec_timeout", "10m")
	l := f.dial("GET /function/echo HTTP/1.1\nHost: h\nConnection: close\n\n")
	res := l.head()
	select {
	case <-done:
		require.Fail(t, "64 MiB are held somewhere")
	default:
	}
	n, err := io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	within(t, done)
}

func TestSlowWriterIsReadByteByByte(t *testing.T) {
	t.Parallel()
	got := make(chan byte)
	f := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1)
		for {
			if _, err := r.Body.Read(b); err != nil {
				return
			}
			got <- b[0]
		}
	})
	l := f.dial("POST /function/echo HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n")
	for _, b := range "cookies" {
		l.say(fmt.Sprintf("1\r\n%c\r\n", b))
		require.Equal(t, byte(b), within(t, got))
	}
	l.say("0\r\n\r\n")
	require.Equal(t, 200, l.head().StatusCode)
}

func TestHopByHopTrailersAreDropped(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	f := raw(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		got <- req.Trailer
		_, _ = io.WriteString(c,
			crlf("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Keep-Alive, Sum\n\n"+
				"2\nok\n0\nKeep-Alive: 1\nSum: 1\nUpgrade: h2c\n\n"))
	})
	l := f.dial("POST /function/echo HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n" +
		"Trailer: Proxy-Authorization, Sum\n\n2\nok\n0\nProxy-Authorization: x\nSum: 2\n\n")
	res, _ := l.answer()
	require.Equal(t, http.Header{"Sum": {"1"}}, res.Trailer)
	require.Equal(t, http.Header{"Sum": {"2"}}, <-got)
}
