package registry

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// Start brings back the functions that are deployed, ends the leases of this hearth's former life, and begins to follow what
// other hearths change.
func (r *Registry) Start(ctx context.Context) error {
	instance := r.cfg.Instance
	var err error
	if r.epoch, err = r.cfg.Queue.Epoch(ctx); err != nil {
		return err
	}
	v, err := r.cfg.Queue.Look(ctx)
	if err != nil {
		return err
	}
	r.last = v.Last
	if err := r.cfg.SyncSecrets(ctx); err != nil {
		return err
	}
	made := v.Subscriptions
	r.mu.Lock()
	for n, f := range v.Functions {
		r.functions[n] = &entry{spec: f, callbacks: slices.Contains(made, redis.CallbacksOf(n))}
	}
	functions := maps.Clone(r.functions)
	r.mu.Unlock()
	var wanted []wire.Subscription
	for _, e := range functions {
		wanted = append(wanted, bare(r.subscriptions(e.spec, e.callbacks))...)
	}
	lost, err := r.cfg.Queue.SubscribeAll(ctx, wanted)
	if err != nil && hearth.CodeOf(err) != hearth.Unavailable { // one of them: the others must not suffer for it
		for _, s := range wanted {
			some, err := r.cfg.Queue.SubscribeAll(ctx, []wire.Subscription{s})
			if hearth.CodeOf(err) == hearth.Unavailable {
				return err
			} else if err != nil {
				r.cfg.Log.Error("could not make a consumer group; what is queued there waits until the function is deployed again", "queue", s.String(), "error", err)
			}
			lost = append(lost, some...)
		}
	} else if err != nil {
		return err
	}
	r.warnLost(lost)
	for _, s := range made {
		n, err := r.cfg.Queue.Reclaim(ctx, s, instance)
		if hearth.CodeOf(err) == hearth.Unavailable {
			return err
		} else if err != nil {
			r.cfg.Log.Error("could not take back what was under way when hearth ended; it is delivered again when its leases run out", "queue", s.String(), "error", err)
		}
		if n > 0 {
			r.cfg.Log.Info("calls that were under way when hearth ended are delivered again", "queue", s.String(), "count", n)
		}
		if n, err := hearth.ParseName(s.Group); err == nil && r.find(n) == nil && s == redis.CallbacksOf(n) {
			r.finishCallbacks(n) // its function was removed, but its callers wait
		}
	}
	for _, e := range functions {
		replicas := r.limit(e.spec, e.spec.Replicas) // the bounds may be others than when it was deployed
		r.mu.Lock()
		e.spec.Replicas = replicas
		r.mu.Unlock()
		if err := r.run(ctx, e, e.spec, e.callbacks); err != nil {
			r.mu.Lock()
			e.size = e.spec.Replicas
			e.broken, e.spec.Replicas = true, 0
			r.mu.Unlock()
		}
		r.schedule(ctx, e.spec)
	}
	following, end := context.WithCancel(context.Background())
	r.end = end
	r.work.Go(func() { r.follow(following) })
	return nil
}

// Stop follows no more, and waits for what is being followed until ctx ends. It is safe to call before Start, and twice.
func (r *Registry) Stop(ctx context.Context) {
	r.mu.Lock()
	if !r.stopped {
		r.stopped = true
		close(r.stopping)
	}
	r.mu.Unlock()
	if r.end != nil {
		r.end()
	}
	over := make(chan struct{})
	go func() { defer close(over); r.work.Wait() }()
	given := ctx.Done()
	for {
		r.watch.Interrupt(context.WithoutCancel(ctx)) // again and again: one that comes just before it blocks has no effect
		select {
		case <-over:
			r.abort()
			return
		case <-given:
			r.abort()
			given = nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// finishCallbacks delivers the callbacks that a removed function has left.
func (r *Registry) finishCallbacks(n hearth.Name) {
	r.mu.Lock()
	r.finishing[n] = true
	r.mu.Unlock()
	r.noteLeft(n, redis.CallbacksOf(n))
	r.cfg.Dispatch.Set(hearth.Defaults(n), []dispatch.Subscription{{Subscription: redis.CallbacksOf(n)}})
}

func bare(subs []dispatch.Subscription) []wire.Subscription {
	list := make([]wire.Subscription, len(subs))
	for i, s := range subs {
		list[i] = s.Subscription
	}
	return list
}

func (r *Registry) warnLost(lost []wire.Subscription) {
	for _, s := range lost {
		r.cfg.Log.Error("a consumer group was lost from Redis and is made anew: messages that it had settled, and that another group still waits for, are delivered again",
			"queue", s.String())
	}
}
