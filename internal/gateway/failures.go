package gateway

import (
	"net/netip"
	"sync"
	"time"
)

// How fast one address may try passwords: a burst, then a rate. A password of 128 random bits, as Hearth
// generates it, needs no such limit; one that a person chose does.
const (
	failureBurst   = 10
	failureRefill  = time.Second
	failureOrigins = 4096 // addresses that are remembered; beyond that, all others share one budget
)

// failures counts wrong passwords by address. The zero value is ready for use.
type failures struct {
	mu   sync.Mutex
	from map[netip.Prefix]time.Time // when the budget of an address is full again
	good map[netip.Prefix]time.Time // when the right password last came from an address
}

// trust remembers that the right password came from an address. Only the most recent addresses are kept.
func (f *failures) trust(from netip.Prefix, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.good == nil {
		f.good = map[netip.Prefix]time.Time{}
	}
	f.good[from] = now
	if len(f.good) <= failureOrigins {
		return
	}
	oldest := from
	for origin, at := range f.good {
		if at.Before(f.good[oldest]) {
			oldest = origin
		}
	}
	delete(f.good, oldest)
}

// trusts reports whether the right password has come from an address.
func (f *failures) trusts(from netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.good[from]
	return ok
}

// known returns the address whose budget counts. f.mu is held.
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

// allow reports whether a password from an address may be checked.
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
