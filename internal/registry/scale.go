package registry

import (
	"context"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

// saveTimeout is how long a function that was scaled waits for Redis to know; no other change of it is made meanwhile.
const saveTimeout = 3 * time.Second

// Scale sets how many replicas a function has here.
func (r *Registry) Scale(ctx context.Context, n hearth.Name, replicas int) error {
	return r.scale(ctx, n, replicas, func(hearth.Function) bool { return true })
}

// ScaleFrom is Scale for a decision that was made about a function with so many replicas, and goes as far as there may be replicas. It
// returns an error of code Conflict if the function has others by now.
func (r *Registry) ScaleFrom(ctx context.Context, n hearth.Name, from, to int) error {
	if f, ok := r.Function(n); ok && to > from {
		to = max(from, r.limit(f, to))
	}
	return r.scale(ctx, n, to, func(f hearth.Function) bool { return f.Replicas == from })
}

// scale is Scale, if a function still is as it has to be.
func (r *Registry) scale(ctx context.Context, n hearth.Name, replicas int, still func(hearth.Function) bool) error {
	e := r.find(n)
	if e == nil && r.followNow(ctx, n) == nil { // another hearth may have deployed it just now
		e = r.find(n)
	}
	if e == nil {
		return router.NotFound(n)
	}
	e.change.Lock()
	defer e.change.Unlock()
	if e.gone {
		return router.NotFound(n)
	}
	f := e.spec
	if !still(f) {
		return hearth.Errorf(hearth.Conflict, "function %s has %d replicas by now", n.Function, f.Replicas)
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
	wasBroken := e.broken
	r.mu.Lock()
	e.spec, e.broken = f, false
	r.mu.Unlock()
	if wasBroken {
		r.cfg.Dispatch.Set(f, r.subscriptions(f, e.callbacks))
	}
	r.autoscale(f)
	save, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := r.cfg.Queue.SaveReplicas(save, f); err != nil {
		// It runs as it should; only a restart would not know. With Redis away, sync calls must still be able to wake it.
		r.cfg.Log.Warn("a function was scaled, but Redis does not know", "function", n.String(), "replicas", replicas, "error", err)
	}
	r.cfg.Dispatch.RoomMade(n)
	return nil
}

// autoscale tells the autoscaler what a function is now.
func (r *Registry) autoscale(f hearth.Function) {
	if r.cfg.Autoscale != nil {
		r.cfg.Autoscale.Set(f)
	}
}

// Wake gives a function that sleeps a replica. One that has been given replicas by now keeps those. The router calls it.
func (r *Registry) Wake(n hearth.Name) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	f, ok := r.Function(n)
	if !ok {
		return
	}
	err := r.ScaleFrom(ctx, n, 0, max(1, r.limit(f, f.MinReplicas())))
	if err != nil && hearth.CodeOf(err) != hearth.Conflict {
		r.cfg.Log.Error("could not wake a function", "function", n.String(), "error", err)
		r.cfg.Router.WakeFailed(n, err)
	}
}

// WakeAhead gives those functions a replica that sleep, and subscribe to what a function emits: it has just been called, and they are
// next. The router calls it.
func (r *Registry) WakeAhead(n hearth.Name) {
	f, ok := r.Function(n)
	if !ok || !r.cfg.Topics {
		return
	}
	for _, next := range r.asleep(f.Emits()) {
		r.Wake(next)
	}
}

// asleep are the functions that sleep, of those that subscribe to one of the topics.
func (r *Registry) asleep(topics []string) (names []hearth.Name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscribers == nil {
		r.subscribers = map[string][]hearth.Name{}
		for n, e := range r.functions {
			for _, topic := range e.spec.Topics() {
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
