package gateway

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// maxCallers is how many callers are remembered, over all functions. With more, some are forgotten and may
// call as if for the first time, first those that have not called lately.
const maxCallers = 20_000

// rates has a token bucket for each pair of caller and function.
type rates struct {
	mu      sync.Mutex
	buckets map[rateKey]bucket
}

type rateKey struct {
	function hearth.Name
	caller   netip.Prefix
}

// A bucket says when all of its tokens will be back.
type bucket struct{ full time.Time }

// take takes a token. left is the number of tokens that remain. If there was none, wait is the time until the
// next one, else until the bucket is full.
func (rs *rates) take(key rateKey, rate hearth.Rate, now time.Time) (ok bool, left int, wait time.Duration) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	each := rate.Per / time.Duration(rate.Calls)
	b := rs.buckets[key]
	if b.full.Before(now) {
		b.full = now
	}
	full := b.full.Add(each)
	if over := full.Sub(now) - each*time.Duration(rate.Calls); over > 0 {
		return false, 0, over
	}
	if rs.buckets == nil {
		rs.buckets = map[rateKey]bucket{}
	}
	rs.buckets[key] = bucket{full}
	if len(rs.buckets) > maxCallers {
		rs.forget(now)
	}
	missing := full.Sub(now)
	return true, rate.Calls - int((missing+each-1)/each), missing
}

// forget drops the buckets that are full again, and if that is not enough, others until a tenth is free.
// rs.mu is held.
func (rs *rates) forget(now time.Time) {
	for key, b := range rs.buckets {
		if !b.full.After(now) {
			delete(rs.buckets, key)
		}
	}
	for key := range rs.buckets {
		if len(rs.buckets) <= maxCallers/10*9 {
			return
		}
		delete(rs.buckets, key)
	}
}

// withinRate reports whether a caller may call a function now, as its annotation says, and sets the headers
// about it. If not, it has answered the call. See
// https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/.
func (g *Gateway) withinRate(w http.ResponseWriter, r *http.Request, n hearth.Name) bool {
	rate := g.cfg.Rate(n)
	if rate.Calls == 0 {
		return true
	}
	ok, left, wait := g.rates.take(rateKey{n, callerOf(g.cfg.Proxies.Client(r))}, rate, time.Now())
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	w.Header()["RateLimit-Policy"] = []string{fmt.Sprintf(`"caller";q=%d;w=%d`, rate.Calls,
		int(rate.Per.Seconds()))}
	w.Header()["RateLimit"] = []string{fmt.Sprintf(`"caller";r=%d;t=%s`, left, seconds)}
	if ok {
		return true
	}
	chain.Problem{
		Status: http.StatusTooManyRequests,
		Title:  "Too many calls",
		Detail: fmt.Sprintf("a caller may call %s at most %s: try again in %s s", n.Function, rate,
			seconds),
		RetryAfter: seconds,
		Internal:   "proxy",
	}.Write(w)
	return false
}

// callerOf returns the address that a rate counts for: an IPv4 address, or the /64 network of an IPv6
// address, which usually belongs to one customer.
func callerOf(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked()
}
