package upstream_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/upstream"
	"github.com/stretchr/testify/require"
)

// written returns a replica's client and what the replica is sent, until it says that it has enough.
func written(t *testing.T, enough func(string) bool) (*upstream.Client, <-chan string) {
	t.Helper()
	got := make(chan string, 1)
	client := replica(t, func(c net.Conn, r *bufio.Reader) {
		var text bytes.Buffer
		for !enough(text.String()) {
			b, err := r.ReadByte()
			if err != nil {
				break
			}
			text.WriteByte(b)
		}
		got <- text.String()
		_, _ = io.WriteString(c, crlf("HTTP/1.1 204 None\nConnection: close\n\n"))
	})
	return client, got
}

func TestRequestsAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		request func(*http.Request) *http.Request
		want    string
	}{
		"GET": {
			func(r *http.Request) *http.Request { return r },
			"GET /a%2Fb?q HTTP/1.1\nHost: oven\n\n",
		},
		"an empty query": {
			func(r *http.Request) *http.Request { r.URL.RawQuery = ""; return r },
			"GET /a%2Fb? HTTP/1.1\nHost: oven\n\n",
		},
		"POST without a body": {
			func(r *http.Request) *http.Request { r.Method = "POST"; return r },
			"POST /a%2Fb?q HTTP/1.1\nHost: oven\nContent-Length: 0\n\n",
		},
		"a length": {
			func(r *http.Request) *http.Request { return withBody(r, "dough") },
			"GET /a%2Fb?q HTTP/1.1\nHost: oven\nContent-Length: 5\n\ndough",
		},
		"no length": {
			func(r *http.Request) *http.Request { return streamed(r, strings.NewReader("dough")) },
			"GET /a%2Fb?q HTTP/1.1\nHost: oven\nTransfer-Encoding: chunked\n\n5\ndough\n0\n\n",
		},
		"trailers": {
			func(r *http.Request) *http.Request {
				r.Trailer = http.Header{"Sum": {"1"}}
				return streamed(r, strings.NewReader("dough"))
			},
			"GET /a%2Fb?q HTTP/1.1\nHost: oven\nTransfer-Encoding: chunked\nTrailer: " +
				"Sum\n\n5\ndough\n0\nSum: 1\n\n",
		},
		"framing of the caller": {
			func(r *http.Request) *http.Request {
				for _, name := range []string{"Host", "Content-Length", "transfer-encoding", "TRAILER",
					"Connection", "Upgrade"} {
					r.Header[name] = []string{"7"}
				}
				return withBody(r, "dough")
			},
			"GET /a%2Fb?q HTTP/1.1\nHost: oven\nContent-Length: 5\n\ndough",
		},
		"names in any case": {
			func(r *http.Request) *http.Request { r.Header["x-own"] = []string{"caf\xc3\xa9\t"}; return r },
			"GET /a%2Fb?q HTTP/1.1\nHost: oven\nX-Own: caf\xc3\xa9\t\n\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, got := written(t, func(text string) bool { return text == crlf(tt.want) })
			_, _, err := do(t, client, tt.request(request(t, "GET", "/a%2Fb?q")))
			require.NoError(t, err)
			require.Equal(t, crlf(tt.want), <-got)
		})
	}
}

func TestRequestsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	client := replica(t, func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	for name, change := range map[string]func(*http.Request){
		"a method with a space":    func(r *http.Request) { r.Method = "GET /x HTTP/1.1\r\n" },
		"no method":                func(r *http.Request) { r.Method = "" },
		"a target with a space":    func(r *http.Request) { r.URL.Opaque = "/x y" },
		"a query with a line":      func(r *http.Request) { r.URL.RawQuery = "x\r\nY: 1" },
		"a target without a slash": func(r *http.Request) { r.URL.Opaque = "*" },
		"a name with a colon":      func(r *http.Request) { r.Header["X:"] = []string{"1"} },
		"no name":                  func(r *http.Request) { r.Header[""] = []string{"1"} },
		"a value with a line":      func(r *http.Request) { r.Header["X"] = []string{"1\r\nY: 2"} },
		"a value with a null":      func(r *http.Request) { r.Header["X"] = []string{"\x00"} },
		"a trailer with a space": func(r *http.Request) {
			r.Trailer = http.Header{"X Y": nil}
			streamed(r, strings.NewReader("x"))
		},
		"a trailer with a line": func(r *http.Request) {
			r.Trailer = http.Header{"X": {"1\r\nY: 2"}}
			streamed(r, strings.NewReader("x"))
		},
		"a body that is shorter": func(r *http.Request) {
			streamed(r, strings.NewReader("x")).ContentLength = 2
		},
		"a body that is longer": func(r *http.Request) {
			streamed(r, strings.NewReader("xyz")).ContentLength = 2
		},
		"a body that ends early": func(r *http.Request) {
			streamed(r, io.MultiReader(strings.NewReader("x"), errorReader{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := request(t, "POST", "/x")
			change(req)
			_, _, err := do(t, client, req)
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err), "%v", err)
		})
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func TestExpectHoldsTheBodyBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first string // the replica's answer to the head
		body  string // what it is sent then
	}{
		"100":                    {"HTTP/1.1 100 Continue\n\n", "5\ndough\n0\n\n"},
		"silence":                {"", "5\ndough\n0\n\n"},
		"an answer without body": {"HTTP/1.1 417 No\nContent-Length: 0\n\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			client := replica(t, func(c net.Conn, r *bufio.Reader) {
				for line := ""; line != "\r\n"; {
					line, _ = r.ReadString('\n')
				}
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				_, err := r.ReadByte()
				require.Error(t, err, "nothing is sent unasked")
				_ = c.SetReadDeadline(time.Time{})
				_, _ = io.WriteString(c, crlf(tt.first))
				text := make([]byte, len(crlf(tt.body)))
				_, _ = io.ReadFull(r, text)
				got <- string(text)
				if tt.body != "" {
					_, _ = io.WriteString(c, crlf("HTTP/1.1 200 OK\nContent-Length: 0\n\n"))
				}
			})
			req := streamed(request(t, "POST", "/"), strings.NewReader("dough"))
			req.Header.Set("Expect", "100-continue")
			_, _, err := do(t, client, req)
			require.NoError(t, err)
			require.Equal(t, crlf(tt.body), <-got)
		})
	}
}

// FuzzRequest: what a replica is sent is the request that was meant, or nothing.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/x?y", "X-A", "b", "body", true)
	f.Add("POST", "/x y", "Transfer-Encoding", "chunked", "0\r\n\r\nGET / HTTP/1.1\r\n", false)
	f.Add("P\r\n", "/", "X:", "\r\n", "", false)
	f.Fuzz(func(t *testing.T, method, target, name, value, body string, sized bool) {
		if !strings.HasPrefix(target, "/") {
			return
		}
		type received struct{ line, body string }
		got := make(chan received, 1)
		client := replica(t, func(c net.Conn, r *bufio.Reader) {
			req, err := http.ReadRequest(r)
			if err != nil {
				return // such as a percent sign without digits, which is not ours to judge
			}
			text, err := io.ReadAll(req.Body)
			if err == nil && r.Buffered() == 0 {
				got <- received{req.Method + " " + req.RequestURI, string(text)}
			}
			_, _ = io.WriteString(c, crlf("HTTP/1.1 204 None\nConnection: close\n\n"))
		})
		req := request(t, method, target)
		req.Header[name] = []string{value}
		if sized {
			withBody(req, body)
		} else {
			streamed(req, strings.NewReader(body))
		}
		if _, _, err := do(t, client, req); err != nil {
			return
		}
		require.Len(t, got, 1, "one whole request, and nothing behind it")
		r := <-got
		require.Equal(t, method+" "+target, r.line)
		require.Equal(t, body, r.body)
	})
}
