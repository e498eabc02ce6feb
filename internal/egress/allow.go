package egress

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// An AllowList has the private addresses that may be called. It is a flag's value: each Set adds a
// comma-separated list.
type AllowList []allowed

// allowed is one entry: a range of addresses, or a name and whatever it resolves to.
type allowed struct {
	prefix netip.Prefix // not valid if there is a host
	host   string       // lower case, without a dot at its end
	port   uint16       // 0: each
}

// Set adds entries: an address, a range of addresses (CIDR) or a host name, each with or without a port. IPv6
// has brackets before a port: [fd00::/8]:8080. If an entry is invalid, none is added.
func (l *AllowList) Set(text string) error {
	list := *l
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		a, err := parseAllowed(part)
		if err != nil {
			return err
		}
		list = append(list, a)
	}
	*l = list
	return nil
}

// String returns the list in the form that Set reads.
func (l AllowList) String() string {
	parts := make([]string, len(l))
	for i, a := range l {
		parts[i] = a.String()
	}
	return strings.Join(parts, ",")
}

// Type returns pflag's name for the value.
func (l AllowList) Type() string { return "address" }

// allows reports whether an entry allows an address that a host resolved to.
func (l AllowList) allows(host string, at netip.AddrPort) bool {
	for _, a := range l {
		if a.port != 0 && a.port != at.Port() {
			continue
		}
		if a.host != "" && a.host == hostOf(host) || a.prefix.IsValid() &&
			a.prefix.Contains(at.Addr().WithZone("")) {
			return true
		}
	}
	return false
}

func (a allowed) String() string {
	text := a.host
	if a.prefix.IsValid() {
		if text = a.prefix.String(); a.prefix.IsSingleIP() {
			text = a.prefix.Addr().String()
		}
	}
	if a.port == 0 {
		return text
	}
	if a.prefix.Addr().Is6() {
		text = "[" + text + "]"
	}
	return text + ":" + strconv.Itoa(int(a.port))
}

func parseAllowed(text string) (a allowed, err error) {
	bad := func(why string) (allowed, error) {
		return allowed{},
			fmt.Errorf("%.100q %s: want an address, a range such as 10.1.0.0/16, or a host name, each "+
				"with :PORT or without", text, why)
	}
	if strings.Contains(text, "://") {
		return bad("is a URL")
	}
	what, port := text, ""
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if what, port, ok = strings.Cut(rest, "]"); !ok || !strings.Contains(what, ":") || port != "" &&
			port[0] != ':' {
			return bad("cannot be read")
		}
	} else if at := strings.LastIndexByte(text, ':'); at >= 0 && at == strings.IndexByte(text, ':') {
		what, port = text[:at], text[at:]
	}
	if port != "" {
		var ok bool
		if a.port, ok = portOf(port[1:]); !ok {
			return bad("has no port from 1 to 65535 after its colon")
		}
	}
	if strings.ContainsAny(what, "/:") || endsInNumber(what) {
		if a.prefix, err = parsePrefix(what); err != nil {
			return bad(err.Error())
		}
		return a, nil
	}
	a.host = hostOf(what)
	if !isHostName(a.host) {
		return bad("is no host name")
	}
	return a, nil
}

// parsePrefix reads an address, or a range.
func parsePrefix(text string) (p netip.Prefix, err error) {
	if strings.Contains(text, "/") {
		p, err = netip.ParsePrefix(text)
	} else if a, e := netip.ParseAddr(text); e == nil {
		p = netip.PrefixFrom(a.WithZone(""), a.BitLen())
	} else {
		err = e
	}
	if err != nil {
		return p, fmt.Errorf("is no address")
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("has bits behind its length (the range is %s)", p.Masked())
	}
	if c, what := classOf(p.Addr()); c == never && p.IsSingleIP() {
		return p, fmt.Errorf("can never be allowed: it is %s", what)
	}
	for _, b := range blocks {
		if b.class == never && b.Bits() <= p.Bits() && b.Contains(p.Addr()) {
			return p, fmt.Errorf("can never be allowed: it is %s", b.what)
		}
	}
	return p, nil
}

// endsInNumber reports whether a host could be taken for an IPv4 address;
// https://url.spec.whatwg.org/#ends-in-a-number-checker.
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isHostName reports whether a name can be one, RFC 1123; with underscores, as Compose has them.
func isHostName(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
