package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// resyncEvery is how often all specs are read, also if nobody notes a change.
const resyncEvery = 25 * time.Second

// watchChanges adds the names that other instances have changed to the queue, until ctx ends. Every
// resyncEvery, and whenever Redis was unavailable, it reads everything. So it does no harm to miss a change.
func (r *Registry) watchChanges(ctx context.Context) {
	defer r.watch.Close()
	const shortest, longestWait = 50 * time.Millisecond, 2 * time.Second
	wait := shortest
	var synced time.Time // the last resync; zero if changes since may have been missed
	for ctx.Err() == nil {
		var changes []redis.Change
		var err error
		if time.Since(synced) > resyncEvery || r.suspect.Swap(false) {
			began := time.Now()
			err = r.resync(ctx)
			synced = began
		} else {
			changes, err = r.watch.AwaitChanges(ctx, r.last)
		}
		if err == nil {
			wait = shortest
			err = r.note(ctx, changes)
		}
		if err == nil {
			continue
		}
		if hearth.CodeOf(err) != hearth.Unavailable && ctx.Err() == nil {
			r.cfg.Log.Error("could not follow the other instances", "error", err)
		}
		synced = time.Time{}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, longestWait)
	}
}

// note acts on changes of other instances.
func (r *Registry) note(ctx context.Context, changes []redis.Change) error {
	secrets := false
	for _, c := range changes {
		r.last = c.ID
		switch {
		case c.By == r.cfg.Instance:
		case c.Secret != "":
			secrets = true
		case c.Function == hearth.Name{}: // it left work behind, perhaps
			r.parts.Dispatch.LookAgain()
		default:
			r.queue.add(c.Function)
		}
	}
	if !secrets {
		return nil
	}
	return r.cfg.SyncSecrets(ctx)
}

// forgot reports whether Redis has lost what was deployed: it is not the one that we knew.
func (r *Registry) forgot(v redis.View) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return v.Epoch != r.epoch
}

// resync reads everything, and adds each name to the queue of which something is not as it should be.
func (r *Registry) resync(ctx context.Context) error {
	v, err := r.cfg.Queue.Look(ctx)
	if err != nil {
		return err
	}
	removed, err := r.cfg.Queue.Removed(ctx)
	if err != nil {
		return err
	}
	r.last = v.Last
	if err := r.cfg.SyncSecrets(ctx); err != nil {
		return err
	}
	lost := r.forgot(v)
	names := r.differing(v, unwanted(v, removed), lost)
	if !lost {
		for _, n := range names {
			r.queue.add(n)
		}
		return nil
	}
	r.cfg.Log.Error(
		"Redis has lost its data, and with it the queued calls; saving the functions that run here again")
	for _, n := range names {
		if err := r.sync(ctx, n); err != nil && !errors.Is(err, errDegraded) {
			return err
		}
	}
	epoch, err := r.cfg.Queue.Epoch(ctx) // not before: until then, what is missing is lost and not removed
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.epoch = epoch
	r.mu.Unlock()
	return r.cfg.SyncSecrets(ctx) // once more, to note that they are what this Redis has
}

// differing are the names of which something is not as Redis says. It notes the subscriptions that nobody
// seems to want.
func (r *Registry) differing(
	v redis.View, found map[hearth.Name][]wire.Subscription, lost bool,
) (names []hearth.Name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range slices.Concat(slices.Collect(maps.Keys(found)),
		slices.Collect(maps.Keys(v.Functions))) {
		if r.records[n] == nil {
			r.records[n] = &record{}
		}
	}
	for n, rec := range r.records {
		if v.Unused[n] && !v.Outdated[n] { // what runs goes on: a record that is not used changes nothing
			continue
		}
		rec.found = found[n]
		f, saved := v.Functions[n]
		made := slices.Contains(v.Subscriptions, redis.CallbacksOf(n)) && !rec.callbacks
		if lost || rec.state != Deployed || !saved || !same(rec.spec, f) || len(rec.found) > 0 || made {
			names = append(names, n)
		}
	}
	return names
}

// unwanted are subscriptions in Redis without a function that has them. A function that is being deployed may
// have them soon.
func unwanted(v redis.View, removed map[hearth.Name][]wire.Subscription) map[hearth.Name][]wire.Subscription {
	found := map[hearth.Name][]wire.Subscription{}
	for n, subs := range removed {
		found[n] = subs
	}
	for _, s := range v.Subscriptions {
		if n, err := hearth.ParseName(s.Group); err == nil {
			found[n] = union(found[n], []wire.Subscription{s})
		}
	}
	for n, subs := range found {
		if f, deployed := v.Functions[n]; deployed {
			subs = without(subs, desired{spec: f, callbacks: true}.groups())
		}
		if found[n] = subs; len(subs) == 0 || v.Unused[n] {
			delete(found, n)
		}
	}
	return found
}
