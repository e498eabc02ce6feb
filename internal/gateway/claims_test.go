package gateway_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFunctionsCannotSetHeadersForTheWholeOrigin, which it shares with other functions.
func TestFunctionsCannotSetHeadersForTheWholeOrigin(t *testing.T) {
	t.Parallel()
	f := answering(t, crlf(`HTTP/1.1 103 Early Hints
Service-Worker-Allowed: /
Link: x

HTTP/1.1 401 Unauthorized
Service-Worker-Allowed: /
WWW-Authenticate: Basic realm="Hearth operator"
WWW-Authenticate: Bearer realm="bakery"
WWW-Authenticate: Digest x="y", Basic realm="hearth \operator", charset="UTF-8"
WWW-Authenticate: Basic realm="Restricted"
Transfer-Encoding: chunked
Trailer: Www-Authenticate, Sum

2
ok
0
Www-Authenticate: Basic realm="Hearth operator"
Sum: 1

`))
	l := f.dial("GET /function/echo HTTP/1.1\nHost: h\n\n")
	early := l.head()
	require.Equal(t, 103, early.StatusCode)
	require.NotContains(t, early.Header, "Service-Worker-Allowed")
	res, _ := l.answer()
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	require.NotContains(t, res.Header, "Service-Worker-Allowed")
	require.Equal(t, []string{`Bearer realm="bakery"`, `Basic realm="Restricted"`},
		res.Header["Www-Authenticate"])
	require.Empty(t, res.Trailer.Get("Www-Authenticate"))
	require.Equal(t, "1", res.Trailer.Get("Sum"))
}

// TestAServiceWorkerIsForItsOwnFunction: of a script at /function/NAME the scope would be all functions.
func TestAServiceWorkerIsForItsOwnFunction(t *testing.T) {
	t.Parallel()
	f := serving(t, func(http.ResponseWriter, *http.Request) {})
	for path, status := range map[string]int{"": 400, "?sw": 400, "/": 200, "/?sw": 200, "/sw.js": 200} {
		res, _ := f.do("GET", path, nil, "Service-Worker", "script")
		require.Equal(t, status, res.StatusCode, path)
	}
	res, _ := f.do("GET", "", nil)
	require.Equal(t, 200, res.StatusCode)
}
