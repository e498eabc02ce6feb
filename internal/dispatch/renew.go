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

// A lease is renewed once a sixth of it has passed, by a timer that ticks as often: so when a third has passed at the
// latest, and then four more times before it runs out, should Redis be slow. Most calls are over before the first time.
const renewals = 6

// renew renews the leases of all deliveries under way, until ctx ends.
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

// renewOnce renews the leases that a sixth of them or more has passed of: with one script for each subscription, all of
// them sent together.
func (d *Dispatcher) renewOnce(ctx context.Context, now time.Time) error {
	var all []leases
	for _, l := range append(d.all(), d.leaving()...) {
		all = append(all, l.leasesToRenew(now)...)
	}
	return d.renewAll(ctx, now, all)
}

// leases are those of one queue that are to be renewed.
type leases struct {
	lane *lane
	of   wire.Subscription
	long time.Duration
	held []*held
}

// leasesToRenew are those of a lane that have not been renewed for a while. It also finds those that ran out.
func (l *lane) leasesToRenew(now time.Time) (all []leases) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, deliveries := range l.held {
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
			l.d.cfg.Log.Warn("leases ran out, as Redis did not answer; another instance may make the calls again",
				"queue", some.of.String(), "count", ranOut)
		}
		if len(some.held) > 0 {
			all = append(all, some)
		}
	}
	return all
}

// renewAll renews leases. What is not under way any more is broken off; what another instance has taken is not: the call
// may yet succeed, and then its success counts.
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

// renewed notes what became of leases.
func (l *lane) renewed(s leases, asked []redis.Delivery, results []redis.Renewal, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := 0
	for i, h := range s.held {
		switch {
		case results[i] == redis.Renewed:
			h.until, h.ranOut = until, false
		case h.settling || h.delivery().Token != asked[i].Token: // it was given back or taken anew meanwhile, by us
		case results[i] == redis.Lost:
			h.lost = true
			lost++
		case s.of == redis.CallsOf(l.name): // of a topic, the function itself has settled it, and is about to answer
			h.breakOff(errCancelled)
		}
	}
	if lost > 0 {
		l.d.cfg.Log.Warn("lost leases; another instance makes the calls again, and the first success counts",
			"queue", s.of.String(), "count", lost)
	}
}

// recover makes sure of what a lane holds after a take whose answer was lost: Redis may have been unavailable for so long
// that leases ran out, and the next take must not take our own. It gives back what such a take leased. Where the ack is
// left to the function, a lease that no call holds is nothing unusual, and runs out.
func (l *lane) recover(ctx context.Context, q *queue) error {
	if !q.lost { // only the lane's own goroutine sets it
		return nil
	}
	l.mu.Lock()
	sub, lease := q.Subscription, l.lease(q)
	mine := leases{lane: l, of: sub.Subscription, long: lease}
	var tokens []string
	for other, deliveries := range l.held { // a subscription that was removed and made again has two
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
		q.lost = false
		return nil
	}
	n, err := l.d.cfg.Queue.Untake(ctx, sub.Subscription, l.d.cfg.Instance, tokens)
	if err != nil {
		return err
	}
	q.lost = false
	if n > 0 {
		l.d.cfg.Log.Info("gave back deliveries that Redis had handed out without an answer", "queue", sub.String(), "count", n)
	}
	return nil
}

// A patience leaves leases that ran out to their holders for a moment, after Redis was unavailable for so long that no
// holder could renew them. The zero value has none.
type patience struct {
	mu    sync.Mutex
	until time.Time
}

// add begins the wait, if Redis was unavailable for more than a third of a lease: a shorter time leaves holders enough.
func (p *patience) add(away, lease time.Duration) {
	if away > lease/3 {
		p.mu.Lock()
		p.until = time.Now().Add(lease / 3)
		p.mu.Unlock()
	}
}

// left is for how long leases that ran out are left alone.
func (p *patience) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Until(p.until))
}
