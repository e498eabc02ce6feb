package origin

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Flag is the flag of hearth that fills Hosts. Refusals name it.
const Flag = "allowed-host"

// Hosts are additional names under which the management API answers, in lower case; "*.example.com" stands
// for all names below it. It is a flag's value: each Set adds a comma-separated list.
type Hosts []string

// Set adds names. If one is invalid, none is added.
func (h *Hosts) Set(list string) error {
	var more Hosts
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), "."); name == "" {
			continue
		}
		bare := strings.TrimPrefix(name, "*.")
		u, err := url.Parse("http://" + bare)
		if err != nil || bare == "" || u.Port() != "" || u.Hostname() != bare || strings.Contains(bare, "*") {
			return fmt.Errorf("%q is no host name, want one such as functions.example.com or *.example.com, "+
				"without a port", name)
		}
		more = append(more, name)
	}
	*h = append(*h, more...)
	return nil
}

// String returns the list in the form that Set reads.
func (h *Hosts) String() string { return strings.Join(*h, ",") }

// Type returns pflag's name for the value.
func (h *Hosts) Type() string { return "host" }

// allows reports whether a request with this Host header may be answered. A page can only be given our
// address under a name that its owner controls in DNS. Nobody controls an address, localhost, or a name
// without a dot, which public DNS does not have.
func (h *Hosts) allows(host string) bool {
	name := nameOf(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || !strings.Contains(name, ".") {
		return true
	}
	for _, allowed := range *h {
		below, wild := strings.CutPrefix(allowed, "*")
		if name == allowed || wild && strings.HasSuffix(name, below) && len(name) > len(below) {
			return true
		}
	}
	return false
}

// nameOf returns a Host header in lower case, without port, brackets and trailing dot.
func nameOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
