package upstream_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/upstream"
	"github.com/stretchr/testify/require"
)

// TestAnswers has a line for each sentence of the package's document about answers.
func TestAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300<<10)
	for name, tt := range map[string]struct {
		method, answer string
		status         int // 0 for an error
		body           string
		fails          bool // while the body is read
	}{
		"1.0": {answer: "HTTP/1.0 200 OK\n\nok", status: 200, body: "ok"},
		"1.9": {answer: "HTTP/1.9 200 OK\nContent-Length: 2\n\nok", status: 200,
			body: "ok"},
		"2.0":        {answer: "HTTP/2.0 200 OK\nContent-Length: 2\n\nok"},
		"no version": {answer: "200 OK\n\n"},
		"099":        {answer: "HTTP/1.1 099 OK\nContent-Length: 2\n\nok"},
		"599": {answer: "HTTP/1.1 599 Own\nContent-Length: 2\n\nok", status: 599,
			body: "ok"},
		"600":         {answer: "HTTP/1.1 600 OK\nContent-Length: 2\n\nok"},
		"four digits": {answer: "HTTP/1.1 2000 OK\nContent-Length: 2\n\nok"},
		"no reason": {answer: "HTTP/1.1 200\nContent-Length: 2\n\nok", status: 200,
			body: "ok"},
		"100 and 103 before": {answer: "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early\nLink: " +
			"x\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", status: 200, body: "ok"},
		"101 unasked": {answer: "HTTP/1.1 101 Switching\nConnection: Upgrade\nUpgrade: " +
			"websocket\n\n"},
		"a long head": {answer: "HTTP/1.1 200 OK\nX: " + long + "\nContent-Length: 2\n\nok"},
		"many interim": {answer: strings.Repeat("HTTP/1.1 103 E\nX: "+long[:30<<10]+"\n\n",
			10) + "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"},
		"a space before the colon": {answer: "HTTP/1.1 200 OK\nContent-Length : 2\n\nok"},
		"a control character":      {answer: "HTTP/1.1 200 OK\nX: a\x01b\nContent-Length: 2\n\nok"},
		"a bare CR in a value":     {answer: "HTTP/1.1 200 OK\nContent-Length: 2\rX\n\nok"},
		"a folded line": {answer: "HTTP/1.1 200 OK\nX: a\n  b\nContent-Length: 2\n\nok",
			status: 200, body: "ok"},
		"folded at once": {answer: "HTTP/1.1 200 OK\n X: a\nContent-Length: 2\n\nok"},
		"HEAD": {method: "HEAD", answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\n",
			status: 200},
		"HEAD, chunked": {method: "HEAD",
			answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", status: 200},
		"204": {answer: "HTTP/1.1 204 None\nContent-Length: 2\n\n", status: 204},
		"304": {answer: "HTTP/1.1 304 Same\nTransfer-Encoding: chunked\n\n",
			status: 304},
		"gzip, chunked": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, " +
			"chunked\n\n2\nok\n0\n\n"},
		"chunked twice": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: " +
			"chunked\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n"},
		"chunked and a length": {answer: "HTTP/1.1 200 OK\nContent-Length: 40\nTransfer-Encoding: " +
			"chunked\n\n2\nok\n0\n\n", status: 200, body: "ok"},
		"chunked in 1.0": {answer: "HTTP/1.0 200 OK\nTransfer-Encoding: " +
			"chunked\nContent-Length: 2\n\nok", status: 200, body: "ok"},
		"two equal lengths": {answer: "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nok",
			status: 200, body: "ok"},
		"two lengths":       {answer: "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok"},
		"a list of lengths": {answer: "HTTP/1.1 200 OK\nContent-Length: 2, 2\n\nok"},
		"a signed length":   {answer: "HTTP/1.1 200 OK\nContent-Length: +2\n\nok"},
		"until the end":     {answer: "HTTP/1.1 200 OK\n\nok", status: 200, body: "ok"},
		"a body too short": {answer: "HTTP/1.1 200 OK\nContent-Length: 3\n\nok", status: 200,
			body: "ok", fails: true},
		"no last chunk": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n",
			status: 200, body: "ok", fails: true},
		"a chunk extension": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: " +
			"chunked\n\n2;a=\"b\"\nok\n0\n\n", status: 200, body: "ok"},
		"too long a chunk extension": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2;" +
			long[:5<<10] + "\nok\n0\n\n", status: 200, fails: true},
		"a chunk without a number": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nx\nok\n0\n\n",
			status: 200, fails: true},
		"a chunk that is longer": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nok\n0\n\n",
			status: 200, body: "o", fails: true},
		"a trailer of framing": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: " +
			"Content-Length\n\n2\nok\n0\n\n"},
		"a long trailer": {answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX: " +
			long[:5<<10] + "\n\n", status: 200, body: "ok", fails: true},
		"nothing":                  {answer: ""},
		"the beginning of a head":  {answer: "HTTP/1.1 200 OK\nContent-Le"},
		"a length beyond 63 bits":  {answer: "HTTP/1.1 200 OK\nContent-Length: 99999999999999999999\n\nok"},
		"a header without a name":  {answer: "HTTP/1.1 200 OK\n: x\nContent-Length: 2\n\nok"},
		"a header without a colon": {answer: "HTTP/1.1 200 OK\nx\nContent-Length: 2\n\nok"},
		"a name with a bare CR":    {answer: "HTTP/1.1 200 OK\nX\rY: 1\nContent-Length: 2\n\nok"},
		"bytes above 0x7F in a value": {answer: "HTTP/1.1 200 OK\nX: caf\xc3\xa9\nContent-Length: 2\n\nok",
			status: 200, body: "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := replica(t, func(c net.Conn, r *bufio.Reader) {
				if readHead(r) == nil {
					_, _ = io.WriteString(c, crlf(tt.answer))
				}
			})
			method := tt.method
			if method == "" {
				method = http.MethodPost // it is not repeated
			}
			res, body, err := do(t, client, request(t, method, "/"))
			if tt.status == 0 {
				require.Error(t, err)
				require.False(t, upstream.NotSent(err), "it may have run")
				return
			}
			require.NotNil(t, res, "%v", err)
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, tt.body, body)
			require.Equal(t, tt.fails, err != nil, err)
		})
	}
}

func TestBareLFEndsALineOfTheHead(t *testing.T) {
	t.Parallel()
	client := answering(t, "HTTP/1.1 200 OK\nX: 1\nContent-Length: 2\n\nok")
	res, body, err := do(t, client, request(t, "GET", "/"))
	require.NoError(t, err)
	require.Equal(t, "1", res.Header.Get("X"))
	require.Equal(t, "ok", body)
}

func TestTrailersAreRead(t *testing.T) {
	t.Parallel()
	client := answering(t,
		crlf("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Sum\n\n2\nok\n0\nSum: 1\nOther: 2\n\n"))
	res, _, err := do(t, client, request(t, "GET", "/"))
	require.NoError(t, err)
	require.Equal(t, http.Header{"Sum": {"1"}, "Other": {"2"}}, res.Trailer)
}

func TestInterimAnswersArePassedOn(t *testing.T) {
	t.Parallel()
	client := answering(t,
		crlf("HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early\nLink: a\n\nHTTP/1.1 199 Own\n\nHTTP/1.1 200 "+
			"OK\nContent-Length: 0\n\n"))
	var got []string
	res, err := client.Do(request(t, "GET", "/"), soon(),
		upstream.Options{Early: func(status int, h http.Header) {
			got = append(got, fmt.Sprint(status, h.Get("Link")))
		}})
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, []string{"103a", "199"}, got)
}

func TestUpgradeGivesTheConnection(t *testing.T) {
	t.Parallel()
	client := replica(t, func(c net.Conn, r *bufio.Reader) {
		_ = readHead(r)
		_, _ = io.WriteString(c, crlf("HTTP/1.1 101 Switching\nConnection: Upgrade\nUpgrade: echo\n\nhello "))
		_, _ = io.Copy(c, r)
	})
	req := request(t, "GET", "/")
	req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{"echo"}
	res, err := client.Do(req, soon(), upstream.Options{Upgrade: true})
	require.NoError(t, err)
	require.True(t, res.Endless)
	closed := 0
	res.OnClose = func(bool) { closed++ }
	line := res.Body.(io.ReadWriteCloser)
	_, err = io.WriteString(line, "there")
	require.NoError(t, err)
	text := make([]byte, len("hello there"))
	_, err = io.ReadFull(line, text)
	require.NoError(t, err)
	require.Equal(t, "hello there", string(text))
	require.NoError(t, line.Close())
	require.NoError(t, line.Close())
	require.Equal(t, 1, closed)

	other := request(t, "GET", "/")
	other.Header["Upgrade"] = []string{"websocket"}
	_, err = client.Do(other, soon(), upstream.Options{Upgrade: true})
	require.ErrorContains(t, err, "not asked for")
}

func TestStreamIsEndlessIfItWasAskedFor(t *testing.T) {
	t.Parallel()
	client := answering(t, crlf("HTTP/1.1 200 OK\nContent-Type: text/event-stream\nContent-Length: 0\n\n"))
	for accept, endless := range map[string]bool{"text/event-stream": true, "*/*": false} {
		req := request(t, "GET", "/")
		req.Header.Set("Accept", accept)
		res, err := client.Do(req, soon(), upstream.Options{Stream: true})
		require.NoError(t, err)
		require.Equal(t, endless, res.Endless)
		require.NoError(t, res.Body.Close())
	}
}
