package dispatch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// DefaultLease is for how long a delivery belongs to an instance unless it renews the lease.
const DefaultLease = 30 * time.Second

// renewals is how often a timer ticks within a lease. Each tick renews the leases of which a sixth or more
// has passed: so when a third has passed at the latest, with four more tries before it runs out if Redis is
// slow. Most calls are over before their first renewal.
const renewals = 6

// renew renews the leases of all deliveries in flight, until ctx ends.
func (d *Dispatcher) renew(ctx context.Context) {
	every := d.cfg.Lease / renewals
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		once, cancel := context.WithTimeout(ctx, every)
		err := d.renewOnce(once, time.Now())
		cancel()
		if err != nil && hearth.CodeOf(err) != hearth.Unavailable && !errors.Is(err, context.Canceled) {
			d.cfg.Log.Error("could not renew leases", "error", err)
		}
	}
}

// renewOnce renews the leases of which a sixth or more has passed: one script for each subscription, all sent
// together.
func (d *Dispatcher) renewOnce(ctx context.Context, now time.Time) error {
	var all []leases
	for _, l := range append(d.all(), d.draining()...) {
		all = append(all, l.leasesToRenew(now)...)
	}
	return d.renewAll(ctx, now, all)
}

// leases are leases of one queue.
type leases struct {
	lane *lane
	of   wire.Subscription
	long time.Duration
	held []*inFlight
}

// leasesToRenew returns the leases of a lane that are due for renewal. It logs those that ran out.
func (l *lane) leasesToRenew(now time.Time) (all []leases) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, deliveries := range l.inFlight {
		long := l.lease(q)
		some := leases{lane: l, of: q.Subscription.Subscription, long: long}
		ranOut := 0
		for _, h := range deliveries {
			if h.lost {
				continue
			}
			if h.until.Before(now) && !h.ranOut {
				h.ranOut = true
				ranOut++
			}
			if h.until.Sub(now) <= long-long/renewals {
				some.held = append(some.held, h)
			}
		}
		if ranOut > 0 {
			l.d.cfg.Log.Warn(
				"leases ran out while Redis was unavailable; another instance may repeat the calls",
				"queue", some.of.String(), "count", ranOut)
		}
		if len(some.held) > 0 {
			all = append(all, some)
		}
	}
	return all
}

// renewAll renews leases. It breaks off calls that were cancelled. It does not break off a call whose lease
// is lost: it may yet succeed, and a late success counts.
func (d *Dispatcher) renewAll(ctx context.Context, now time.Time, all []leases) error {
	if len(all) == 0 {
		return nil
	}
	asked := make([]redis.Leases, len(all))
	for i, s := range all {
		asked[i] = redis.Leases{Of: s.of, Length: s.long}
		for _, h := range s.held {
			asked[i].Deliveries = append(asked[i].Deliveries, h.delivery())
		}
	}
	results, err := d.cfg.Queue.Renew(ctx, asked)
	for i, s := range all {
		if results[i] != nil {
			s.lane.renewed(s, asked[i].Deliveries, results[i], now.Add(s.long))
		}
	}
	return err
}

// renewed records the results of a renewal.
func (l *lane) renewed(s leases, asked []redis.Delivery, results []redis.Renewal, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := 0
	for i, h := range s.held {
		switch {
		case results[i] == redis.Renewed:
			h.until, h.ranOut = until, false
		// this instance gave it back or took it anew meanwhile
		case h.settling || h.delivery().Token != asked[i].Token:
		case results[i] == redis.Lost:
			h.lost = true
			lost++
		// a message of a topic was settled by the function, which is about to answer
		case s.of == redis.CallsOf(l.name):
			h.breakOff(errCancelled)
		}
	}
	if lost > 0 {
		l.d.cfg.Log.Warn("lost leases; another instance repeats the calls, and the first success counts",
			"queue", s.of.String(), "count", lost)
	}
}

// recover restores what a lane holds after a take whose answer was lost. Redis may have been unavailable for
// so long that leases ran out, and the next take must not take our own: so it renews them. Then it gives back
// what the lost take leased, unless the ack is left to the function: there a lease without a call is normal,
// and runs out.
func (l *lane) recover(ctx context.Context, q *queue) error {
	if !q.takeLost {
		return nil
	}
	l.mu.Lock()
	sub, lease := q.Subscription, l.lease(q)
	mine := leases{lane: l, of: sub.Subscription, long: lease}
	var tokens []string
	for other, deliveries := range l.inFlight { // a subscription that was removed and made again has two
		if other.Subscription.Subscription == sub.Subscription {
			mine.held = slices.AppendSeq(mine.held, maps.Values(deliveries))
			tokens = slices.AppendSeq(tokens, maps.Keys(deliveries))
		}
	}
	l.mu.Unlock()
	if len(mine.held) > 0 {
		if err := l.d.renewAll(ctx, time.Now(), []leases{mine}); err != nil {
			return err
		}
	}
	if sub.LeaveAck {
		q.takeLost = false
		return nil
	}
	n, err := l.d.cfg.Queue.Untake(ctx, sub.Subscription, l.d.cfg.Instance, tokens)
	if err != nil {
		return err
	}
	q.takeLost = false
	if n > 0 {
		l.d.cfg.Log.Info("gave back deliveries that Redis had handed out without an answer",
			"queue", sub.String(), "count", n)
	}
	return nil
}

// A patience is a pause in taking over leases that ran out, after Redis was unavailable for so long that
// healthy holders could not renew them. The zero value has none left.
type patience struct {
	mu    sync.Mutex
	until time.Time
}

// start begins the pause if Redis was unavailable for more than a third of a lease. A shorter outage leaves
// holders time enough.
func (p *patience) start(outage, lease time.Duration) {
	if outage > lease/3 {
		p.mu.Lock()
		p.until = time.Now().Add(lease / 3)
		p.mu.Unlock()
	}
}

// left returns how long the pause goes on.
func (p *patience) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Until(p.until))
}
