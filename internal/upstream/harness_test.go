package upstream_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/upstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replica is a server on a Unix socket that speaks by itself on each connection, which is closed after it. It
// returns a client of it.
func replica(t testing.TB, speak func(c net.Conn, r *bufio.Reader)) *upstream.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
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
	client := upstream.New("unix://" + path)
	t.Cleanup(func() { client.Close(); _ = l.Close(); <-ended })
	return client
}

// answering is a replica that gives each call the same answer, and reads no further than the head of the
// request.
func answering(t testing.TB, answer string) *upstream.Client {
	t.Helper()
	return replica(t, func(c net.Conn, r *bufio.Reader) {
		for readHead(r) == nil {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	})
}

// readHead reads the head of a request, and its body if it has a length.
func readHead(r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err == nil && req.ContentLength > 0 {
		_, err = io.Copy(io.Discard, req.Body)
	}
	return err
}

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

func request(t testing.TB, method, target string) *http.Request {
	t.Helper()
	path, query, asked := strings.Cut(target, "?")
	req := &http.Request{Method: method, Header: http.Header{}}
	req.URL = &url.URL{Scheme: "http", Host: "oven", Opaque: path, RawQuery: query, ForceQuery: asked}
	return req.WithContext(t.Context())
}

// withBody gives a request a body that can be had again.
func withBody(req *http.Request, body string) *http.Request {
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	req.Body, _ = req.GetBody()
	return req
}

// streamed gives a request a body of unknown length that cannot be had again.
func streamed(req *http.Request, body io.Reader) *http.Request {
	req.Body, req.ContentLength = io.NopCloser(body), -1
	return req
}

func soon() time.Time { return time.Now().Add(time.Minute) }

// do makes a call and reads all of its answer.
func do(t testing.TB, client *upstream.Client, req *http.Request) (*upstream.Response, string, error) {
	t.Helper()
	res, err := client.Do(req, soon(), upstream.Options{})
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(res.Body)
	require.NoError(t, res.Body.Close())
	return res, string(text), err
}
