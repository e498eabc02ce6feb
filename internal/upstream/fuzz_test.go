package upstream_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/upstream"
	"github.com/stretchr/testify/require"
)

// netHTTP reads an answer as net/http does, without the interim ones. whole is false if it needs the end of
// the connection.
func netHTTP(text, method string) (res *http.Response, body string, whole bool, err error) {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		if res, err = http.ReadResponse(r, &http.Request{Method: method}); err != nil {
			return nil, "", false, err
		}
		if res.StatusCode >= 200 || res.StatusCode < 100 {
			break
		}
	}
	b, err := io.ReadAll(res.Body)
	return res, string(b), err == nil && !res.Close, err
}

// FuzzAnswer: of any bytes, a caller reads what net/http reads, or an error; and the next call on the
// connection reads its own answer.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: A\n\n2;x=y\nok\n0\nA: b\n\n",
		"HTTP/1.1 103 Early\nLink: x\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\n\n",
		"HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\n1\no\n0\n\n",
		"HTTP/1.1 204 None\nContent-Length: 4\n\nevil",
		"HTTP/1.1 304 Same\nTransfer-Encoding: chunked\n\n",
		"HTTP/1.0 200 OK\nConnection: keep-alive\nX: a\n b\nContent-Length: 2\n\nok",
		"HTTP/1.1 101 Switching\nUpgrade: x\n\nHTTP/1.1 200 OK\n\n",
		"HTTP/1.1 200 OK\nContent-Length : 2\n\nok",
	} {
		f.Add([]byte(crlf(text)), uint8(0))
		f.Add([]byte(crlf(text)), uint8(1))
	}
	methods := []string{http.MethodPost, http.MethodHead, http.MethodDelete}
	f.Fuzz(func(t *testing.T, answer []byte, m uint8) {
		if len(answer) > 8<<10 { // more may come in parts, some after the answer was read
			return
		}
		method := methods[int(m)%len(methods)]
		want, wantBody, whole, wantErr := netHTTP(string(answer), method)
		first := make(chan struct{}, 1)
		first <- struct{}{}
		client := replica(t, func(c net.Conn, r *bufio.Reader) {
			for readHead(r) == nil {
				select {
				case <-first:
					_, _ = c.Write(answer)
					if !whole {
						return
					}
				default:
					_, _ = io.WriteString(c, crlf("HTTP/1.1 200 OK\nContent-Length: 6\n\nsecond"))
				}
			}
		})
		until := time.Now().Add(10 * time.Second)
		res, err := client.Do(request(t, method, "/"), until, upstream.Options{})
		if err == nil {
			body, err := io.ReadAll(res.Body)
			require.NoError(t, res.Body.Close())
			if err == nil {
				require.NoError(t, wantErr)
				require.Equal(t, want.StatusCode, res.StatusCode)
				require.Equal(t, want.Header, res.Header)
				require.Equal(t, want.Trailer, res.Trailer)
				require.Equal(t, wantBody, string(body))
			}
		}
		require.True(t, time.Now().Before(until), "it waited for more")
		_, body, err := do(t, client, request(t, "POST", "/"))
		require.NoError(t, err)
		require.Equal(t, "second", body)
	})
}
