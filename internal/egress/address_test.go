package egress

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClassOfEachRange(t *testing.T) {
	t.Parallel()
	for want, addresses := range map[class][]string{
		public: {
			"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
			"126.255.255.255", "128.0.0.0", "169.253.255.255",
			"169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
			"198.17.255.255", "198.20.0.0", "223.255.255.255",
			"168.63.129.15", "2606:4700:4700::1111", "2001:4860:4860::8888", "2001:200::1",
			"3fff:1000::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
		},
		private: {
			"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0",
			"192.168.255.255", "127.0.0.1", "127.255.255.255",
			"100.64.0.0", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1",
			"192.88.99.1", "198.18.0.0", "198.19.255.255",
			"240.0.0.1", "255.255.255.254", "::1", "fc00::1", "fd12:3456::1", "fdff::1", "2001:2::1",
			"2001:db8::1", "2002:808:808::1", "3fff::1", "5f00::1",
			"100::1", "fec0::1", "4000::1", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b:1::8.8.8.8",
			"::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1",
			"2002:a00:1::1", "64:ff9b::0.0.0.1", "fd20:ce::253",
		},
		never: {
			"169.254.0.0", "169.254.169.254", "169.254.255.255", "169.254.170.2", "100.100.100.200",
			"168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3",
			"224.0.0.1", "239.255.255.255", "255.255.255.255", "fe80::1", "fe80::1%eth0", "febf::1",
			"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
			"::", "ff02::1", "ff0e::1",
			"::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:0.0.0.0", "::169.254.169.254",
			"::ffff:0:169.254.169.254",
			"64:ff9b::169.254.169.254", "64:ff9b::100.100.100.200", "64:ff9b::168.63.129.16",
			"64:ff9b:1::169.254.169.254",
			"64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0",
			"2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::", "2001:0:808:808:0:0:5601:5601",
		},
	} {
		for _, address := range addresses {
			got, what := classOf(netip.MustParseAddr(address))
			require.Equal(t, want, got, "%s is %s", address, what)
			require.Equal(t, want == public, what == "", address)
		}
	}
}

func TestEmbeddedAddressNeverLoosensTheClass(t *testing.T) {
	t.Parallel()
	for _, b := range blocks {
		if b.class != never || !b.Addr().Is4() || b.Contains(netip.IPv4Unspecified()) {
			continue
		}
		v4 := b.Addr().As4()
		for _, e := range embeddings {
			bytes := e.Addr().As16()
			for i, at := range e.at {
				bytes[at] = v4[i] ^ e.xor
			}
			a := netip.AddrFrom16(bytes)
			got, _ := classOf(a)
			require.Equal(t, never, got, "%s in %s", b.Addr(), a)
		}
	}
}

func TestForbiddenHostsAreKnownWithoutACall(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"169.254.169.254", "169.254.169.254.", "fe80::1", "fe80::1%eth0",
		"::ffff:169.254.169.254", "0.0.0.0", "::"} {
		err := CheckHost(host)
		require.ErrorContains(t, err, "never", host)
		require.NotContains(t, err.Error(), Flag, host)
	}
	for _, host := range []string{"example.com", "localhost", "127.0.0.1", "10.0.0.1", "8.8.8.8", "::1",
		"metadata.google.internal", ""} {
		require.NoError(t, CheckHost(host), host)
	}
}
