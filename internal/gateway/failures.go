package gateway

import (
	"net/netip"
	"sync"
	"time"
)

// How fast one address may try passwords: a burst, and then so many a second. A password that Hearth has made, of 128 random bits,
// needs no such limit; one that a person has chosen does.
const (
	failureBurst   = 10
	failureRefill  = time.Second
	failureOrigins = 4096 // addresses that are remembered; beyond that, all others share one budget
)

// failures counts wrong passwords by where they come from. The zero failures are ready for use.
type failures struct {
	mu   sync.Mutex
	from map[netip.Prefix]time.Time // when the budget of an address is full again
}

// originOf is where a connection comes from: the address, or of IPv6 the network, of which one caller has all addresses.
func originOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

// known is the origin whose budget counts. f.mu is held.
func (f *failures) known(from netip.Prefix, now time.Time) netip.Prefix {
	if _, ok := f.from[from]; ok || len(f.from) < failureOrigins {
		return from
	}
	for origin, full := range f.from {
		if !full.After(now) {
			delete(f.from, origin)
		}
	}
	if len(f.from) < failureOrigins {
		return from
	}
	return netip.Prefix{}
}

// allow tells whether a password from there may be looked at.
func (f *failures) allow(from netip.Prefix, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.from) == 0 {
		return true
	}
	return f.from[f.known(from, now)].Sub(now) <= (failureBurst-1)*failureRefill
}

// add notes a wrong password.
func (f *failures) add(from netip.Prefix, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == nil {
		f.from = map[netip.Prefix]time.Time{}
	}
	from = f.known(from, now)
	full := f.from[from]
	if full.Before(now) {
		full = now
	}
	f.from[from] = full.Add(failureRefill)
}
