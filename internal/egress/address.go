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

// prefix is short for the tables below.
func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// blocks are the ranges that are not public; the first that has an address counts.
//
// Sources: the IANA registries of special-purpose addresses (RFC 6890),
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry; of multicast addresses; and the clouds'
// documentation of what answers without a password to whoever is on the machine. What the registries call
// globally reachable in 192.0.0.0/24 and 2001::/23 (anycast of protocols) takes no callbacks, and is not told
// from the rest of it.
var blocks = []block{
	{prefix("169.254.0.0/16"), never, linkLocal},                                // RFC 3927; most clouds
	{prefix("100.100.100.200/32"), never, metadata},                             // Alibaba
	{prefix("168.63.129.16/32"), never, metadata},                               // Azure
	{prefix("192.0.0.192/32"), never, metadata},                                 // Oracle, classic
	{prefix("0.0.0.0/8"), never, "an address of no host"},                       // RFC 791; on Linux, itself
	{prefix("224.0.0.0/4"), never, "a multicast address"},                       // RFC 5771
	{prefix("255.255.255.255/32"), never, "the broadcast address"},              // RFC 919
	{prefix("10.0.0.0/8"), private, "a private address"},                        // RFC 1918
	{prefix("172.16.0.0/12"), private, "a private address"},                     // RFC 1918
	{prefix("192.168.0.0/16"), private, "a private address"},                    // RFC 1918
	{prefix("127.0.0.0/8"), private, "this machine"},                            // RFC 1122
	{prefix("100.64.0.0/10"), private, "an address of a carrier's own network"}, // RFC 6598
	{prefix("192.0.0.0/24"), private, reserved},                                 // RFC 6890
	{prefix("192.0.2.0/24"), private, reserved},                                 // documentation, RFC 5737
	{prefix("198.51.100.0/24"), private, reserved},                              // documentation, RFC 5737
	{prefix("203.0.113.0/24"), private, reserved},                               // documentation, RFC 5737
	{prefix("192.88.99.0/24"), private, reserved},                               // 6to4 relays, RFC 7526
	{prefix("198.18.0.0/15"), private, reserved},                                // benchmarks, RFC 2544
	{prefix("240.0.0.0/4"), private, reserved},                                  // RFC 1112
	{prefix("0.0.0.0/0"), public, ""},

	{prefix("fe80::/10"), never, linkLocal},                        // RFC 4291
	{prefix("fd00:ec2::/32"), never, metadata},                     // AWS: ::254 and ::23
	{prefix("fd20:ce::254/128"), never, metadata},                  // Google
	{prefix("fd00:42::42/128"), never, metadata},                   // Scaleway
	{prefix("::/128"), never, "an address of no host"},             // RFC 4291
	{prefix("ff00::/8"), never, "a multicast address"},             // RFC 4291
	{prefix("::1/128"), private, "this machine"},                   // RFC 4291
	{prefix("fc00::/7"), private, "a private address"},             // RFC 4193
	{prefix("64:ff9b::/96"), public, ""},                           // NAT64, RFC 6052: as what it holds is
	{prefix("2001::/23"), private, reserved},                       // RFC 2928, with Teredo, RFC 4380
	{prefix("2001:db8::/32"), private, reserved},                   // documentation, RFC 3849
	{prefix("2002::/16"), private, "an address of a 6to4 network"}, // RFC 3056
	{prefix("3fff::/20"), private, reserved},                       // documentation, RFC 9637
	{prefix("2000::/3"), public, ""},                               // what is given out at all, RFC 4291
	{prefix("::/0"), private, reserved},
}

// embeddings are the IPv6 addresses that contain an IPv4 address, to which a gateway would forward the call:
// which bytes have it, and what they are combined with.
var embeddings = []struct {
	netip.Prefix
	at  [4]int
	xor byte
}{
	{prefix("::/96"), [4]int{12, 13, 14, 15}, 0},           // IPv4-compatible, RFC 4291
	{prefix("::ffff:0:0:0/96"), [4]int{12, 13, 14, 15}, 0}, // IPv4-translated, RFC 2765
	{prefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}, 0},    // NAT64, RFC 6052
	{prefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}, 0},  // NAT64 of a network's own, RFC 8215, with
	{prefix("64:ff9b:1::/48"), [4]int{9, 10, 11, 12}, 0},   // each length that a prefix may have there:
	{prefix("64:ff9b:1::/48"), [4]int{7, 9, 10, 11}, 0},    // RFC 6052, 2.2
	{prefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}, 0},     //
	{prefix("2002::/16"), [4]int{2, 3, 4, 5}, 0},           // 6to4, RFC 3056
	{prefix("2001::/32"), [4]int{4, 5, 6, 7}, 0},           // Teredo's server, RFC 4380
	{prefix("2001::/32"), [4]int{12, 13, 14, 15}, 0xff},    // Teredo's client
}

// classOf returns the class of an address, and its kind if it is not public. An address that contains another
// one has the stricter class of the two.
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
