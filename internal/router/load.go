package router

import (
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Load is what a function has to do.
type Load struct {
	Calls     uint64 // that came, ever
	InFlight  int
	Held      int
	Known     int    // replicas, of all revisions
	Available int    // of these, that are ready
	Failing   string // why none is

	ReplicaTime time.Duration // that its replicas have lived, together, since it was deployed or this hearth began
}

// Timeout is how long a call of a function may take. ok is false if there is no such function.
func (r *Router) Timeout(n hearth.Name) (d time.Duration, ok bool) {
	fn := r.route(n)
	if fn == nil {
		return 0, false
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	return fn.timeout, true
}

// Room is how many queued calls a function may be given at once: its replicas, or the one that would wake, times what each
// takes.
func (r *Router) Room(n hearth.Name) int {
	fn := r.route(n)
	if fn == nil {
		return 0
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	accepting := 0
	for _, t := range fn.replicas {
		if t.Accepting {
			accepting++
		}
	}
	return max(1, accepting) * fn.concurrency
}

// Load is a function's. ok is false if there is no such function.
func (r *Router) Load(n hearth.Name) (l Load, ok bool) {
	fn := r.route(n)
	if fn == nil {
		return l, false
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.countReplicas()
	l = Load{ReplicaTime: fn.replicaTime, Calls: fn.calls, Held: fn.held, Failing: fn.failing, Known: len(fn.replicas)}
	for _, t := range fn.replicas {
		l.InFlight += t.inflight
		if t.Ready {
			l.Available++
		}
	}
	return l, true
}
