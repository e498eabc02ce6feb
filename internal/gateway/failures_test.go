package gateway

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/forwarded"
	"github.com/hearthfaas/hearth/internal/inbound"
	"github.com/stretchr/testify/require"
)

func TestWrongPasswordsFromOneAddressAreSlowedDown(t *testing.T) {
	t.Parallel()
	g := &guard{credentials: Credentials{"admin", "right"}, log: slog.New(slog.DiscardHandler)}
	h := g.programs(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
	try := func(from, password string) (status int, header http.Header) {
		r := httptest.NewRequest(http.MethodGet, "/system/functions", nil)
		r.Host, r.RemoteAddr = "hearth", from
		if password != "" {
			r.SetBasicAuth("admin", password)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Result().Header
	}
	for i := range 1000 {
		status, _ := try("192.0.2.1:1000", "")
		require.Equal(t, http.StatusUnauthorized, status, "who shows no password does not guess (%d)", i)
	}
	statuses := map[int]int{}
	for i := range 50 {
		status, _ := try(fmt.Sprint("192.0.2.1:", 1000+i), "wrong")
		statuses[status]++
	}
	require.GreaterOrEqual(t, statuses[http.StatusUnauthorized], failureBurst)
	require.Less(t, statuses[http.StatusUnauthorized], 45)
	status, header := try("192.0.2.1:1", "wrong")
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Equal(t, "1", header.Get("Retry-After"))
	status, _ = try("192.0.2.2:1", "right")
	require.Equal(t, http.StatusOK, status, "another address is untouched")
	status, _ = try("192.0.2.1:1", "")
	require.Equal(t, http.StatusUnauthorized, status)
}

// network is where an address and port are.
func network(at string) netip.Prefix { return inbound.NetworkOf(netip.MustParseAddrPort(at).Addr()) }

func TestFailureBudgetRefillsAndIsBounded(t *testing.T) {
	t.Parallel()
	var f failures
	now := time.Now()
	one := network("[2001:db8::1]:1")
	require.Equal(t, one, network("[2001:db8::2]:2"), "a network of IPv6 is one caller's")
	require.NotEqual(t, network("192.0.2.1:1"), network("192.0.2.2:1"))
	require.Equal(t, network("192.0.2.1:1"), network("[::ffff:192.0.2.1]:1"))
	for range failureBurst {
		require.True(t, f.allow(one, now))
		f.add(one, now)
	}
	require.False(t, f.allow(one, now))
	require.True(t, f.allow(one, now.Add(failureRefill)))
	f.add(one, now.Add(failureRefill))
	require.False(t, f.allow(one, now.Add(failureRefill)))
	for i := range 3 * failureOrigins {
		f.add(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), now)
	}
	require.LessOrEqual(t, len(f.from), failureOrigins+1)
	require.False(t, f.allow(network("198.51.100.1:1"), now), "those beyond share a budget")
	require.True(t, f.allow(network("198.51.100.1:1"), now.Add(3*failureOrigins*failureRefill)))
}

// TestGuessesLockNobodyOut: the operator comes from the same address, and gets in.
func TestGuessesLockNobodyOut(t *testing.T) {
	t.Parallel()
	const made, chosen = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "right"
	var proxies forwarded.Proxies
	require.NoError(t, proxies.Set("127.0.0.1,10.0.0.0/8"))
	for _, password := range []string{made, chosen} {
		var log bytes.Buffer
		g := &guard{
			credentials: Credentials{"admin", password},
			proxies:     proxies,
			log:         slog.New(slog.NewTextHandler(&log, nil)),
		}
		h := g.programs(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
		}))
		try := func(peer, through, password string) int {
			r := httptest.NewRequest(http.MethodGet, "/system/functions", nil)
			r.Host, r.RemoteAddr = "hearth", peer
			if through != "" {
				r.Header.Set("X-Forwarded-For", through)
			}
			r.SetBasicAuth("admin", password)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		guess := func(peer, through string) {
			for range 3 * failureBurst {
				try(peer, through, "wrong")
			}
			require.Equal(t, http.StatusTooManyRequests, try(peer, through, "wrong"))
		}
		require.Equal(t, http.StatusOK, try("192.0.2.1:1", "", password))
		guess("192.0.2.1:2", "")
		require.Equal(t, http.StatusOK, try("192.0.2.1:3", "", password), "the operator has been here before")

		guess("192.0.2.2:1", "")
		want := http.StatusOK
		if password == chosen {
			want = http.StatusTooManyRequests // else a word of a dictionary would be found soon
		}
		require.Equal(t, want, try("192.0.2.2:1", "", password), "from where only guesses came")

		guess("127.0.0.1:1", "198.51.100.1")
		require.Equal(t, http.StatusOK, try("127.0.0.1:1", "198.51.100.2", password),
			"others behind the same proxy are others")
		// Made up by the one who guesses, and put in front by the proxy.
		guess("127.0.0.1:1", "203.0.113.9, 198.51.100.3")
		require.Equal(t, http.StatusOK, try("127.0.0.1:1", "203.0.113.9", password))
		require.Contains(t, log.String(), `msg="failed login" address=198.51.100.1 peer=127.0.0.1:1`)
		require.Contains(t, log.String(), `msg="login attempts refused"`)
		require.NotContains(t, log.String(), "wrong")
	}
}

func TestAddressesOfTheOperatorAreBounded(t *testing.T) {
	t.Parallel()
	var f failures
	now := time.Now()
	at := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for i := range failureOrigins + 10 {
		f.trust(at(i), now.Add(time.Duration(i)))
	}
	require.Len(t, f.good, failureOrigins)
	require.False(t, f.trusts(at(0)))
	require.True(t, f.trusts(at(failureOrigins+9)))
}
