package egress

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves on the loopback, and returns its address and port.
func listen(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

func client(t *testing.T, allow string, gateway netip.AddrPort) *http.Client {
	t.Helper()
	cfg := Config{Gateway: gateway}
	require.NoError(t, cfg.Allow.Set(allow))
	c := NewClient(cfg)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func post(t *testing.T, c *http.Client, target string) (int, error) {
	t.Helper()
	res, err := c.Post(target, "text/plain", strings.NewReader("hello"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	return res.StatusCode, nil
}

func TestPrivateAddressesNeedTheAllowList(t *testing.T) {
	t.Parallel()
	at := listen(t, func(http.ResponseWriter, *http.Request) {})
	port := at.String()[strings.LastIndexByte(at.String(), ':'):]
	for _, target := range []string{"http://" + at.String(), "http://localhost" + port,
		"http://[::ffff:127.0.0.1]" + port} {
		_, err := post(t, client(t, "", netip.AddrPort{}), target)
		var refused *Refused
		require.ErrorAs(t, err, &refused, target)
		require.False(t, refused.Never)
		require.ErrorContains(t, err, "--callback-allow "+refused.Addr.String(), "it says what to do")
	}
	for allow, target := range map[string]string{at.String(): at.String(), "127.0.0.0/8": "localhost" + port,
		"localhost": "LOCALHOST" + port, "localhost" + port: "localhost" + port} {
		status, err := post(t, client(t, allow, netip.AddrPort{}), "http://"+target)
		require.NoError(t, err, allow)
		require.Equal(t, http.StatusOK, status)
	}
	for _, allow := range []string{"localhost", "127.0.0.1:1", "127.0.0.2", "::1"} {
		_, err := post(t, client(t, allow, netip.AddrPort{}), "http://"+at.String())
		require.ErrorAs(t, err, new(*Refused), "%s is not the same", allow)
	}
}

func TestSomeAddressesAreRefusedWhateverIsAllowed(t *testing.T) {
	t.Parallel()
	c := client(t, "0.0.0.0/0,::/0,localhost", netip.AddrPort{})
	for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1%25lo]", "0.0.0.0",
		"[::]", "[fd00:ec2::254]"} {
		_, err := post(t, c, "http://"+host+":1/latest/meta-data/")
		var refused *Refused
		require.ErrorAs(t, err, &refused, host)
		require.True(t, refused.Never, host)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	called := false
	inner := listen(t, func(http.ResponseWriter, *http.Request) { called = true })
	outer := listen(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+inner.String(), http.StatusTemporaryRedirect)
	})
	status, err := post(t, client(t, "127.0.0.1", netip.AddrPort{}), "http://"+outer.String())
	require.NoError(t, err)
	require.Equal(t, http.StatusTemporaryRedirect, status)
	require.False(t, called)
}

func TestOnlyFunctionsOfTheOwnGatewayMayBeCalled(t *testing.T) {
	t.Parallel()
	at := listen(t, func(http.ResponseWriter, *http.Request) {})
	everywhere := netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
	for _, gateway := range []netip.AddrPort{at, everywhere} {
		c := client(t, "", gateway)
		for _, path := range []string{"/function/oven", "/async-function/oven.ns/x?y"} {
			_, err := post(t, c, "http://"+at.String()+path)
			require.NoError(t, err, path)
		}
		for _, path := range []string{"", "/", "/system/functions", "//function/oven", "/functions",
			"/system/functions#/function/"} {
			_, err := post(t, c, "http://"+at.String()+path)
			require.ErrorAs(t, err, new(*Refused), "%s, though there is a connection that is idle", path)
		}
	}
	for _, gateway := range []netip.AddrPort{{}, netip.AddrPortFrom(at.Addr(), at.Port()-1),
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), at.Port())} {
		_, err := post(t, client(t, "", gateway), "http://"+at.String()+"/function/oven")
		require.ErrorAs(t, err, new(*Refused), gateway.String())
	}
}

func TestGatewayOnAllAddressesIsEachOfThem(t *testing.T) {
	t.Parallel()
	g := guard{gateway: netip.MustParseAddrPort("0.0.0.0:8080")}
	require.True(t, g.own(netip.MustParseAddrPort("127.0.0.1:8080")))
	require.True(t, g.own(netip.MustParseAddrPort("[::1]:8080")))
	require.False(t, g.own(netip.MustParseAddrPort("127.0.0.1:8081")))
	require.False(t, g.own(netip.MustParseAddrPort("10.255.255.254:8080")))
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		own := netip.MustParsePrefix(a.String()).Addr()
		require.True(t, g.own(netip.AddrPortFrom(own, 8080)), own)
	}
}

func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	at := listen(t, func(http.ResponseWriter, *http.Request) { t.Error("a proxy was asked") })
	t.Setenv("HTTP_PROXY", "http://"+at.String())
	t.Setenv("http_proxy", "http://"+at.String())
	_, err := post(t, client(t, "127.0.0.1", netip.AddrPort{}), "http://10.0.0.1:1/")
	require.ErrorAs(t, err, new(*Refused))
}

func TestHostWithOneAllowedAddressIsNotRefused(t *testing.T) {
	t.Parallel()
	addrs, err := net.LookupHost("localhost")
	require.NoError(t, err)
	if len(addrs) < 2 {
		t.Skip("localhost has one address here")
	}
	_, err = post(t, client(t, "::1", netip.AddrPort{}), "http://localhost:1/")
	require.Error(t, err)
	require.False(t, errors.As(err, new(*Refused)), "nobody listens there now: %v", err)
}

func TestPasswordsAreNotInErrors(t *testing.T) {
	t.Parallel()
	_, err := post(t, client(t, "", netip.AddrPort{}), "http://ada:s3cret@10.0.0.1:1/")
	var u *url.Error
	require.ErrorAs(t, err, &u)
	require.NotContains(t, u.Err.Error(), "s3cret")
	require.NotContains(t, err.Error(), "s3cret")
}
