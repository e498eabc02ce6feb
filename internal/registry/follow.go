package registry

import (
	"context"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

const (
	longest   = 10 * time.Minute // that one change of a function may take: a removal drains
	lookEvery = 25 * time.Second // all specs are read, also if nobody tells of a change
)

// follow does what other hearths of this Redis have changed, until ctx ends. A change that is told names a function, whose spec
// is then read; and every half a minute, and whenever Redis was away, all specs are. So it does no harm to miss one.
func (r *Registry) follow(ctx context.Context) {
	defer r.watch.Close()
	const shortest, longestWait = 50 * time.Millisecond, 2 * time.Second
	wait := shortest
	var looked time.Time // when all specs were read; zero if what is told since may have been missed
	for ctx.Err() == nil {
		var changes []redis.Change
		var err error
		if time.Since(looked) > lookEvery || r.suspect.Swap(false) {
			began := time.Now()
			err = r.reconcile(ctx)
			looked = began
		} else {
			changes, err = r.watch.AwaitChanges(ctx, r.last)
		}
		if err != nil {
			if hearth.CodeOf(err) != hearth.Unavailable && ctx.Err() == nil {
				r.cfg.Log.Error("could not see what other hearths have deployed", "error", err)
			}
			looked = time.Time{}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			wait = min(2*wait, longestWait)
			continue
		}
		wait = shortest
		secrets := false
		for _, c := range changes {
			r.last = c.ID
			switch {
			case c.By == r.cfg.Instance:
			case c.Secret != "":
				secrets = true
			case c.Function == hearth.Name{}: // it left work behind, perhaps
				r.cfg.Dispatch.LookAgain()
			default:
				r.followLater(c.Function)
			}
		}
		if secrets {
			if err := r.cfg.SyncSecrets(ctx); err != nil && ctx.Err() == nil {
				r.cfg.Log.Error("could not take over the secrets of another hearth", "error", err)
				looked = time.Time{}
			}
		}
	}
}

// forgot tells whether Redis has lost what was deployed: it is not the one that we knew.
func (r *Registry) forgot(v redis.View) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return v.Epoch != r.epoch
}

// reconcile looks at all specs, and follows those that are others than ours.
func (r *Registry) reconcile(ctx context.Context) error {
	v, err := r.cfg.Queue.Look(ctx)
	if err != nil {
		return err
	}
	removed, err := r.cfg.Queue.Removed(ctx)
	if err != nil {
		return err
	}
	lost := r.forgot(v)
	names := map[hearth.Name]bool{}
	r.mu.RLock()
	for n, e := range r.functions {
		f, ok := v.Functions[n]
		if v.Unused[n] && !v.Outdated[n] { // what runs goes on: a record that is not used changes nothing
			continue
		}
		if e.gone || !ok || !same(e.spec, f) || e.broken || lost {
			names[n] = true
		}
	}
	for n := range v.Functions {
		if r.functions[n] == nil {
			names[n] = true
		}
	}
	r.mu.RUnlock()
	r.mu.Lock()
	for n, subs := range removed { // perhaps by a hearth that is no more
		if _, deployed := v.Functions[n]; !deployed && r.left[n] == nil {
			r.left[n] = subs
		}
	}
	for n := range r.left {
		names[n] = true
	}
	r.mu.Unlock()
	for _, s := range v.Subscriptions { // of callbacks that another hearth has made
		if n, err := hearth.ParseName(s.Group); err == nil && s == redis.CallbacksOf(n) && !r.hasCallbacks(n) {
			names[n] = true
		}
	}
	r.last = v.Last
	if err := r.cfg.SyncSecrets(ctx); err != nil {
		return err
	}
	if !lost {
		for n := range names {
			r.followLater(n)
		}
		return nil
	}
	r.cfg.Log.Error("Redis has lost what it had; the functions that run here are deployed to it again, but what was queued for them is lost")
	for n := range names {
		if err := r.followNow(ctx, n); err != nil {
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

// same tells whether two specs were made by one deployment.
func same(a, b hearth.Function) bool {
	return a.Revision == b.Revision && a.DeployedAt.Equal(b.DeployedAt)
}

func (r *Registry) hasCallbacks(n hearth.Name) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e := r.functions[n]; e != nil {
		return e.callbacks
	}
	return r.finishing[n]
}

// followLater follows what became of a function, without waiting for it: a removal drains. One that waits to look will see
// what is told meanwhile.
func (r *Registry) followLater(n hearth.Name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looking[n] || r.stopped {
		return
	}
	r.looking[n] = true
	r.work.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, longest)
		defer cancel()
		if err := r.followNow(ctx, n); err != nil && hearth.CodeOf(err) != hearth.Unavailable {
			r.cfg.Log.Error("could not follow another hearth", "function", n.String(), "error", err)
		}
	})
}

// followNow makes a function what Redis says.
func (r *Registry) followNow(ctx context.Context, n hearth.Name) error {
	e := r.enter(n)
	defer r.leave(n, e)
	r.mu.Lock()
	delete(r.looking, n) // from here on, what is told is looked at once more
	r.mu.Unlock()
	if err := r.catchUp(ctx, n, e); err != nil {
		return err
	}
	return r.tidy(ctx, n, e)
}

// catchUp is followNow for a function whose change has begun.
func (r *Registry) catchUp(ctx context.Context, n hearth.Name, e *entry) error {
	v, err := r.cfg.Queue.LookAt(ctx, n)
	if err != nil {
		return err
	}
	f, deployed := v.Functions[n]
	callbacks := len(v.Subscriptions) > 0
	if r.forgot(v) && !r.suspect.Swap(true) {
		r.watch.Interrupt(ctx) // and look at all the others, now or in half a minute
	}
	switch {
	case v.Outdated[n] && !e.gone:
		r.cfg.Log.Warn("an old record of a function was in Redis, and is replaced by the present one", "function", n.String())
		return r.cfg.Queue.SaveFunction(ctx, e.spec, r.cfg.Instance)
	case v.Unused[n] && !e.gone: // what runs goes on
		return nil
	case !deployed && e.gone:
		if callbacks {
			r.finishCallbacks(n)
		}
		return nil
	case !deployed && r.forgot(v):
		return r.restore(ctx, e)
	case !deployed:
		r.followRemoval(n, e, callbacks)
		return nil
	case !e.gone && same(e.spec, f):
		return r.complete(ctx, e, callbacks)
	}
	r.followDeployment(ctx, e, f, callbacks)
	return nil
}

// followDeployment makes a deployment of another hearth so. The replicas are our own: as many as if it had been made here.
func (r *Registry) followDeployment(ctx context.Context, e *entry, f hearth.Function, callbacks bool) {
	f.Replicas = r.limit(f, f.MinReplicas)
	if !e.gone {
		callbacks = callbacks || e.callbacks
		f.Replicas = r.replicas(e.spec, f)
	}
	err := r.run(ctx, e, f, callbacks)
	r.mu.Lock()
	e.spec, e.gone, e.callbacks, e.broken = f, false, callbacks, err != nil
	r.subscribers = nil
	if err != nil {
		e.size, e.spec.Replicas = f.Replicas, 0
	}
	r.back(f.Name())
	r.mu.Unlock()
	r.schedule(ctx, f) // also if it cannot run here: its call waits for a hearth where it can
	if err == nil {
		r.cfg.Log.Info("another hearth has deployed a function; it runs here too", "function", f.Name().String(), "image", f.Image, "replicas", f.Replicas)
	}
}

// schedule lets the function be called by the clock, if it says so.
func (r *Registry) schedule(ctx context.Context, f hearth.Function) {
	r.cfg.Cron.Set(ctx, f)
}

// run makes a spec so that is kept already. A function that cannot run here takes no queued calls, which another hearth may be able
// to make; it is tried again with the next call, and every half a minute.
func (r *Registry) run(ctx context.Context, e *entry, f hearth.Function, callbacks bool) error {
	if err := r.syncSecrets(ctx, f.Secrets); err != nil {
		r.cfg.Log.Warn("could not fetch a function's secrets", "function", f.Name().String(), "error", err)
	}
	r.cfg.Router.Set(f)
	err := r.cfg.Provider.Apply(ctx, f)
	if err == nil {
		r.cfg.Dispatch.Set(f, r.subscriptions(f, callbacks))
		r.autoscale(e, f, false)
		return nil
	}
	r.cfg.Log.Error("a deployed function cannot run here, so its queued calls wait, or are made by another hearth; it is tried again when it is called",
		"function", f.Name().String(), "error", err)
	f.Replicas = 0
	r.cfg.Dispatch.Set(f, r.onlyCallbacks(f, callbacks))
	r.cfg.Provider.Remove(f.Name()) // replicas of an earlier spec
	r.cfg.Router.Set(f)
	r.autoscale(e, f, false)
	return err
}

// complete does what is missing of a function whose spec is ours.
func (r *Registry) complete(ctx context.Context, e *entry, callbacks bool) error {
	if callbacks && !e.callbacks {
		r.mu.Lock()
		e.callbacks = true
		r.mu.Unlock()
	}
	if !e.broken {
		r.cfg.Dispatch.Set(e.spec, r.subscriptions(e.spec, e.callbacks))
		return nil
	}
	f := e.spec
	f.Replicas = r.limit(f, e.size)
	if err := r.cfg.Provider.Apply(ctx, f); err != nil {
		r.cfg.Log.Debug("a deployed function still cannot run here", "function", f.Name().String(), "error", err)
		return nil
	}
	r.cfg.Router.Set(f)
	r.cfg.Dispatch.Set(f, r.subscriptions(f, e.callbacks))
	r.autoscale(e, f, false)
	r.mu.Lock()
	e.spec, e.broken = f, false
	r.mu.Unlock()
	r.cfg.Log.Info("a function that could not run here does now", "function", f.Name().String())
	return nil
}

// followRemoval removes a function that another hearth has removed. Its subscriptions are removed by whoever finds them empty first: it
// is told when the calls that we have are settled.
func (r *Registry) followRemoval(n hearth.Name, e *entry, callbacks bool) {
	r.cfg.Queue.RecordRemoved(n)
	r.stopRunning(n, e, func(ctx context.Context) {
		if err := r.tell(ctx, n); err != nil && hearth.CodeOf(err) != hearth.Unavailable {
			r.cfg.Log.Error("could not tell that the calls of a removed function have ended", "function", n.String(), "error", err)
		}
	})
	r.cfg.Log.Info("another hearth has removed a function", "function", n.String())
	if callbacks {
		r.finishCallbacks(n)
	}
}

// restore keeps a function again that Redis has lost.
func (r *Registry) restore(ctx context.Context, e *entry) error {
	subs := r.subscriptions(e.spec, e.callbacks)
	lost, err := r.cfg.Queue.SubscribeAll(ctx, bare(subs))
	if err != nil {
		return err
	}
	r.warnLost(lost)
	if err := r.cfg.Queue.SaveFunction(ctx, e.spec, r.cfg.Instance); err != nil {
		return err
	}
	if !e.broken {
		r.cfg.Dispatch.Set(e.spec, subs)
	}
	r.schedule(ctx, e.spec)
	return nil
}

// tidy removes subscriptions that a removed function has left: those that are empty by now. When it was removed, replicas here or of other
// hearths were still working on the last entries.
func (r *Registry) tidy(ctx context.Context, n hearth.Name, e *entry) error {
	r.mu.RLock()
	left := r.left[n]
	r.mu.RUnlock()
	if len(left) == 0 || !e.gone {
		return nil
	}
	end, err := r.cfg.Queue.BeginChange(ctx, n, r.cfg.Instance)
	if err != nil {
		return err
	}
	defer end()
	if err := r.catchUp(ctx, n, e); err != nil || !e.gone { // another hearth may have deployed it meanwhile
		return err
	}
	var stay []wire.Subscription
	for _, s := range left {
		done, err := r.cfg.Queue.Unsubscribe(ctx, s, false)
		if err != nil {
			return err
		}
		if !done {
			stay = append(stay, s)
		}
	}
	if len(stay) < len(left) {
		r.leaveBehind(ctx, n, stay)
	}
	if !slices.Contains(stay, redis.CallbacksOf(n)) {
		r.mu.Lock()
		delete(r.finishing, n)
		r.mu.Unlock()
		r.cfg.Dispatch.Delete(n)
	}
	return nil
}

// leaveBehind notes the subscriptions that a removed function has left, here and for the hearth that comes after this one. Its change must
// have begun.
func (r *Registry) leaveBehind(ctx context.Context, n hearth.Name, subs []wire.Subscription) {
	r.mu.Lock()
	if len(subs) == 0 {
		delete(r.left, n)
	} else {
		r.left[n] = slices.Clone(subs)
	}
	r.mu.Unlock()
	if err := r.cfg.Queue.LeftBehind(ctx, n, subs); err != nil { // then somebody looks in vain, and notes it anew
		r.cfg.Log.Debug("could not note what a removed function has left", "function", n.String(), "error", err)
	}
}

// noteLeft adds to what a removed function has left.
func (r *Registry) noteLeft(n hearth.Name, s wire.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.left[n], s) {
		r.left[n] = append(slices.Clone(r.left[n]), s)
	}
}

// back forgets what was left of a function when it was removed. r.mu is held.
func (r *Registry) back(n hearth.Name) {
	delete(r.left, n)
	delete(r.finishing, n)
}
