package egress

import "net/netip"

type class int

const (
	public class = iota
	private
	never
)

// A block is a range of addresses and its class.
type block struct {
	netip.Prefix
	class
	what string // "it is ..."
}

const (
	linkLocal = "a link-local address, where clouds have their metadata service"
	metadata  = "the address of a cloud's metadata service"
	reserved  = "an address that is reserved"
)

// blocks are the ranges that are not public; the first that has an address counts.
//
// Sources: the IANA registries of special-purpose addresses (RFC 6890),
// https://www.iana.org/assignments/iana-ipv4-special-registry and https://www.iana.org/assignments/iana-ipv6-special-registry;
// of multicast addresses; and the clouds' documentation of what answers without a password to whoever is on the machine. What
// the registries call globally reachable in 192.0.0.0/24 and 2001::/23 (anycast of protocols) takes no callbacks, and is not
// told from the rest of it.
var blocks = []block{
	{netip.MustParsePrefix("169.254.0.0/16"), never, linkLocal},                                // RFC 3927; AWS, Azure, Google, and most others
	{netip.MustParsePrefix("100.100.100.200/32"), never, metadata},                             // Alibaba
	{netip.MustParsePrefix("168.63.129.16/32"), never, metadata},                               // Azure's wire server; the range is public
	{netip.MustParsePrefix("192.0.0.192/32"), never, metadata},                                 // Oracle, classic
	{netip.MustParsePrefix("0.0.0.0/8"), never, "an address of no host"},                       // RFC 791; Linux takes 0.0.0.0 for itself
	{netip.MustParsePrefix("224.0.0.0/4"), never, "a multicast address"},                       // RFC 5771
	{netip.MustParsePrefix("255.255.255.255/32"), never, "the broadcast address"},              // RFC 919
	{netip.MustParsePrefix("10.0.0.0/8"), private, "a private address"},                        // RFC 1918
	{netip.MustParsePrefix("172.16.0.0/12"), private, "a private address"},                     // RFC 1918
	{netip.MustParsePrefix("192.168.0.0/16"), private, "a private address"},                    // RFC 1918
	{netip.MustParsePrefix("127.0.0.0/8"), private, "this machine"},                            // RFC 1122
	{netip.MustParsePrefix("100.64.0.0/10"), private, "an address of a carrier's own network"}, // RFC 6598
	{netip.MustParsePrefix("192.0.0.0/24"), private, reserved},                                 // RFC 6890
	{netip.MustParsePrefix("192.0.2.0/24"), private, reserved},                                 // documentation, RFC 5737
	{netip.MustParsePrefix("198.51.100.0/24"), private, reserved},                              // documentation, RFC 5737
	{netip.MustParsePrefix("203.0.113.0/24"), private, reserved},                               // documentation, RFC 5737
	{netip.MustParsePrefix("192.88.99.0/24"), private, reserved},                               // 6to4 relays, RFC 7526
	{netip.MustParsePrefix("198.18.0.0/15"), private, reserved},                                // benchmarks, RFC 2544
	{netip.MustParsePrefix("240.0.0.0/4"), private, reserved},                                  // RFC 1112
	{netip.MustParsePrefix("0.0.0.0/0"), public, ""},

	{netip.MustParsePrefix("fe80::/10"), never, linkLocal},                        // RFC 4291
	{netip.MustParsePrefix("fd00:ec2::/32"), never, metadata},                     // AWS: ::254, and ::23 for the credentials of pods
	{netip.MustParsePrefix("fd20:ce::254/128"), never, metadata},                  // Google
	{netip.MustParsePrefix("fd00:42::42/128"), never, metadata},                   // Scaleway
	{netip.MustParsePrefix("::/128"), never, "an address of no host"},             // RFC 4291
	{netip.MustParsePrefix("ff00::/8"), never, "a multicast address"},             // RFC 4291
	{netip.MustParsePrefix("::1/128"), private, "this machine"},                   // RFC 4291
	{netip.MustParsePrefix("fc00::/7"), private, "a private address"},             // RFC 4193
	{netip.MustParsePrefix("64:ff9b::/96"), public, ""},                           // NAT64, RFC 6052: as what it holds is
	{netip.MustParsePrefix("2001::/23"), private, reserved},                       // RFC 2928, with Teredo, RFC 4380
	{netip.MustParsePrefix("2001:db8::/32"), private, reserved},                   // documentation, RFC 3849
	{netip.MustParsePrefix("2002::/16"), private, "an address of a 6to4 network"}, // RFC 3056
	{netip.MustParsePrefix("3fff::/20"), private, reserved},                       // documentation, RFC 9637
	{netip.MustParsePrefix("2000::/3"), public, ""},                               // what is given out at all, RFC 4291
	{netip.MustParsePrefix("::/0"), private, reserved},
}

// embeddings are the IPv6 addresses that contain an IPv4 address, to which a gateway would forward the call: which bytes have it, and what
// they are combined with.
var embeddings = []struct {
	netip.Prefix
	at  [4]int
	xor byte
}{
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}, 0},           // IPv4-compatible, RFC 4291
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [4]int{12, 13, 14, 15}, 0}, // IPv4-translated, RFC 2765
	{netip.MustParsePrefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}, 0},    // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}, 0},  // NAT64 of a network's own, RFC 8215, with
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{9, 10, 11, 12}, 0},   // each length that a prefix may have there:
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{7, 9, 10, 11}, 0},    // RFC 6052, 2.2
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}, 0},     //
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}, 0},           // 6to4, RFC 3056
	{netip.MustParsePrefix("2001::/32"), [4]int{4, 5, 6, 7}, 0},           // Teredo's server, RFC 4380
	{netip.MustParsePrefix("2001::/32"), [4]int{12, 13, 14, 15}, 0xff},    // Teredo's client
}

// classOf returns the class of an address, and its kind if it is not public. An address that contains another one has the stricter class of
// the two.
func classOf(a netip.Addr) (class class, what string) {
	a = a.WithZone("").Unmap()
	for _, b := range blocks {
		if b.Contains(a) {
			class, what = b.class, b.what
			break
		}
	}
	if a.Is4() {
		return class, what
	}
	bytes := a.As16()
	for _, e := range embeddings {
		if !e.Contains(a) {
			continue
		}
		var inner [4]byte
		for i, at := range e.at {
			inner[i] = bytes[at] ^ e.xor
		}
		v4 := netip.AddrFrom4(inner)
		c, w := classOf(v4)
		if inner[0] == 0 { // it brings nobody anywhere; and ::1 is no 0.0.0.1
			c = private
		}
		if c > class {
			class, what = c, v4.String()+" in another form, "+w
		}
	}
	return class, what
}
