package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/stretchr/testify/require"
)

func TestMethodsArePassedOn(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Was", r.Method)
		_, _ = w.Write(body)
	})
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		res, text := f.do(method, "", strings.NewReader("body"))
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, method, res.Header.Get("Was"))
		require.Equal(t, "body", text)
	}
	res, text := f.do("HEAD", "", nil)
	require.Equal(t, "HEAD", res.Header.Get("Was"))
	require.Empty(t, text)
	for _, method := range []string{"TRACE", "BREW", "PROPFIND", "get"} {
		res, _ := f.dial(method + " /function/echo HTTP/1.1\nHost: h\n\n").answer()
		require.Equal(t, 405, res.StatusCode, method)
		require.Equal(t, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", res.Header.Get("Allow"))
	}
}

func TestTargetIsPassedOnAsItWasSent(t *testing.T) {
	t.Parallel()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	tests := map[string]string{
		"/function/echo":                       "/",
		"/function/echo.openfaas-fn":           "/",
		"/function/echo/":                      "/",
		"/function/echo?":                      "/?",
		"/function/echo?a=1&a=2;%zz&+=%20?":    "/?a=1&a=2;%zz&+=%20?",
		"/function/echo/a%2Fb/c%2fd":           "/a%2Fb/c%2fd",
		"/function/echo//a///b//":              "//a///b//",
		"/function/echo/../../system/x/./y/..": "/../../system/x/./y/..",
		"/function/echo/%2e%2e/":               "/%2e%2e/",
		"/function/echo/a;b=c,d:e@f!$&'()*+":   "/a;b=c,d:e@f!$&'()*+",
		"/function/echo/{a}|b^`\"<>[]\\":       "/{a}|b^`\"<>[]\\",
		"/function/echo/é/%C3%A9":              "/é/%C3%A9",
		"/function/echo//{a}":                  "//{a}",
		"/function/echo/a%20b%0d%0aX:%20y":     "/a%20b%0d%0aX:%20y",
		"http://h/function/echo/x?y":           "/x?y",
	}
	for target, want := range tests {
		res, text := f.dial("GET " + target + " HTTP/1.1\nHost: h\n\n").answer()
		require.Equal(t, 200, res.StatusCode, "%s: %s", target, text)
		require.Equal(t, want, text)
	}
	for target, status := range map[string]int{
		"/function/":         400,
		"/function//x":       400,
		"/function/../x":     404,
		"/function/none":     404,
		"/function/a%2Fb":    404,
		"/%66unction/echo":   400,
		"/function/echo/%zz": 400,
		"/function/echo/a b": 400,
	} {
		res, text := f.dial("GET " + target + " HTTP/1.1\nHost: h\n\n").answer()
		require.Equal(t, status, res.StatusCode, "%s: %s", target, text)
	}
}

// headersSeen answers with the headers that a replica was given.
func headersSeen(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	r.Header["-Host"], r.Header["-Te"] = []string{r.Host}, r.TransferEncoding
	_ = json.NewEncoder(w).Encode(r.Header)
}

func seen(t *testing.T, text string) (h http.Header) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &h), text)
	return h
}

func TestHeadersForFunctions(t *testing.T) {
	t.Parallel()
	f := serving(t, headersSeen)
	l := f.dial(`POST /function/echo HTTP/1.1
Host: shop.example:81
Connection: keep-alive, X-One, x-two
Connection: X-Three
Keep-Alive: timeout=5
Proxy-Connection: keep-alive
Proxy-Authorization: secret
TE: trailers, gzip
X-One: 1
X-Two: 2
X-Three: 3
X-Topic: forged
X_Topic: forged
X-Delivery-Token: forged
X-Keep: a
X-Keep: b
X-Empty:
Cookie: c=1; d=2
Content-Type: text/x-own
Content-Length: 2

ok`)
	me := l.LocalAddr().String()
	res, text := l.answer()
	h := seen(t, text)
	require.Equal(t, http.Header{
		"-Host":             {"echo"},
		"-Te":               nil,
		"Content-Length":    {"2"},
		"Content-Type":      {"text/x-own"},
		"Cookie":            {"c=1; d=2"},
		"Te":                {"trailers"},
		"User-Agent":        {"hearth/v1"},
		"X-Call-Id":         {res.Header.Get("X-Call-Id")},
		"X-Start-Time":      {res.Header.Get("X-Start-Time")},
		"X-Empty":           {""},
		"X-Keep":            {"a", "b"},
		"X-Forwarded-For":   {me},
		"X-Forwarded-Host":  {"shop.example:81"},
		"X-Forwarded-Proto": {"http"},
	}, h)

	_, text = f.do("GET", "", nil, "X-Forwarded-For", "1.2.3.4", "X-Forwarded-For", "5.6.7.8",
		"X-Forwarded-Host", "other", "X-Forwarded-Proto", "https", "X-Real-Ip", "1.2.3.4",
		"Forwarded", "for=1.2.3.4", "User-Agent", "own", "X-Call-Id", "mine")
	h = seen(t, text)
	require.Regexp(t, `^127\.0\.0\.1:\d+$`, h.Get("X-Forwarded-For"),
		"who is no trusted proxy speaks for itself only")
	require.Equal(t, []string{f.addr}, h["X-Forwarded-Host"])
	require.Equal(t, []string{"http"}, h["X-Forwarded-Proto"])
	require.NotContains(t, h, "X-Real-Ip")
	require.NotContains(t, h, "Forwarded")
	require.Equal(t, []string{"own"}, h["User-Agent"])
	require.Equal(t, []string{"mine"}, h["X-Call-Id"])
	require.NotContains(t, h, "Accept-Encoding", "what was not asked for is not asked for")

	_, text = f.dial("GET /function/echo HTTP/1.1\nHost: h\nConnection: X-Forwarded-For, X-Call-Id, " +
		"Host\nX-Forwarded-For: lie\n\n").answer()
	h = seen(t, text)
	require.NotContains(t, h["X-Forwarded-For"], "lie")
	require.NotEmpty(t, h["X-Call-Id"])
}

func TestHeadersForCallers(t *testing.T) {
	t.Parallel()
	f := answering(t, crlf(`HTTP/1.1 200 Fine
Connection: keep-alive, X-One
Connection: X-Two
Keep-Alive: timeout=5
Proxy-Authenticate: Basic
Upgrade: h2c
X-One: 1
X-Two: 2
X-Keep: a
X-Keep: b
X-Settled: 1-1
Set-Cookie: a=1
Set-Cookie: b=2
Date: Thu, 01 Jan 1970 00:00:00 GMT
Server: own
Content-Length: 2

ok`))
	res, text := f.do("GET", "", nil)
	require.Equal(t, "ok", text)
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "X-One",
		"X-Two", "X-Settled", "X-Hearth-Replica"} {
		require.NotContains(t, res.Header, name)
	}
	require.Equal(t, []string{"a", "b"}, res.Header["X-Keep"])
	require.Equal(t, []string{"a=1", "b=2"}, res.Header["Set-Cookie"])
	require.Equal(t, "Thu, 01 Jan 1970 00:00:00 GMT", res.Header.Get("Date"))
	require.NotEmpty(t, res.Header.Get("X-Call-Id"))
	require.NotEmpty(t, res.Header.Get("X-Start-Time"))
}

func TestAnswersArePassedOnUntouched(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write([]byte("cookies"))
	_ = zip.Close()
	f := serving(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/moved":
			h.Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
		case "/gzip":
			h.Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		case "/untyped":
			h["Content-Type"] = nil
			_, _ = io.WriteString(w, "x")
		case "/length":
			h.Set("Content-Length", "12345")
			if r.Method != http.MethodHead {
				_, _ = w.Write(make([]byte, 12345))
			}
		case "/204", "/304":
			h.Set("Etag", `"e"`)
			w.WriteHeader(map[string]int{"/204": 204, "/304": 304}[r.URL.Path])
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "short and stout")
		}
	})
	res, _ := f.do("GET", "/moved", nil)
	require.Equal(t, 302, res.StatusCode)
	require.Equal(t, "/elsewhere", res.Header.Get("Location"))
	res, text := f.do("GET", "/gzip", nil, "Accept-Encoding", "gzip")
	require.Equal(t, packed.String(), text)
	require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
	require.EqualValues(t, packed.Len(), res.ContentLength)
	res, _ = f.do("GET", "/untyped", nil)
	require.Equal(t, "text/plain; charset=utf-8", res.Header.Get("Content-Type"))
	res, _ = f.do("POST", "/untyped", strings.NewReader("{}"), "Content-Type", "application/json")
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	res, text = f.do("HEAD", "/length", nil)
	require.Equal(t, "12345", res.Header.Get("Content-Length"))
	require.Empty(t, text)
	for _, status := range []int{204, 304} {
		l := f.dial(fmt.Sprintf("GET /function/echo/%d HTTP/1.1\nHost: h\n\n", status))
		res = l.head()
		require.Equal(t, status, res.StatusCode)
		require.Equal(t, `"e"`, res.Header.Get("Etag"))
		require.Empty(t, res.TransferEncoding)
		l.say(crlf("GET /function/echo/teapot HTTP/1.1\nHost: h\n\n"))
		res, text = l.answer()
		require.Equal(t, http.StatusTeapot, res.StatusCode, "the next answer begins where that one ended")
		require.Equal(t, "short and stout", text)
	}
}

func TestTooManyHeadersAreRefused(t *testing.T) {
	t.Parallel()
	f := serving(t, headersSeen)
	res, _ := f.do("GET", "", nil, "X-Big", strings.Repeat("a", 60<<10))
	require.Equal(t, 200, res.StatusCode)
	l := f.dial("GET /function/echo HTTP/1.1\nHost: h\nX-Big: ")
	_, _ = io.WriteString(l, strings.Repeat("a", 80<<10)+"\r\n\r\n")
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, l.head().StatusCode)
}

func TestTimeoutSaysWhichAndHowLong(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 1)
	f := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gone <- struct{}{}
	}, "exec_timeout", "20ms")
	res, text := f.do("GET", "", nil)
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	require.Equal(t, "proxy", res.Header.Get("X-OpenFaaS-Internal"))
	require.NotEmpty(t, res.Header.Get("X-Call-Id"))
	require.Contains(t, text, "exec_timeout, 20ms")
	within(t, gone)
}

// TestRealFunction is a function as hearth build makes it, behind the gateway.
func TestRealFunction(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	require.NoError(t, l.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, providertest.Probe(t))
	cmd.Env = []string{"port=" + port, "suppress_lock=true", "exec_timeout=300ms", "log_requests=false"}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	f := behind(t, "http://127.0.0.1:"+port, "exec_timeout", "300ms")
	require.Eventually(t, func() bool {
		res, _ := f.do("GET", "", nil)
		return res.StatusCode == http.StatusOK
	}, patience, patience/1000)

	res, text := f.do("POST", "?env=port", strings.NewReader("x"))
	require.Equal(t, port, text)
	require.NotEmpty(t, res.Header.Get("X-Duration-Seconds"))
	res, text = f.do("GET", "?sleep=1m", nil)
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	require.Contains(t, text, "exec_timeout, 300ms")
	res, _ = f.do("HEAD", "?env=port", nil)
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, _ = f.do("POST", "", io.MultiReader(strings.NewReader("no"), strings.NewReader("length")))
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, _ = f.do("POST", "", bytes.NewReader(make([]byte, 17<<20)))
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode,
		"it answers before it has read the body")
}
