package registry

import (
	"context"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// saveTimeout is how long a function that was scaled waits for Redis to know; no other change of it is made
// meanwhile.
const saveTimeout = 3 * time.Second

// Scale sets how many replicas a function has here, for an operator: for Config.KeepByHand nothing but a call
// that wakes it, or another operator, changes that.
func (r *Registry) Scale(ctx context.Context, n hearth.Name, replicas int) error {
	return r.scale(ctx, n, byHand, func(*record) (int, error) { return replicas, nil })
}

// ScaleFrom is Scale for a decision that was made about a function as a change has left it, and goes as far
// as there may be replicas. It returns an error of code Conflict if the function was changed since.
func (r *Registry) ScaleFrom(ctx context.Context, n hearth.Name, change uint64, to int) error {
	return r.scale(ctx, n, "", func(rec *record) (int, error) {
		if rec.told != change {
			return 0, hearth.Errorf(hearth.Conflict, "function %s was changed meanwhile", n.Function)
		}
		return r.upTo(rec.function(), to), nil
	})
}

// ScaleBy is Scale for who decides by rules. It returns an error of code Conflict as long as an operator's
// size is kept.
func (r *Registry) ScaleBy(
	ctx context.Context, n hearth.Name, cause string, want func(hearth.Function) int,
) error {
	return r.scale(ctx, n, cause, func(rec *record) (int, error) {
		f := rec.function()
		replicas := r.upTo(f, want(f))
		if replicas != f.Replicas && r.keeps(rec) {
			return 0, hearth.Errorf(hearth.Conflict,
				"function %s was scaled to %d replicas by hand, which is kept for %v",
				n.Function, f.Replicas, r.cfg.KeepByHand)
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

// keeps reports whether an operator has set a function's size just now.
func (r *Registry) keeps(rec *record) bool { return time.Since(rec.byHand) < r.cfg.KeepByHand }

// byHand is the cause of what an operator does.
const byHand = "by hand"

// scale makes a function as large as is decided about it while nobody else changes it. It does not need
// Redis: a function that is deployed here is woken while Redis is unavailable. cause is for the log; "" if
// the caller logs it.
func (r *Registry) scale(
	ctx context.Context, n hearth.Name, cause string, decide func(*record) (int, error),
) error {
	if _, ok := r.Function(n); !ok {
		_ = r.sync(ctx, n) // another instance may have deployed it just now
	}
	rec := r.find(n)
	if rec == nil {
		return hearth.NotFoundError(n)
	}
	rec.turn.Lock()
	defer rec.turn.Unlock()
	if !rec.deployed() {
		return hearth.NotFoundError(n)
	}
	f := rec.function()
	replicas, err := decide(rec)
	if err != nil || replicas == f.Replicas && cause != byHand {
		return err
	}
	if replicas < 0 || replicas != r.limit(f, replicas) {
		return hearth.Errorf(hearth.Invalid,
			"function %s cannot have %d replicas: want 0 to %d, by its label com.openfaas.scale.max "+
				"and hearth's flags --max-replicas and --max-replicas-all",
			n.Function, replicas, r.limit(f, max(replicas, 0)))
	}
	d := rec.desired
	d.state, d.spec.Replicas = Deployed, replicas
	if err := r.observe(ctx, n, rec, d, cause == byHand); err != nil {
		return err
	}
	switch {
	case cause == byHand:
		rec.byHand = time.Now()
	case f.Replicas == 0: // a call has ended what an operator wanted, or its time is over
		rec.byHand = time.Time{}
	}
	if cause != "" {
		r.cfg.Log.Info("scaled", "function", n.String(), "from", f.Replicas, "to", replicas, "reason", cause)
		r.cfg.Scaled(n, f.Replicas, replicas, cause)
	}
	rec.resized = true
	if err := r.saveSize(ctx, rec); err != nil {
		r.queue.add(n) // it runs as it should, and only a restart would not know
	}
	r.parts.Dispatch.RoomMade(n)
	return nil
}

// Wake gives a function that is scaled to zero a replica. One that has been given replicas by now keeps
// those. The router calls it.
func (r *Registry) Wake(n hearth.Name) { r.wake(n, "a call", false) }

// wake is Wake for a cause. One that is only likely to be called soon is left alone if an operator has just
// scaled it to zero.
func (r *Registry) wake(n hearth.Name, cause string, ahead bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := r.scale(ctx, n, cause, func(rec *record) (int, error) {
		f := rec.function()
		if f.Replicas > 0 || ahead && r.keeps(rec) {
			return f.Replicas, nil
		}
		return r.upTo(f, max(1, r.limit(f, f.MinReplicas))), nil
	})
	if err != nil && hearth.CodeOf(err) != hearth.NotFound {
		r.cfg.Log.Error("could not wake a function", "function", n.String(), "cause", cause, "error", err)
		r.parts.Router.WakeFailed(n, err)
	}
}

// WakeAhead gives those functions a replica that are scaled to zero, and subscribe to what a function emits:
// it has just been called, and they are next. The router calls it.
func (r *Registry) WakeAhead(n hearth.Name) {
	f, ok := r.Function(n)
	if !ok {
		return
	}
	for _, next := range r.asleep(f.Emits) {
		r.wake(next, "a call of "+n.String()+", which emits to it", true)
	}
}

// asleep are the functions that are scaled to zero, of those that subscribe to one of the topics and have not
// paused that.
func (r *Registry) asleep(topics []string) (names []hearth.Name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscribers == nil {
		r.subscribers = map[string][]hearth.Name{}
		for n, rec := range r.records {
			for _, topic := range rec.spec.Topics {
				r.subscribers[topic] = append(r.subscribers[topic], n)
			}
		}
	}
	for _, topic := range topics {
		for _, n := range r.subscribers[topic] {
			rec := r.records[n]
			if rec != nil && rec.state == Deployed && rec.spec.Replicas == 0 && !slices.Contains(names, n) &&
				!r.parts.Dispatch.IsPaused(n, redis.TopicOf(n, topic)) {
				names = append(names, n)
			}
		}
	}
	return names
}

// Updated lets the router and the dispatcher know what replicas a function has. The provider calls it.
func (r *Registry) Updated(n hearth.Name, replicas []hearth.Replica) {
	r.parts.Router.Update(n, replicas)
	r.parts.Dispatch.RoomMade(n)
}
