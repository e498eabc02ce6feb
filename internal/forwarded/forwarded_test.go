package forwarded_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hearthfaas/hearth/internal/forwarded"
	"github.com/stretchr/testify/require"
)

func TestClientIsFoundBehindTrustedProxies(t *testing.T) {
	t.Parallel()
	var proxies forwarded.Proxies
	require.NoError(t, proxies.Set("127.0.0.1, 10.0.0.0/8"))
	require.NoError(t, proxies.Set("fd00::/8"))
	require.Equal(t, "127.0.0.1/32,10.0.0.0/8,fd00::/8", proxies.String())
	for name, tt := range map[string]struct {
		peer   string
		header []string
		client string
		told   string // X-Forwarded-For
	}{
		"nobody in between": {"192.0.2.1:5", nil, "192.0.2.1", "192.0.2.1:5"},
		"a liar":            {"192.0.2.1:5", []string{"203.0.113.1"}, "192.0.2.1", "192.0.2.1:5"},
		"a proxy": {"127.0.0.1:5", []string{"192.0.2.1"}, "192.0.2.1",
			"192.0.2.1, 127.0.0.1:5"},
		"a proxy's silence": {"127.0.0.1:5", nil, "127.0.0.1", "127.0.0.1:5"},
		"a liar before a proxy": {"127.0.0.1:5", []string{"203.0.113.1, 192.0.2.1"}, "192.0.2.1",
			"192.0.2.1, 127.0.0.1:5"},
		"two lines": {"127.0.0.1:5", []string{"203.0.113.1", "192.0.2.1"}, "192.0.2.1",
			"192.0.2.1, 127.0.0.1:5"},
		"two proxies": {"127.0.0.1:5", []string{"192.0.2.1:80, 10.1.2.3"}, "192.0.2.1",
			"192.0.2.1:80, 10.1.2.3, 127.0.0.1:5"},
		"a liar before two": {"127.0.0.1:5", []string{"10.9.9.9, 192.0.2.1, 10.1.2.3"}, "192.0.2.1",
			"192.0.2.1, 10.1.2.3, 127.0.0.1:5"},
		"proxies only": {"127.0.0.1:5", []string{"10.1.2.3"}, "10.1.2.3", "10.1.2.3, 127.0.0.1:5"},
		"rubbish before a client": {"127.0.0.1:5", []string{"unknown, 192.0.2.1"}, "192.0.2.1",
			"192.0.2.1, 127.0.0.1:5"},
		"rubbish": {"127.0.0.1:5", []string{"unknown"}, "127.0.0.1", "127.0.0.1:5"},
		"IPv6": {"[fd00::1]:5", []string{"2001:db8::1"}, "2001:db8::1",
			"2001:db8::1, [fd00::1]:5"},
		"IPv6 in brackets": {"[fd00::1]:5", []string{"[2001:db8::1]:80"}, "2001:db8::1",
			"[2001:db8::1]:80, [fd00::1]:5"},
		"an IPv4 in IPv6": {"[::ffff:10.0.0.1]:5", []string{"192.0.2.1"}, "192.0.2.1",
			"192.0.2.1, [::ffff:10.0.0.1]:5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			r.Header["X-Forwarded-For"] = tt.header
			if tt.header == nil {
				delete(r.Header, "X-Forwarded-For")
			}
			require.Equal(t, tt.client, proxies.Client(r).String())
			proxies.WriteHeaders(r.Header, r)
			require.Equal(t, []string{tt.told}, r.Header["X-Forwarded-For"])
		})
	}
}

func TestHeadersNameTheClient(t *testing.T) {
	t.Parallel()
	var proxies forwarded.Proxies
	require.NoError(t, proxies.Set("127.0.0.1"))
	said := http.Header{
		"X-Forwarded-Host":  {"shop.example"},
		"X-Forwarded-Proto": {"https"},
		"X-Forwarded-Port":  {"443"},
		"X-Real-Ip":         {"192.0.2.1"},
		"Forwarded":         {"for=192.0.2.1"},
		"True-Client-Ip":    {"192.0.2.1"},
		"X_Forwarded_Host":  {"evil"},
		"X_Real_Ip":         {"evil"},
		"X-Kept":            {"1"},
	}
	at := func(peer string) http.Header {
		r := httptest.NewRequest(http.MethodGet, "http://gateway:8080/", nil)
		r.RemoteAddr, r.Header, r.TLS = peer, said.Clone(), nil
		proxies.WriteHeaders(r.Header, r)
		return r.Header
	}
	require.Equal(t, http.Header{
		"X-Forwarded-For":   {"192.0.2.9:1"},
		"X-Forwarded-Host":  {"gateway:8080"},
		"X-Forwarded-Proto": {"http"},
		"X-Kept":            {"1"},
	}, at("192.0.2.9:1"))
	trusted := said.Clone()
	trusted.Set("X-Forwarded-For", "127.0.0.1:1")
	delete(trusted, "X_Forwarded_Host")
	delete(trusted, "X_Real_Ip")
	require.Equal(t, trusted, at("127.0.0.1:1"))

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{}
	proxies.WriteHeaders(r.Header, r)
	require.Equal(t, "https", r.Header.Get("X-Forwarded-Proto"))
}

func TestInvalidProxiesAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"proxy.example", "10.0.0.0/33", "10.0.0.1:80"} {
		var p forwarded.Proxies
		require.Error(t, p.Set("127.0.0.1,"+text), text)
		require.Empty(t, p)
	}
}
