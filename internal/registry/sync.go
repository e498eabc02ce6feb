package registry

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

const (
	longest   = 10 * time.Minute       // one sync or change may take
	leaseWait = 500 * time.Millisecond // a sync waits for another instance's change; calls may wait for it
)

// errDegraded is the error of a sync that could not make a function run. It is tried again.
var errDegraded = errors.New("the function cannot run here")

// sync makes a name what is wanted of it. The package comment has the order of the steps, and why.
func (r *Registry) sync(ctx context.Context, n hearth.Name) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	// Before the turn, which a call needs to wake the function: nobody waits with it for a Redis that is
	// unavailable.
	if err := r.cfg.Queue.Ping(ctx); err != nil {
		return err
	}
	rec := r.enter(n)
	defer r.leave(n, rec)
	if err := r.follow(ctx, n, rec); err != nil {
		return err
	}
	if r.mustWrite(rec) {
		end, err := r.lease(ctx, n, rec, leaseWait)
		if err != nil {
			return err
		}
		defer end()
		if err := r.write(ctx, n, rec); err != nil {
			return err
		}
	}
	if err := r.saveSize(ctx, rec); err != nil {
		return err
	}
	if rec.state == Degraded {
		return errDegraded
	}
	return nil
}

// follow reads what is wanted of a name, and lets the observers know. The record's turn is held.
func (r *Registry) follow(ctx context.Context, n hearth.Name, rec *record) error {
	d, err := r.read(ctx, n, rec)
	if err == nil {
		r.run(ctx, n, rec, d)
	}
	return err
}

// read returns what is wanted of a name: what Redis has of it, unless this instance has a newer state that is
// yet to be saved.
func (r *Registry) read(ctx context.Context, n hearth.Name, rec *record) (desired, error) {
	v, err := r.cfg.Queue.LookAt(ctx, n)
	if err != nil {
		return desired{}, err
	}
	lost := r.forgot(v)
	if lost && !r.suspect.Swap(true) {
		r.watch.Interrupt(ctx) // so that all names are read now, and not in half a minute
	}
	d := rec.desired
	r.mu.Lock()
	d.left, rec.found = union(d.left, rec.found), nil
	if d.state == Draining && rec.drain == nil {
		d.state = Left
	}
	r.mu.Unlock()
	if d.state == Degraded {
		d.state = Deployed // it is tried again
	}
	rec.unsure = v.Unused[n] && !v.Outdated[n]
	f, saved := v.Functions[n]
	callbacks := len(v.Subscriptions) > 0
	switch {
	case v.Outdated[n] && d.deployed():
		r.cfg.Log.Warn("replacing an outdated record in Redis", "function", n.String())
		rec.unsaved = true
	case rec.unsure: // what runs goes on
	case saved && d.deployed() && same(d.spec, f):
		d.callbacks, rec.unsaved = d.callbacks || callbacks, false
	case saved && rec.unsaved && f.Generation <= d.spec.Generation: // this instance has a newer state
	case saved:
		d = r.another(ctx, rec, d, f, callbacks)
	case d.deployed() && lost:
		rec.unsaved, rec.anew, d.left = true, true, nil
	case d.deployed():
		r.cfg.Queue.RecordRemoved(n)
		r.forgetFailure(rec)
		r.cfg.Log.Info("following a removal by another instance", "function", n.String())
		d.state, d.left, rec.unsaved = Draining, union(d.left, d.groups()), false
	default:
		rec.unsaved = false
		if callbacks {
			d.left = union(d.left, []wire.Subscription{redis.CallbacksOf(n)})
		}
	}
	if d.deployed() {
		d.left = without(d.left, d.groups())
	} else if d.state == Gone && len(d.left) > 0 {
		d.state = Left
	}
	return d, nil
}

// another is what is wanted when another instance has deployed a spec. The replicas are our own: as many as
// if it had been deployed here.
func (r *Registry) another(
	ctx context.Context, rec *record, d desired, f hearth.Function, callbacks bool,
) desired {
	n := f.Name()
	if err := r.syncSecrets(ctx, f.Secrets); err != nil {
		r.cfg.Log.Warn("could not fetch a function's secrets", "function", n.String(), "error", err)
	}
	r.forgetFailure(rec)
	rec.unsaved = false
	next := desired{state: Deployed, spec: f, callbacks: callbacks, left: d.left}
	next.spec.Replicas = r.limit(f, f.MinReplicas)
	if d.deployed() {
		next.callbacks = callbacks || d.callbacks
		next.spec.Replicas = r.replicas(d.spec, f)
		next.left = union(next.left, d.groups())
	}
	r.cfg.Log.Info("following a deployment of another instance", "function", n.String(), "image", f.Image,
		"replicas", next.spec.Replicas)
	return next
}

// run lets the observers know what is wanted of a name. A function that they refuse is Degraded.
func (r *Registry) run(ctx context.Context, n hearth.Name, rec *record, d desired) {
	was := rec.desired
	err := r.observe(ctx, n, rec, d, false)
	switch {
	case err == nil:
		if was.state == Degraded && d.state == Deployed {
			r.cfg.Log.Info("function can run here again", "function", n.String())
		}
	case was.state == Degraded && same(was.spec, d.spec):
		r.cfg.Log.Debug("function still cannot run here", "function", n.String(), "error", err)
		d.state = Degraded
		_ = r.observe(ctx, n, rec, d, false)
	default:
		r.cfg.Log.Error("function cannot run here; its queued calls wait, or other instances make them",
			"function", n.String(), "error", err)
		d.state = Degraded
		_ = r.observe(ctx, n, rec, d, false) // which nobody refuses
	}
}

// observe lets the observers know what is wanted of a name, and notes it. When it returns an error, which is
// only of a function that is to run, all is as it was. The record's turn is held.
func (r *Registry) observe(ctx context.Context, n hearth.Name, rec *record, d desired, byHand bool) error {
	if d.deployed() {
		if err := r.set(ctx, n, rec, d, byHand); err != nil {
			return err
		}
	}
	r.want(rec, d)
	if !d.deployed() && rec.told != 0 {
		r.delete(n, rec)
	}
	r.deliverCallbacks(n, rec)
	return nil
}

// set gives the observers a function, in their order.
func (r *Registry) set(ctx context.Context, n hearth.Name, rec *record, d desired, byHand bool) error {
	f := Function{
		Function:      d.function(),
		State:         d.state,
		Subscriptions: d.subscriptions(),
		ByHand:        byHand,
	}
	var before *Function // as the observers know it: nothing is wanted of a function that they were not given
	if rec.told != 0 {
		before = &Function{
			Function:      rec.function(),
			State:         rec.state,
			Subscriptions: rec.subscriptions(),
			Change:        rec.told,
		}
	}
	if !rec.anew {
		f.Before = before
	}
	if f.sameRun() && !byHand {
		f.Change = f.Before.Change
	} else {
		f.Change = r.changes.Add(1)
	}
	for i, o := range r.observers {
		err := o.Set(ctx, f)
		if err == nil {
			continue
		}
		for _, o := range r.observers[:i] {
			if before == nil {
				o.Delete(n)
				continue
			}
			restored := *before
			restored.Before = &f
			_ = o.Set(ctx, restored)
		}
		return err
	}
	rec.told, rec.anew = f.Change, false
	return nil
}

// delete lets the observers forget a function, and waits in the background for what ends.
func (r *Registry) delete(n hearth.Name, rec *record) {
	var ending []<-chan struct{}
	for _, o := range slices.Backward(r.observers) {
		if ended := o.Delete(n); ended != nil {
			ending = append(ending, ended)
		}
	}
	rec.told, rec.byHand, rec.resized = 0, time.Time{}, false
	d := &drain{time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.drain = d
	if !r.stopped {
		r.work.Go(func() { r.awaitDrained(n, rec, d, ending) })
	}
}

// awaitDrained waits until a removed function has neither calls nor replicas here, or this instance stops.
func (r *Registry) awaitDrained(n hearth.Name, rec *record, d *drain, ending []<-chan struct{}) {
	for _, ended := range ending {
		select {
		case <-ended:
		case <-r.stopping: // the next life removes what is left
			return
		}
	}
	r.mu.Lock()
	if rec.drain == d {
		rec.drain = nil
	}
	r.mu.Unlock()
	if took := time.Since(d.began); took > time.Second {
		r.cfg.Log.Info("removed function has ended its calls", "function", n.String(),
			"took", took.Round(time.Millisecond))
	}
	r.queue.add(n)
}

// deliverCallbacks lets the dispatcher deliver the callbacks that a removed function has left.
func (r *Registry) deliverCallbacks(n hearth.Name, rec *record) {
	callbacks := redis.CallbacksOf(n)
	left := !rec.deployed() && slices.Contains(rec.left, callbacks)
	switch {
	case left:
		r.parts.Dispatch.Set(hearth.Defaults(n), []dispatch.Subscription{{Subscription: callbacks}})
	case rec.lane && !rec.deployed():
		r.parts.Dispatch.Delete(n)
	}
	rec.lane = left
}

func union(a, b []wire.Subscription) []wire.Subscription {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func without(a, b []wire.Subscription) []wire.Subscription {
	return slices.DeleteFunc(slices.Clone(a), func(s wire.Subscription) bool { return slices.Contains(b, s) })
}
