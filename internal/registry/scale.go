package registry

import (
	"context"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// saveTimeout is how long a function that was scaled waits for Redis to know; no other change of it is made meanwhile.
const saveTimeout = 3 * time.Second

// Scale sets how many replicas a function has here, for an operator: for Config.KeepByHand nothing but a call that wakes it, or another
// operator, changes that.
func (r *Registry) Scale(ctx context.Context, n hearth.Name, replicas int) error {
	return r.scale(ctx, n, byHand, func(*entry) (int, error) { return replicas, nil })
}

// ScaleFrom is Scale for a decision that was made about a function as a change has left it, and goes as far as there may be replicas. It
// returns an error of code Conflict if the function was changed since.
func (r *Registry) ScaleFrom(ctx context.Context, n hearth.Name, change uint64, to int) error {
	return r.scale(ctx, n, "", func(e *entry) (int, error) {
		if e.changed != change {
			return 0, hearth.Errorf(hearth.Conflict, "function %s was changed meanwhile", n.Function)
		}
		return r.upTo(e.spec, to), nil
	})
}

// ScaleBy is Scale for who decides by rules. It returns an error of code Conflict as long as an operator's size is kept.
func (r *Registry) ScaleBy(ctx context.Context, n hearth.Name, cause string, want func(hearth.Function) (replicas int)) error {
	return r.scale(ctx, n, cause, func(e *entry) (int, error) {
		replicas := r.upTo(e.spec, want(e.spec))
		if replicas != e.spec.Replicas && r.keeps(e) {
			return 0, hearth.Errorf(hearth.Conflict, "function %s was scaled to %d replicas by hand, which is kept for %v", n.Function, e.spec.Replicas, r.cfg.KeepByHand)
		}
		return replicas, nil
	})
}

// upTo is so many replicas, or as many more of them than there are as there may be.
func (r *Registry) upTo(f hearth.Function, replicas int) int {
	if replicas > f.Replicas {
		return max(f.Replicas, r.limit(f, replicas))
	}
	return replicas
}

// keeps tells whether an operator has set a function's size just now.
func (r *Registry) keeps(e *entry) bool { return time.Since(e.byHand) < r.cfg.KeepByHand }

// byHand is the cause of what an operator does.
const byHand = "by hand"

// scale makes a function as large as is decided about it while nobody else changes it. cause is for the log; "" if the caller logs it.
func (r *Registry) scale(ctx context.Context, n hearth.Name, cause string, decide func(*entry) (replicas int, err error)) error {
	e := r.find(n)
	if e == nil && r.followNow(ctx, n) == nil { // another hearth may have deployed it just now
		e = r.find(n)
	}
	if e == nil {
		return hearth.NotFoundError(n)
	}
	e.change.Lock()
	defer e.change.Unlock()
	if e.gone {
		return hearth.NotFoundError(n)
	}
	f := e.spec
	replicas, err := decide(e)
	if err != nil || replicas == f.Replicas && cause != byHand {
		return err
	}
	if replicas < 0 || replicas != r.limit(f, replicas) {
		return hearth.Errorf(hearth.Invalid, "function %s cannot have %d replicas: want 0 to %d, by its label com.openfaas.scale.max and hearth's flags --max-replicas and --max-replicas-all",
			n.Function, replicas, r.limit(f, max(replicas, 0)))
	}
	f.Replicas = replicas
	r.cfg.Router.Set(f)
	if err := r.cfg.Provider.Apply(ctx, f); err != nil {
		r.cfg.Router.Set(e.spec) // so that the next call wakes it, if it sleeps
		return err
	}
	wasBroken, from := e.broken, e.spec.Replicas
	r.mu.Lock()
	e.spec, e.broken = f, false
	r.mu.Unlock()
	switch {
	case cause == byHand:
		e.byHand = time.Now()
	case from == 0: // a call has ended what an operator wanted, or its time is over
		e.byHand = time.Time{}
	}
	if wasBroken {
		r.cfg.Dispatch.Set(f, r.subscriptions(f, e.callbacks))
	}
	r.autoscale(e, f, cause == byHand)
	if cause != "" {
		r.cfg.Log.Info("scaled", "function", n.String(), "from", from, "to", replicas, "reason", cause)
	}
	save, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := r.cfg.Queue.SaveReplicas(save, f); err != nil {
		// It runs as it should; only a restart would not know. With Redis away, sync calls must still be able to wake it.
		r.cfg.Log.Warn("a function was scaled, but Redis does not know", "function", n.String(), "replicas", replicas, "error", err)
	}
	r.cfg.Dispatch.RoomMade(n)
	return nil
}

// autoscale tells the autoscaler what a function is now. e.change is held.
func (r *Registry) autoscale(e *entry, f hearth.Function, byHand bool) {
	e.changed = r.changes.Add(1)
	switch {
	case r.cfg.Autoscale == nil:
	case byHand:
		r.cfg.Autoscale.SetByHand(f, e.changed)
	default:
		r.cfg.Autoscale.Set(f, e.changed)
	}
}

// Wake gives a function that sleeps a replica. One that has been given replicas by now keeps those. The router calls it.
func (r *Registry) Wake(n hearth.Name) { r.wake(n, "a call", false) }

// wake is Wake for a cause. One that is only likely to be called soon is left asleep if an operator has just made it so.
func (r *Registry) wake(n hearth.Name, cause string, ahead bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := r.scale(ctx, n, cause, func(e *entry) (int, error) {
		if e.spec.Replicas > 0 || ahead && r.keeps(e) {
			return e.spec.Replicas, nil
		}
		return r.upTo(e.spec, max(1, r.limit(e.spec, e.spec.MinReplicas))), nil
	})
	if err != nil && hearth.CodeOf(err) != hearth.NotFound {
		r.cfg.Log.Error("could not wake a function", "function", n.String(), "cause", cause, "error", err)
		r.cfg.Router.WakeFailed(n, err)
	}
}

// WakeAhead gives those functions a replica that sleep, and subscribe to what a function emits: it has just been called, and they are
// next. The router calls it.
func (r *Registry) WakeAhead(n hearth.Name) {
	f, ok := r.Function(n)
	if !ok {
		return
	}
	for _, next := range r.asleep(f.Emits) {
		r.wake(next, "a call of "+n.String()+", which emits to it", true)
	}
}

// asleep are the functions that sleep, of those that subscribe to one of the topics.
func (r *Registry) asleep(topics []string) (names []hearth.Name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscribers == nil {
		r.subscribers = map[string][]hearth.Name{}
		for n, e := range r.functions {
			for _, topic := range e.spec.Topics {
				r.subscribers[topic] = append(r.subscribers[topic], n)
			}
		}
	}
	for _, topic := range topics {
		for _, n := range r.subscribers[topic] {
			if e := r.functions[n]; e != nil && !e.gone && !e.broken && e.spec.Replicas == 0 && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// Updated is told by the provider what replicas a function has.
func (r *Registry) Updated(n hearth.Name, replicas []hearth.Replica) {
	r.cfg.Router.Update(n, replicas)
	r.cfg.Dispatch.RoomMade(n)
}
