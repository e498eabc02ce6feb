package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A drain is a function that was removed and whose replicas here still have calls.
type drain struct {
	spec hearth.Function
}

// Delete removes a function. When it returns, nothing deploys it again, and it takes no more calls. Its replicas finish the calls that
// they have by themselves.
func (r *Registry) Delete(ctx context.Context, n hearth.Name) error {
	e, end, err := r.begin(ctx, n)
	if err != nil {
		return err
	}
	defer end()
	if e.gone {
		if _, unused := r.cfg.Queue.Bad(redis.KindFunction, n.String()); !unused {
			return hearth.NotFoundError(n)
		}
		if err := r.cfg.Queue.DeleteFunction(ctx, n, nil, r.cfg.Instance); err != nil { // a record that was never used here
			return err
		}
		return r.cfg.Queue.LeftBehind(ctx, n, nil)
	}
	subs := r.subscriptions(e.spec, e.callbacks)
	if err := r.cfg.Queue.DeleteFunction(ctx, n, bare(subs), r.cfg.Instance); err != nil {
		return err
	}
	r.cfg.Cron.Delete(ctx, n)
	r.stopRunning(n, e, nil)
	stayed := r.unsubscribe(ctx, subs, nil, false)
	r.leaveBehind(ctx, n, stayed)
	if slices.Contains(stayed, redis.CallbacksOf(n)) {
		r.finishCallbacks(n)
	}
	r.cfg.Log.Info("removed", "function", n.String())
	return nil
}

// stopRunning lets a function take no more calls, and begins to end all of it that is here. When its last call is settled and its last
// replica has ended, it calls then, and looks at what the function has left.
func (r *Registry) stopRunning(n hearth.Name, e *entry, then func(context.Context)) {
	d := &drain{spec: e.spec}
	r.mu.Lock()
	e.gone = true
	r.drains[n] = d
	r.mu.Unlock()
	r.cfg.Cron.Forget(n)
	if r.cfg.Autoscale != nil {
		r.cfg.Autoscale.Delete(n)
	}
	settled := r.cfg.Dispatch.Delete(n)
	r.cfg.Router.Delete(n)
	gone := r.cfg.Provider.Remove(n)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		r.work.Go(func() { r.awaitDrained(n, d, then, gone, settled) })
	}
}

// awaitDrained waits until a removed function has neither calls nor replicas here, or this hearth stops.
func (r *Registry) awaitDrained(n hearth.Name, d *drain, then func(context.Context), over ...<-chan struct{}) {
	began := time.Now()
	for _, one := range over {
		select {
		case <-one:
		case <-r.stopping: // the next life removes what is left
			return
		}
	}
	r.mu.Lock()
	if r.drains[n] == d {
		delete(r.drains, n)
	}
	r.mu.Unlock()
	if took := time.Since(began); took > time.Second {
		r.cfg.Log.Info("removed function has ended its calls", "function", n.String(), "took", took.Round(time.Millisecond))
	}
	if then != nil {
		then(r.ctx)
	}
	r.followLater(n)
}

// Draining are the functions of a namespace that were removed and still have calls or replicas here, by name, but for those that were
// deployed again.
func (r *Registry) Draining(namespace string) []hearth.Function {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := []hearth.Function{}
	for n, d := range r.drains {
		if e := r.functions[n]; n.Namespace == namespace && (e == nil || e.gone) {
			list = append(list, d.spec)
		}
	}
	slices.SortFunc(list, func(a, b hearth.Function) int { return strings.Compare(a.Service, b.Service) })
	return list
}

// Spec is that of a function that is deployed, or else of one that was removed and still drains.
func (r *Registry) Spec(n hearth.Name) (f hearth.Function, draining, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if e := r.functions[n]; e != nil && !e.gone {
		return e.spec, false, true
	}
	if d := r.drains[n]; d != nil {
		return d.spec, true, true
	}
	return f, false, false
}
