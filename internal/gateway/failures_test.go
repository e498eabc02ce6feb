package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWrongPasswordsFromOneAddressAreSlowedDown(t *testing.T) {
	t.Parallel()
	g := &guard{credentials: Credentials{"admin", "right"}}
	h := g.programs(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	try := func(from, password string) (status int, header http.Header) {
		r := httptest.NewRequest(http.MethodGet, "/system/functions", nil)
		r.RemoteAddr = from
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

func TestABudgetOfFailuresFillsAgainAndIsBounded(t *testing.T) {
	t.Parallel()
	var f failures
	now := time.Now()
	one := originOf("[2001:db8::1]:1")
	require.Equal(t, one, originOf("[2001:db8::2]:2"), "a network of IPv6 is one caller's")
	require.NotEqual(t, originOf("192.0.2.1:1"), originOf("192.0.2.2:1"))
	require.Equal(t, originOf("192.0.2.1:1"), originOf("[::ffff:192.0.2.1]:1"))
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
	require.False(t, f.allow(originOf("198.51.100.1:1"), now), "those beyond share a budget")
	require.True(t, f.allow(originOf("198.51.100.1:1"), now.Add(3*failureOrigins*failureRefill)))
}
