package gateway

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestCallersGetTheirRateAndNoMore(t *testing.T) {
	t.Parallel()
	var rs rates
	key := rateKey{function: hearth.Name{Function: "f", Namespace: "n"},
		caller: netip.MustParsePrefix("192.0.2.1/32")}
	other := key
	other.caller = netip.MustParsePrefix("192.0.2.2/32")
	rate, now := hearth.Rate{Calls: 10, Per: time.Second}, time.Unix(1000, 0)
	for i := range 10 {
		ok, left, _ := rs.take(key, rate, now)
		require.True(t, ok)
		require.Equal(t, 9-i, left)
	}
	ok, _, wait := rs.take(key, rate, now)
	require.False(t, ok)
	require.Equal(t, 100*time.Millisecond, wait)
	ok, _, _ = rs.take(other, rate, now)
	require.True(t, ok, "another caller has its own")
	ok, left, _ := rs.take(key, rate, now.Add(wait))
	require.True(t, ok)
	require.Zero(t, left)
	allowed := 0
	for ms := range 10_000 {
		if ok, _, _ := rs.take(key, rate, now.Add(wait+time.Duration(ms+1)*time.Millisecond)); ok {
			allowed++
		}
	}
	require.Equal(t, 100, allowed, "ten a second, in ten seconds")
	ok, left, _ = rs.take(key, rate, now.Add(time.Hour))
	require.True(t, ok)
	require.Equal(t, 9, left, "what is not used is not saved up")
}

func TestRememberedCallersAreBounded(t *testing.T) {
	t.Parallel()
	var rs rates
	rate, now := hearth.Rate{Calls: 1, Per: time.Hour}, time.Unix(1000, 0)
	for i := range 3 * maxCallers {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		ok, _, _ := rs.take(rateKey{caller: netip.PrefixFrom(addr, 32)}, rate, now)
		require.True(t, ok)
	}
	require.LessOrEqual(t, len(rs.buckets), maxCallers)
}

func TestIPv6CallersAreLimitedByNetwork(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		require.Equal(t, want, callerOf(netip.MustParseAddr(addr)).String(), addr)
	}
	require.False(t, callerOf(netip.Addr{}).IsValid())
}
