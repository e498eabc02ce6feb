package dispatch

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/redis"
)

// An inFlight is a delivery in flight: its call runs, or its outcome is on the way to Redis.
type inFlight struct {
	current  atomic.Pointer[redis.Delivery] // the newest, should this instance have taken it anew
	breakOff context.CancelCauseFunc
	settling bool // the call is over

	until  time.Time // when the lease ends, as far as this instance knows
	ranOut bool      // the lease ended; it may be renewed yet
	lost   bool      // another holder has the delivery
}

func (h *inFlight) delivery() redis.Delivery { return *h.current.Load() }

// begin delivers a message, whose lease ends at until. calls is the context of all calls. l.mu is held.
func (l *lane) begin(calls context.Context, q *queue, d redis.Delivery, until time.Time) {
	if l.adopt(q, d, until) {
		return
	}
	if q.callbacks {
		l.callbacks++
	} else {
		l.calls++
	}
	if l.inFlight == nil {
		l.inFlight = map[*queue]map[string]*inFlight{}
	}
	if l.inFlight[q] == nil {
		l.inFlight[q] = map[string]*inFlight{}
	}
	ctx, breakOff := context.WithCancelCause(calls)
	h := &inFlight{breakOff: breakOff, until: until}
	h.current.Store(&d)
	l.inFlight[q][d.Token] = h
	spec, sub := l.spec, q.Subscription
	answered := func() { // the function has room for the next call while this one is being settled
		l.mu.Lock()
		h.settling = true
		if !q.callbacks {
			l.calls--
			l.ending++
		}
		l.mu.Unlock()
		if !q.callbacks {
			l.kick()
		}
	}
	l.d.spawn(func(_, _ context.Context) {
		again := l.d.deliver(calls, ctx, spec, sub, q.callbacks, h, answered)
		breakOff(nil)
		l.mu.Lock()
		if q.callbacks {
			l.callbacks--
		} else {
			l.ending--
		}
		delete(l.inFlight[q], h.delivery().Token)
		if len(l.inFlight[q]) == 0 {
			delete(l.inFlight, q)
		}
		l.sooner(q, again)
		l.closeSettled()
		l.mu.Unlock()
		l.kick()
		l.d.forget(l)
	})
}

// adopt gives a delivery to the call that already runs for the same message, and reports whether there is
// one: the lease ran out while Redis was unavailable, and this instance has taken the message anew. l.mu is
// held.
func (l *lane) adopt(q *queue, d redis.Delivery, until time.Time) bool {
	if d.Attempt == 1 { // nobody had it before
		return false
	}
	for other, deliveries := range l.inFlight {
		if other.Subscription.Subscription != q.Subscription.Subscription {
			continue
		}
		for token, h := range deliveries {
			if h.delivery().ID == d.ID && !h.settling {
				delete(deliveries, token)
				h.current.Store(&d)
				h.until, h.ranOut, h.lost = until, false, false
				deliveries[d.Token] = h
				return true
			}
		}
	}
	return false
}

// breakOff ends calls in flight whose messages were deleted.
func (l *lane) breakOff(s wire.Subscription, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, deliveries := range l.inFlight {
		if q.Subscription.Subscription != s {
			continue
		}
		for _, h := range deliveries {
			if slices.Contains(ids, h.delivery().ID) {
				h.breakOff(errCancelled)
			}
		}
	}
}
