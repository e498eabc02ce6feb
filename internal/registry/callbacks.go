package registry

import (
	"context"
	"slices"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// EnsureCallbacks makes sure that a function has a queue for callbacks, before there is a callback to put on
// it, and once more when there is: it may have been removed in between. A function that was removed has one
// too, for the calls that were in flight.
func (r *Registry) EnsureCallbacks(ctx context.Context, n hearth.Name, again bool) error {
	has := r.hasCallbacks(n)
	if has && again { // another instance may have removed the function
		var err error
		if has, err = r.cfg.Queue.Noted(ctx, redis.CallbacksOf(n)); err != nil {
			return err
		}
	}
	if has {
		return nil
	}
	// Before the turn, which a call needs to wake the function: nobody waits with it for a Redis that is
	// unavailable.
	if err := r.cfg.Queue.Ping(ctx); err != nil {
		return err
	}
	rec := r.enter(n)
	defer r.leave(n, rec)
	if _, err := r.cfg.Queue.Subscribe(ctx, redis.CallbacksOf(n)); err != nil {
		return err
	}
	d := rec.desired
	if d.deployed() {
		d.callbacks = true
	} else {
		d.left = union(d.left, []wire.Subscription{redis.CallbacksOf(n)})
		if d.state == Gone {
			d.state = Left
		}
	}
	if err := r.observe(ctx, n, rec, d, false); err != nil {
		return err
	}
	// The other instances deliver its callbacks too, should this one die.
	_, err := r.cfg.Queue.Tell(ctx, n, r.cfg.Instance)
	return err
}

// hasCallbacks reports whether this instance delivers a name's callbacks.
func (r *Registry) hasCallbacks(n hearth.Name) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rec := r.records[n]
	if rec == nil {
		return false
	}
	return rec.deployed() && rec.callbacks ||
		!rec.deployed() && slices.Contains(rec.left, redis.CallbacksOf(n))
}
