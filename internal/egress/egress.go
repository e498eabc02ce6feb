/*
Package egress makes calls to URLs that a stranger chose: the callbacks of queued calls. Otherwise a caller
could make Hearth call what only Hearth can reach (server-side request forgery, CWE-918).

It checks the address that is dialed, after the name is resolved and before the first packet. So a name that
resolves to something else each time gains nothing. Each address is in one of three classes:

	public   always called
	private  called if it is on the allow list, or is Hearth's own gateway (for its functions)
	never    link-local, metadata services, unspecified, multicast, broadcast: whatever the allow list says

Redirects are not followed, and the proxy of the environment is not used, because it would dial for us.

The package does not limit who may queue a call or what a callback sends.
*/
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Flag is the flag of hearth that fills the allow list. Refusals name it.
const Flag = "callback-allow"

const (
	dialTimeout  = 10 * time.Second // to resolve and connect
	timeout      = 30 * time.Second // for all of a call, with its answer
	idleTimeout  = 90 * time.Second
	idlePerHost  = 8
	maxHeaderLen = 64 << 10
)

// Config says what may be called besides public addresses.
type Config struct {
	// Allow has the private addresses that may be called. Defaults to none.
	Allow AllowList

	// Gateway is the address of Hearth's own gateway. Its functions may always be called, the rest of its API
	// only if Allow has the address. Defaults to none.
	Gateway netip.AddrPort
}

// A Refused is the error of a call to an address that may not be called.
type Refused struct {
	Host  string         // of the URL
	Addr  netip.AddrPort // the address to dial; its port is 0 if it was not known yet
	Never bool           // no allow list can allow it
	What  string         // the kind of address
}

func (r *Refused) Error() string {
	at := r.Addr.String()
	if r.Addr.Port() == 0 {
		at = r.Addr.Addr().String()
	}
	if _, err := netip.ParseAddr(r.Host); err != nil && r.Host != "" {
		at += " (" + r.Host + ")"
	}
	if r.Never {
		return fmt.Sprintf("callbacks to %s are never made: it is %s", at, r.What)
	}
	return fmt.Sprintf("callbacks to %s are not allowed: it is %s; to allow it, start hearth with --%s %s",
		at, r.What, Flag, r.Addr)
}

// NewClient makes a client that calls allowed addresses only. Other calls return a *Refused.
func NewClient(cfg Config) *http.Client {
	functions := guard{allow: cfg.Allow, gateway: cfg.Gateway}
	others := guard{allow: cfg.Allow}
	return &http.Client{
		Transport:     &transport{functions: functions.transport(), others: others.transport()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
}

// CheckHost refuses the host of a URL if it is an address that can never be called. It resolves no names.
func CheckHost(host string) error {
	a, err := netip.ParseAddr(strings.TrimSuffix(host, "."))
	if err != nil {
		return nil
	}
	if class, what := classOf(a); class == never {
		return &Refused{Host: host, Addr: netip.AddrPortFrom(a, 0), Never: true, What: what}
	}
	return nil
}

// transport has separate connections to functions: a connection to a function of our own gateway must not be
// used for the gateway's management API.
type transport struct{ functions, others *http.Transport }

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if path := req.URL.Path; strings.HasPrefix(path, "/function/") ||
		strings.HasPrefix(path, "/async-function/") {
		return t.functions.RoundTrip(req)
	}
	return t.others.RoundTrip(req)
}

func (t *transport) CloseIdleConnections() {
	t.functions.CloseIdleConnections()
	t.others.CloseIdleConnections()
}

// guard decides which addresses are dialed.
type guard struct {
	allow   AllowList
	gateway netip.AddrPort
}

func (g guard) transport() *http.Transport {
	return &http.Transport{
		DialContext:            g.dial,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    dialTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    idlePerHost,
		MaxResponseHeaderBytes: maxHeaderLen,
		ExpectContinueTimeout:  time.Second,
	}
}

// dial connects to the first address of a host that may be called and answers. It returns a *Refused only if
// all are refused.
func (g guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var tried atomic.Bool
	d := net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if err := g.check(host, at); err != nil {
			return err
		}
		tried.Store(true)
		return nil
	}}
	conn, err := d.DialContext(ctx, network, address)
	if refused := (*Refused)(nil); tried.Load() && errors.As(err, &refused) {
		return nil, fmt.Errorf("no address of %s that may be called answers", host)
	}
	return conn, err
}

// check refuses an address, which a host of a URL resolved to, unless it may be called.
func (g guard) check(host string, at netip.AddrPort) error {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	class, what := classOf(at.Addr())
	if class == public || class == private && (g.allow.allows(host, at) || g.own(at)) {
		return nil
	}
	return &Refused{Host: host, Addr: at, Never: class == never, What: what}
}

// own reports whether an address is our gateway's.
func (g guard) own(at netip.AddrPort) bool {
	listen := g.gateway.Addr().Unmap()
	switch {
	case !listen.IsValid() || at.Port() != g.gateway.Port():
		return false
	case !listen.IsUnspecified():
		return at.Addr() == listen
	case at.Addr().IsLoopback():
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == at.Addr() {
			return true
		}
	}
	return false
}

// hostOf returns the form of a host name in which names are compared.
func hostOf(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func portOf(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0
}
