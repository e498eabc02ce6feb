package console

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rig is a console at 127.0.0.1:8081 in front of a management API that answers 200 to everything.
type rig struct {
	t        *testing.T
	console  *Console
	sessions *Sessions
	clock    time.Time
}

func newRig(t *testing.T, calls http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{t: t, sessions: NewSessions(), clock: time.Now()}
	r.sessions.now = func() time.Time { return r.clock }
	t.Cleanup(r.sessions.Close)
	r.console = New(Config{
		Sessions: r.sessions,
		Management: func(guard func(http.Handler) http.Handler) http.Handler {
			return guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = fmt.Fprintf(w, "managed %s %q", r.URL.Path, r.Header["Authorization"])
			}))
		},
		Calls:   calls,
		Host:    "127.0.0.1:8080",
		Version: "1.2.3",
		Log:     slog.New(slog.DiscardHandler),
	})
	return r
}

// do sends a request. headers alternates names and values.
func (r *rig) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	req.Host = "127.0.0.1:8081"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.console.ServeHTTP(w, req)
	return w
}

// logIn returns the Authorization header of a new session.
func (r *rig) logIn(role Role) string {
	r.t.Helper()
	login, _, err := r.sessions.NewLogin(role)
	require.NoError(r.t, err)
	w := r.do("POST", "/session", `{"login": "`+login+`"}`)
	require.Equal(r.t, 200, w.Code, w.Body)
	var in struct{ Token, Role, Expires string }
	require.NoError(r.t, json.Unmarshal(w.Body.Bytes(), &in))
	require.Equal(r.t, string(role), in.Role)
	expires, err := time.Parse(time.RFC3339, in.Expires)
	require.NoError(r.t, err)
	require.WithinDuration(r.t, r.clock.Add(12*time.Hour), expires, time.Second)
	return "Bearer " + in.Token
}

func TestOnlyOwnPagesUseTheConsole(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	token := r.logIn(Operator)
	visit := func(site, to string, more ...string) []string {
		return append([]string{"Sec-Fetch-Site", site, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", to},
			more...)
	}
	for name, tt := range map[string]struct {
		header     []string
		page, rest int
	}{
		"a program":            {nil, 200, 200},
		"a typed address":      {visit("none", "document"), 200, 200},
		"its own page":         {[]string{"Sec-Fetch-Site", "same-origin"}, 200, 200},
		"its own origin":       {[]string{"Origin", "http://127.0.0.1:8081"}, 200, 200},
		"a link of a function": {visit("same-site", "document"), 200, 403},
		"a link elsewhere":     {visit("cross-site", "document"), 200, 403},
		"a frame":              {visit("same-site", "iframe"), 403, 403},
		"a form":               {visit("cross-site", "document", "Origin", "null"), 403, 403},
		"another port":         {[]string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403, 403},
		"another site": {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403,
			403},
		"two sites": {[]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, 403,
			403},
		"a function's origin":  {[]string{"Origin", "http://127.0.0.1:8080"}, 403, 403},
		"no origin":            {[]string{"Origin", "null"}, 403, 403},
		"a function's referer": {[]string{"Referer", "http://127.0.0.1:8080/function/x"}, 403, 403},
		"a service worker":     {[]string{"Service-Worker", "script"}, 403, 403},
		"a stranger's name":    {[]string{"Host", "rebind.example:8081"}, 403, 403},
		"a stranger's link":    {visit("none", "document", "Host", "rebind.example:8081"), 403, 403},
		"the name localhost":   {[]string{"Host", "localhost:8081"}, 200, 200},
	} {
		require.Equal(t, tt.page, r.do("GET", "/", "", tt.header...).Code, name)
		with := append([]string{"Authorization", token}, tt.header...)
		for _, path := range []string{"/session", "/system/functions", "/async-function/some-call"} {
			require.Equal(t, tt.rest, r.do("GET", path, "", with...).Code, "%s: %s", name, path)
		}
		if tt.rest == 403 {
			require.Equal(t, 403, r.do("POST", "/session", `{"login": "x"}`, tt.header...).Code, name)
			require.Equal(t, 403, r.do("POST", "/invoke", `{"function": "x"}`, with...).Code, name)
			require.Equal(t, 403, r.do("GET", "/static/nothing.js", "", tt.header...).Code, name)
		}
	}
}

func TestEveryRequestButThePageNeedsASession(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	login, _, err := r.sessions.NewLogin(Operator)
	require.NoError(t, err)
	token := r.logIn(Operator)
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer unknown", "Bearer " + login,
		"Basic " + token[7:], token[7:], "Bearer " + strings.ToLower(token[7:])} {
		for _, route := range []string{"GET /session", "DELETE /session", "POST /invoke",
			"GET /system/functions", "DELETE /system/functions", "GET /system/secrets", "GET /system/events",
			"DELETE /async-function/x",
			"GET /async-function/x", "POST /system/console/login", "GET /system/nothing"} {
			method, path, _ := strings.Cut(route, " ")
			w := r.do(method, path, "", "Authorization", header)
			require.Equal(t, 401, w.Code, "%s with %q", route, header)
			require.NotContains(t, w.Body.String(), "managed")
		}
	}
	w := r.do("GET", "/system/functions", "", "Authorization", token, "Authorization", "Bearer other")
	require.Equal(t, 401, w.Code, "two tokens")
	w = r.do("GET", "/system/functions", "", "Cookie", "token="+token[7:])
	require.Equal(t, 401, w.Code, "a cookie")
	w = r.do("GET", "/system/functions?token="+token[7:], "")
	require.Equal(t, 401, w.Code, "a token in the URL")

	w = r.do("GET", "/system/functions", "", "Authorization", token)
	require.Equal(t, "managed /system/functions []", w.Body.String(), "the token goes no further")
	w = r.do("GET", "/session", "", "Authorization", token)
	require.Contains(t, w.Body.String(), `"version":"1.2.3"`)
	require.Empty(t, w.Header()["Set-Cookie"])
}

func TestLoginTokensWorkOnceAndNotForLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	first, expires, err := r.sessions.NewLogin(Viewer)
	require.NoError(t, err)
	require.Equal(t, r.clock.Add(10*time.Minute), expires)
	second, _, err := r.sessions.NewLogin(Viewer)
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	logIn := func(token string) int { return r.do("POST", "/session", `{"login": "`+token+`"}`).Code }
	require.Equal(t, 200, logIn(first))
	require.Equal(t, 401, logIn(first), "used")
	require.Equal(t, 401, logIn(""), "empty")
	require.Equal(t, 401, logIn("unknown"))
	require.Equal(t, 400, r.do("POST", "/session", "login="+second).Code)
	r.clock = r.clock.Add(10 * time.Minute)
	require.Equal(t, 401, logIn(second), "expired")
	_, _, err = r.sessions.NewLogin("admin")
	require.ErrorContains(t, err, "want operator or viewer")
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	status := func(token string) int { return r.do("GET", "/session", "", "Authorization", token).Code }
	out, old, other := r.logIn(Viewer), r.logIn(Operator), r.logIn(Operator)
	require.Equal(t, 204, r.do("DELETE", "/session", "", "Authorization", out).Code)
	require.Equal(t, 401, status(out), "logged out")
	r.clock = r.clock.Add(12*time.Hour - time.Second)
	require.Equal(t, 200, status(old))
	r.clock = r.clock.Add(time.Second)
	require.Equal(t, 401, status(old), "expired")
	require.Equal(t, 401, status(other))
}

func TestTheNumberOfTokensIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	first := r.logIn(Operator)
	for range maxSessions {
		r.clock = r.clock.Add(time.Second)
		r.logIn(Operator)
	}
	require.Len(t, r.sessions.sessions, maxSessions)
	require.Equal(t, 401, r.do("GET", "/session", "", "Authorization", first).Code, "the oldest has ended")
	for range 2 * maxLogins {
		_, _, err := r.sessions.NewLogin(Viewer)
		require.NoError(t, err)
	}
	require.Len(t, r.sessions.logins, maxLogins)
}

func TestEndOfASessionEndsItsRequests(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	r := newRig(t, func(_ http.ResponseWriter, r *http.Request) { close(began); <-r.Context().Done() })
	token, ended := r.logIn(Operator), make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		r.do("POST", "/invoke", `{"function": "slow"}`, "Authorization", token)
	}()
	<-began
	require.Equal(t, 204, r.do("DELETE", "/session", "", "Authorization", token).Code)
	require.Equal(t, http.ErrAbortHandler, <-ended)
}

func TestViewersChangeNothingAndSeeNoSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	viewer, operator := r.logIn(Viewer), r.logIn(Operator)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "LOCK"} {
		for _, path := range []string{"/system/functions", "/system/queues/pause",
			"/system/dead-letters/redrive",
			"/system/console/login", "/async-function/x", "/system/secrets"} {
			route := method + " " + path
			require.Equal(t, 403, r.do(method, path, "", "Authorization", viewer).Code, route)
			require.Equal(t, 200, r.do(method, path, "", "Authorization", operator).Code, route)
		}
	}
	require.Equal(t, 403, r.do("POST", "/invoke", `{"function": "x"}`, "Authorization", viewer).Code)
	for _, path := range []string{"/system/secrets", "/system/secrets/", "/system/secrets?namespace=x"} {
		require.Equal(t, 403, r.do("GET", path, "", "Authorization", viewer).Code, path)
		require.Equal(t, 200, r.do("GET", path, "", "Authorization", operator).Code, path)
	}
	require.Equal(t, 200, r.do("GET", "/system/functions", "", "Authorization", viewer).Code)
}

func TestAnswersCannotBeFramedOpenedEmbeddedOrCached(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, path := range []string{"/", "/static/nothing.js", "/session", "/system/functions", "/nothing"} {
		w := r.do("GET", path, "")
		h := w.Header()
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", path)
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe", path)
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Opener-Policy"), path)
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"), path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Empty(t, h["Access-Control-Allow-Origin"], path)
		if path == "/" {
			require.Equal(t, pagePolicy, h.Get("Content-Security-Policy"))
			require.Equal(t, "no-cache", h.Get("Cache-Control"))
			require.Equal(t, 304, r.do("GET", path, "", "If-None-Match", h.Get("ETag")).Code)
			continue
		}
		require.Equal(t, "no-store", h.Get("Cache-Control"), path)
	}
}

func TestInvokeAnswersWithData(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, r.ContentLength, int64(len(text)))
		w.Header().Add("Set-Cookie", "a=b")
		switch r.URL.Path {
		case "/function/long.openfaas-fn":
			for i := 0; ; i++ {
				if _, err := io.WriteString(w, "é"); err != nil {
					return
				}
			}
		case "/function/bytes.openfaas-fn":
			_, _ = w.Write([]byte{0xff, 0})
		case "/function/broken.openfaas-fn":
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/function/gone.openfaas-fn":
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusTeapot)
			_, _ = fmt.Fprintf(w, "%s %s %s %s %q %q", r.Method, r.RequestURI, r.Host, r.RemoteAddr,
				r.Header["X-Own"], text)
		}
	})
	token := r.logIn(Operator)
	call := func(body string) (status int, out invoked, text string) {
		w := r.do("POST", "/invoke", body, "Authorization", token)
		if w.Code == 200 {
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.Empty(t, w.Header()["Set-Cookie"])
			require.Equal(t, []string{"a=b"}, out.Headers["Set-Cookie"])
		}
		return w.Code, out, w.Body.String()
	}
	_, out, _ := call(`{"function": "oven", "namespace": "shop", "method": "PUT", "path": "/a%20b",
		"query": "x=1", "headers": {"x-own": "yes"}, "body": "dough"}`)
	require.Equal(t, 418, out.Status)
	require.Equal(t, `PUT /function/oven.shop/a%20b?x=1 127.0.0.1:8080 192.0.2.1:1234 ["yes"] "dough"`,
		out.Body)
	_, out, _ = call(`{"function": "oven", "async": true, "body": "aGk=", "base64": true}`)
	require.Equal(t, `POST /async-function/oven.openfaas-fn 127.0.0.1:8080 192.0.2.1:1234 [] "hi"`, out.Body)
	require.False(t, out.Truncated)
	_, out, _ = call(`{"function": "long"}`)
	require.True(t, out.Truncated)
	require.False(t, out.Base64)
	require.Len(t, out.Body, maxAnswer)
	_, out, _ = call(`{"function": "bytes"}`)
	require.True(t, out.Base64)
	require.Equal(t, "/wA=", out.Body)
	_, out, _ = call(`{"function": "broken"}`)
	require.Equal(t, "half", out.Body)
	require.True(t, out.Truncated)
	long := strings.Repeat("x", maxInvocation+1)
	for body, want := range map[string]string{
		`{"function": "gone"}`:                                       "502 without an answer",
		`{"function": ""}`:                                           "400 ",
		`{"function": "../system"}`:                                  "400 ",
		`{"function": "oven", "path": "x"}`:                          "400 begins with /",
		`{"function": "oven", "path": "/a?b"}`:                       "400 field query",
		`{"function": "oven", "query": "a b"}`:                       "400 must be encoded",
		`{"function": "oven", "method": "A B"}`:                      "400 want one such as POST",
		`{"function": "oven", "headers": {"a b": "c"}}`:              "400 cannot be sent",
		`{"function": "oven", "headers": {"a": "b\r\nc: d"}}`:        "400 cannot be sent",
		`{"function": "oven", "headers": {"transfer-encoding": ""}}`: "400 cannot be chosen",
		`{"function": "oven", "body": "?", "base64": true}`:          "400 not base64",
		`{"function": 1}`:                                            "400 right form",
		`{"function": "oven", "body": "` + long[:maxCalled+1] + `"}`: "400 up to 1048576 bytes",
		`{"function": "oven", "body": "` + long + `"}`:               "413 too large",
	} {
		status, _, text := call(body)
		code, part, _ := strings.Cut(want, " ")
		require.Equal(t, code, fmt.Sprint(status), "%.60s: %s", body, text)
		require.Contains(t, text, part, "%.60s", body)
	}
}
