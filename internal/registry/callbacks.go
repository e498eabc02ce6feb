package registry

import (
	"context"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// EnsureCallbacks makes sure that a function has a queue for callbacks, before there is a callback to put on it, and once
// more when there is: it may have been removed in between. A function that was removed has one too, for the calls that were
// under way.
func (r *Registry) EnsureCallbacks(ctx context.Context, n hearth.Name, again bool) error {
	e := r.find(n)
	if e == nil {
		if _, err := r.cfg.Queue.Subscribe(ctx, redis.CallbacksOf(n)); err != nil {
			return err
		}
		r.finishCallbacks(n)
		return r.tell(ctx, n)
	}
	r.mu.RLock()
	has := e.callbacks && (!e.gone || !again)
	r.mu.RUnlock()
	if has && again {
		var err error
		if has, err = r.cfg.Queue.Noted(ctx, redis.CallbacksOf(n)); err != nil { // another hearth may have removed the function
			return err
		}
	}
	if has {
		return nil
	}
	// Before the lock, which a sync call needs to wake the function: a Redis that is away must not be waited for with it.
	if err := r.cfg.Queue.Ping(ctx); err != nil {
		return err
	}
	e.change.Lock()
	defer e.change.Unlock()
	if e.gone { // it was removed meanwhile, and may be deployed anew
		return hearth.Errorf(hearth.Unavailable, "function %s is being replaced: try again", n.Function)
	}
	if _, err := r.cfg.Queue.Subscribe(ctx, redis.CallbacksOf(n)); err != nil {
		return err
	}
	r.mu.Lock()
	e.callbacks = true
	spec := e.spec
	r.mu.Unlock()
	if e.broken {
		r.cfg.Dispatch.Set(spec, r.onlyCallbacks(spec, true))
	} else {
		r.cfg.Dispatch.Set(spec, r.subscriptions(spec, true))
	}
	return r.tell(ctx, n)
}

// tell lets the other hearths look at a function: they deliver its callbacks too, should this one die.
func (r *Registry) tell(ctx context.Context, n hearth.Name) error {
	_, err := r.cfg.Queue.Tell(ctx, n, r.cfg.Instance)
	return err
}
