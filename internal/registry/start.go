package registry

import (
	"context"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// Start brings back the functions that are deployed, ends the leases of this instance's former life, and
// begins to follow what other instances change.
func (r *Registry) Start(ctx context.Context) error {
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
	wanted := map[hearth.Name]desired{}
	var groups []wire.Subscription
	r.mu.Lock()
	for n, f := range v.Functions {
		d := desired{
			state:     Deployed,
			spec:      f,
			callbacks: slices.Contains(v.Subscriptions, redis.CallbacksOf(n)),
		}
		wanted[n], groups = d, append(groups, d.groups()...)
		r.records[n] = &record{desired: d}
	}
	r.mu.Unlock()
	if err := r.subscribe(ctx, groups); err != nil {
		return err
	}
	if err := r.reclaim(ctx, v.Subscriptions); err != nil {
		return err
	}
	for n, d := range wanted {
		if err := r.syncSecrets(ctx, d.spec.Secrets); err != nil {
			r.cfg.Log.Warn("could not fetch a function's secrets", "function", n.String(), "error", err)
		}
		// The bounds may have changed since it was deployed.
		d.spec.Replicas = r.limit(d.spec, d.spec.Replicas)
		rec := r.enter(n)
		r.run(ctx, n, rec, d)
		r.leave(n, rec)
	}
	following, end := context.WithCancel(context.Background())
	r.end = end
	r.work.Go(func() { r.watchChanges(following) })
	return nil
}

// subscribe makes sure that all groups are there. One that cannot be made is no reason that others are not.
func (r *Registry) subscribe(ctx context.Context, groups []wire.Subscription) error {
	lost, err := r.cfg.Queue.SubscribeAll(ctx, groups)
	r.warnLost(lost)
	if err == nil || hearth.CodeOf(err) == hearth.Unavailable {
		return err
	}
	for _, s := range groups {
		lost, err := r.cfg.Queue.SubscribeAll(ctx, []wire.Subscription{s})
		if hearth.CodeOf(err) == hearth.Unavailable {
			return err
		} else if err != nil {
			r.cfg.Log.Error(
				"could not make a consumer group; its queue waits until the function is deployed again",
				"queue", s.String(), "error", err)
		}
		r.warnLost(lost)
	}
	return nil
}

// reclaim ends the leases of this instance's former life.
func (r *Registry) reclaim(ctx context.Context, subs []wire.Subscription) error {
	for _, s := range subs {
		n, err := r.cfg.Queue.Reclaim(ctx, s, r.cfg.Instance)
		if hearth.CodeOf(err) == hearth.Unavailable {
			return err
		} else if err != nil {
			r.cfg.Log.Error(
				"could not end the leases of the last run; calls are delivered again when they run out",
				"queue", s.String(), "error", err)
		}
		if n > 0 {
			r.cfg.Log.Info("delivering calls of the last run again", "queue", s.String(), "count", n)
		}
	}
	return nil
}

// Stop follows no more, and waits for the syncs under way until ctx ends. It is safe to call before Start,
// and twice.
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
	synced := r.queue.close()
	go func() { defer close(over); r.work.Wait(); <-synced }()
	given := ctx.Done()
	for {
		r.watch.Interrupt(context.WithoutCancel(ctx)) // repeated, as one just before it blocks has no effect
		select {
		case <-over:
			r.queue.abort()
			return
		case <-given:
			r.queue.abort()
			given = nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}
