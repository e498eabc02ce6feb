package origin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hearthfaas/hearth/internal/origin"
	"github.com/stretchr/testify/require"
)

func request(host string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/system/functions", nil)
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func TestOnlyTheOperatorsPagesAreAnswered(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		header                   []string
		program, page, challenge bool
	}{
		"faas-cli": {nil, true, true, true},
		"curl":     {[]string{"User-Agent", "curl/8.14", "Accept", "*/*"}, true, true, true},
		"fetch in Node": {[]string{"Accept", "*/*", "Accept-Language", "*", "Sec-Fetch-Mode", "cors",
			"User-Agent", "node", "Accept-Encoding", "gzip, deflate"},
			true, true, true},
		"PowerShell": {[]string{"User-Agent", "Mozilla/5.0 (Windows NT; en-US) WindowsPowerShell/5.1"}, true,
			true, false},
		"an address that was typed": {[]string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate",
			"Sec-Fetch-Dest", "document", "Sec-Fetch-User", "?1"},
			false, true, false},
		"a page of the same origin": {[]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors",
			"Sec-Fetch-Dest", "empty"}, false, true, false},
		"a page of another port": {[]string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors",
			"Sec-Fetch-Dest", "empty"}, false, false, false},
		"a link of another site": {[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate",
			"Sec-Fetch-Dest", "document"}, false, false, false},
		"two sites": {[]string{"Sec-Fetch-Site", "none", "Sec-Fetch-Site", "cross-site"},
			false, false, false},
		"own origin":             {[]string{"Origin", "http://127.0.0.1:8081"}, false, true, false},
		"own origin by TLS":      {[]string{"Origin", "https://127.0.0.1:8081"}, false, true, false},
		"origin of another port": {[]string{"Origin", "http://127.0.0.1:8080"}, false, false, false},
		"no origin":              {[]string{"Origin", "null"}, false, false, false},
		"referred by itself":     {[]string{"Referer", "http://127.0.0.1:8081/ui/"}, false, true, false},
		"referred by a function": {[]string{"Referer", "http://127.0.0.1:8080/function/x"}, false, false,
			false},
		"a browser over plain http": {[]string{"User-Agent", firefox, "Accept", "*/*", "Accept-Language",
			"en"}, false, true, false},
		"a browser that navigates": {[]string{"User-Agent", firefox, "Accept", "text/html,*/*"}, false, true,
			false},
		"a service worker": {[]string{"Service-Worker", "script", "Sec-Fetch-Site", "same-origin"},
			false, false, false},
		"navigation preload": {[]string{"Service-Worker-Navigation-Preload", "true", "Sec-Fetch-Site",
			"none"}, false, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var g origin.Guard
			r := request("127.0.0.1:8081", tt.header...)
			require.Equal(t, tt.program, g.Program(r) == nil, "as a program: %v", g.Program(r))
			require.Equal(t, tt.page, g.Page(r) == nil, "as a page: %v", g.Page(r))
			require.Equal(t, tt.challenge, origin.Challenge(r), "challenge")
		})
	}
}

func TestOnlyKnownHostsAreAnswered(t *testing.T) {
	t.Parallel()
	g := origin.Guard{Known: func(name string) bool { return name == "certified.example" }}
	require.NoError(t, g.Hosts.Set("Functions.Example.COM., *.office.example"))
	require.Equal(t, "functions.example.com,*.office.example", g.Hosts.String())
	for host, ours := range map[string]bool{
		"":                           true, // HTTP/1.0: no browser
		"127.0.0.1:8080":             true,
		"192.0.2.7":                  true,
		"[::1]:8080":                 true,
		"[2001:db8::1]":              true,
		"localhost:8080":             true,
		"LocalHost":                  true,
		"hearth.localhost:1":         true,
		"hearth:8080":                true,
		"gateway.":                   true,
		"functions.example.com:8443": true,
		"FUNCTIONS.example.com.":     true,
		"a.office.example":           true,
		"a.b.office.example":         true,
		"certified.example:1":        true,
		"office.example":             false,
		".office.example":            false,
		"evil-office.example":        false,
		"other.example.com":          false,
		"rebind.attacker.example":    false,
		"127.0.0.1.attacker.example": false,
		"localhost.attacker.example": false,
		"functions.example.com.evil": false,
		"1.2.3.4.5":                  false,
	} {
		require.Equal(t, ours, g.Program(request(host)) == nil, host)
		require.Equal(t, ours, g.Page(request(host)) == nil, host)
	}
	require.ErrorContains(t, g.Page(request("rebind.example:8080")), "--allowed-host rebind.example")
}

func TestInvalidHostsAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"https://a.example", "a.example:80", "a/b", "*", "a.*.example", "a b",
		"user@a.example"} {
		var h origin.Hosts
		require.Error(t, h.Set("good.example,"+text), text)
		require.Empty(t, h)
	}
}
