/*
Package forwarded finds the client of a request that came through proxies, and tells functions about it in
headers.

Anybody can send X-Forwarded-For. So it counts only from a trusted proxy, and only the part of the list that
trusted proxies have written: from the end up to the first address that is not a trusted proxy's.

It does not limit or authenticate clients.
*/
package forwarded

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
)

// Flag is the flag of hearth that fills Proxies.
const Flag = "trusted-proxy"

const (
	forHeader   = "X-Forwarded-For"
	hostHeader  = "X-Forwarded-Host"
	protoHeader = "X-Forwarded-Proto"
)

// Proxies are the addresses of trusted proxies, whose X-Forwarded-For is believed. It is a flag's value: each
// Set adds a comma-separated list.
type Proxies []netip.Prefix

// Set adds addresses and ranges. If one is invalid, none is added.
func (p *Proxies) Set(list string) error {
	var more Proxies
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if addr, bad := netip.ParseAddr(text); bad == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return fmt.Errorf("%q is neither an address nor a range, want one such as 127.0.0.1 or "+
				"10.0.0.0/8",
				text)
		}
		more = append(more, prefix.Masked())
	}
	*p = append(*p, more...)
	return nil
}

// String returns the list in the form that Set reads.
func (p *Proxies) String() string {
	texts := make([]string, len(*p))
	for i, prefix := range *p {
		texts[i] = prefix.String()
	}
	return strings.Join(texts, ",")
}

// Type returns pflag's name for the value.
func (p *Proxies) Type() string { return "cidr" }

// Trust reports whether an address belongs to one of the proxies.
func (p Proxies) Trust(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// Client returns the address that a request comes from, as far as it is known. It is the zero Addr for a
// request that did not come over the network.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.Trust(peer.Addr()) {
		return peer.Addr()
	}
	if chain := p.chain(r.Header); len(chain) > 0 {
		client, _ := parse(chain[0])
		return client
	}
	return peer.Addr()
}

// chain returns the part of X-Forwarded-For that trusted proxies have written.
func (p Proxies) chain(h http.Header) []string {
	all := strings.Split(strings.Join(h[forHeader], ","), ",")
	for i := len(all) - 1; i >= 0; i-- {
		all[i] = textproto.TrimString(all[i])
		addr, err := parse(all[i])
		if err != nil {
			return all[i+1:]
		}
		if !p.Trust(addr) {
			return all[i:]
		}
	}
	return all
}

// parse reads an address with or without a port, and an IPv6 address with or without brackets.
func parse(text string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr(), nil
	}
	return netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
}

// WriteHeaders sets the headers that name the caller of a request. The last element of X-Forwarded-For is the
// address of the peer. If the peer is not a trusted proxy, its own headers are dropped.
func (p Proxies) WriteHeaders(h http.Header, r *http.Request) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	trusted := err == nil && p.Trust(peer.Addr())
	var chain []string
	if trusted {
		chain = p.chain(h)
	}
	for name := range h {
		if claim(name) && !(trusted && !strings.Contains(name, "_")) {
			delete(h, name)
		}
	}
	h[forHeader] = []string{strings.Join(append(chain, r.RemoteAddr), ", ")}
	if _, ok := h[hostHeader]; !ok {
		h[hostHeader] = []string{r.Host}
	}
	if _, ok := h[protoHeader]; !ok {
		h[protoHeader] = []string{"http"}
		if r.TLS != nil {
			h[protoHeader] = []string{"https"}
		}
	}
}

// claims are the headers besides X-Forwarded-… in which proxies, and clients that pose as proxies, name the
// client.
var claims = []string{"Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip"}

// claim reports whether a header is one of them, or a spelling of one that CGI and WSGI treat as the same.
func claim(name string) bool {
	if strings.Contains(name, "_") {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	return strings.HasPrefix(name, "X-Forwarded") || slices.Contains(claims, name)
}
