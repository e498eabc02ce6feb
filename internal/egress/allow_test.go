package egress

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllowListAllowsWhatItSays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		list, host, address string
		want                bool
	}{
		{"", "10.0.0.1", "10.0.0.1:80", false},
		{"10.0.0.0/8", "anything", "10.255.0.1:80", true},
		{"10.0.0.0/8", "anything", "11.0.0.1:80", false},
		{"10.0.0.0/8:9000", "x", "10.0.0.1:9000", true},
		{"10.0.0.0/8:9000", "x", "10.0.0.1:9001", false},
		{"10.1.2.3", "x", "10.1.2.3:1", true},
		{"10.1.2.3", "x", "10.1.2.4:1", false},
		{"10.1.2.3:80", "x", "10.1.2.3:443", false},
		{"::ffff:10.1.2.3", "x", "10.1.2.3:443", true},
		{"::ffff:10.0.0.0/104", "x", "10.1.2.3:443", true},
		{"0.0.0.0/0", "x", "[::1]:80", false},
		{"fd00:1::/32", "x", "[fd00:1::5]:80", true},
		{"[fd00:1::/32]:80", "x", "[fd00:1::5]:81", false},
		{"[fd00:1::/32]", "x", "[fd00:1::5]:81", true},
		{"[::1]:80", "x", "[::1]:80", true},
		{"db.internal", "DB.internal.", "10.0.0.1:80", true},
		{"DB.Internal.", "db.internal", "10.0.0.1:80", true},
		{"db.internal", "x.db.internal", "10.0.0.1:80", false},
		{"db.internal:80", "db.internal", "10.0.0.1:443", false},
		{"one_two", "one_two", "10.0.0.1:443", true},
		{" 10.1.2.3 , , db.internal:80,", "db.internal", "10.9.9.9:80", true},
	}
	for _, tt := range tests {
		var l AllowList
		require.NoError(t, l.Set(tt.list), tt.list)
		require.Equal(t, tt.want, l.allows(tt.host, netip.MustParseAddrPort(tt.address)), "%q, %s at %s",
			tt.list, tt.host, tt.address)
	}
}

func TestAllowListRefusesInvalidEntries(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"10.0.0":                 "no address",
		"127.1":                  "no address",
		"0x7f000001":             "no address",
		"10.0.0.0/33":            "no address",
		"10.0.0.0/8/8":           "no address",
		"10.0.0.5/8":             "the range is 10.0.0.0/8",
		"1:2:3":                  "no address",
		"10.0.0.1:0":             "port",
		"10.0.0.1:":              "port",
		"10.0.0.1:65536":         "port",
		"10.0.0.1:http":          "port",
		"host:+80":               "port",
		"[::1":                   "cannot be read",
		"[::1]80":                "cannot be read",
		"[10.0.0.1]:80":          "cannot be read",
		"http://10.0.0.1/":       "is a URL",
		"user@host":              "no host name",
		"a..b":                   "no host name",
		"-a":                     "no host name",
		"*.internal":             "no host name",
		"bäckerei.example":       "no host name",
		"169.254.169.254":        "never",
		"169.254.0.0/16":         "never",
		"169.254.169.0/24:80":    "never",
		"fe80::1":                "never",
		"[fd00:ec2::254]:80":     "never",
		"::ffff:169.254.169.254": "never",
		"64:ff9b::a9fe:a9fe":     "never",
		"0.0.0.0":                "never",
		"ff02::1":                "never",
	} {
		l := AllowList{{host: "kept"}}
		require.ErrorContains(t, l.Set("10.0.0.1,"+text), says, text)
		require.Equal(t, "kept", l.String(), "nothing was added")
	}
}

func FuzzAllowList(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8", "10.0.0.1:80", "[fd00::/8]:443", "fd00::1",
		"db.internal:8080", "a,b", "::ffff:10.0.0.0/104", "[::1]", "0x7f.1", "169.254.0.0/15"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var l, again AllowList
		if l.Set(text) != nil {
			require.Empty(t, l)
			return
		}
		require.NoError(t, again.Set(l.String()), "what it prints, it reads")
		require.Equal(t, l, again)
		g := guard{allow: l}
		for _, a := range l {
			require.True(t, a.prefix.IsValid() != (a.host != ""))
			host, address := "x", a.prefix.Addr()
			if a.host != "" {
				host, address = strings.ToUpper(a.host), netip.MustParseAddr("10.0.0.1")
			}
			port := a.port
			if port == 0 {
				port = 80
			}
			if class, _ := classOf(address); class == never { // of a range that only begins so
				require.Error(t, g.check(host, netip.AddrPortFrom(address, port)))
				continue
			}
			require.NoError(t, g.check(host, netip.AddrPortFrom(address, port)))
		}
		for _, metadata := range []string{"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
			"fd00:ec2::254", "0.0.0.0"} {
			require.Error(t, g.check("x", netip.AddrPortFrom(netip.MustParseAddr(metadata), 80)),
				"whatever the list says")
		}
	})
}
