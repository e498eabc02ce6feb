package router

import (
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Load is what a function has to do.
type Load struct {
	Calls     uint64 // that came, ever
	InFlight  int    // that replicas have, also those that end
	Ending    int    // of these, that replicas have which take no more
	Held      int    // that wait for a replica
	Known     int    // replicas, of all revisions, that are not ending
	Available int    // of these, that are ready
	Draining  int    // replicas that are ending, and still have calls
	Failing   string // why one of them cannot start
	Proven    bool   // one has been ready before, so another may help

	Restarts uint64       // of replicas that ended by themselves, since the function was deployed or this hearth began
	LastExit *hearth.Exit // the last of these; nil if there was none

	// What time was spent on, since the function was deployed or this hearth began: a mean is the difference of two.
	ReplicaTime time.Duration // that its replicas have lived, together
	BusyTime    time.Duration // InFlight over time
	LoadTime    time.Duration // InFlight and Held over time
}

// count adds the time up to now, as long as all was as it is. It comes before each change of the replicas, and of how many calls
// are in flight or held. fn.mu is held.
func (fn *route) count(now time.Time) {
	passed := now.Sub(fn.countedAt)
	if passed <= 0 { // another goroutine's now was later
		return
	}
	fn.countedAt = now
	fn.replicaTime += time.Duration(len(fn.replicas)) * passed
	fn.busyTime += time.Duration(fn.inflight) * passed
	fn.loadTime += time.Duration(fn.inflight+fn.waiting.Len()) * passed
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

// Room is how many queued calls a function may have at once: its replicas, or the one that would wake, times what each takes; and
// beside these the calls that replicas have which take no more, as they keep the others from nothing.
func (r *Router) Room(n hearth.Name) int {
	r.mu.RLock()
	fn, draining := r.functions[n], r.draining[n]
	r.mu.RUnlock()
	if fn == nil {
		return 0
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	accepting, elsewhere := 0, fn.queued
	for _, t := range fn.replicas {
		if t.Accepting {
			accepting++
			elsewhere -= t.queued
		}
	}
	for _, old := range draining {
		elsewhere += old.queuedCalls()
	}
	return max(1, accepting)*fn.concurrency + elsewhere
}

// queuedCalls is how many calls from queues a function has.
func (fn *route) queuedCalls() int {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	return fn.queued
}

// noteQueued counts a call that a replica has been given, or has ended, if it is of a queue.
func (fn *route) noteQueued(t *target, o Open, change int) {
	if o.Queued {
		fn.mu.Lock()
		defer fn.mu.Unlock()
		t.queued += change
		fn.queued += change
	}
}

// Draining is how many replicas are ending and still have calls: of a function, and of those of its name that were removed.
func (r *Router) Draining(n hearth.Name) (replicas int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if fn := r.functions[n]; fn != nil {
		replicas += fn.load().Draining
	}
	for _, fn := range r.draining[n] {
		replicas += fn.load().Draining
	}
	return replicas
}

// Load is a function's. ok is false if there is no such function.
func (r *Router) Load(n hearth.Name) (l Load, ok bool) {
	fn := r.route(n)
	if fn == nil {
		return l, false
	}
	return fn.load(), true
}

// load is what the function has to do.
func (fn *route) load() Load {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.count(time.Now())
	l := Load{ReplicaTime: fn.replicaTime, BusyTime: fn.busyTime, LoadTime: fn.loadTime, Calls: fn.calls, InFlight: fn.inflight, Ending: fn.inflight,
		Held: fn.waiting.Len(), Failing: fn.failing, Restarts: fn.restarts, LastExit: fn.lastExit}
	for _, t := range fn.replicas {
		switch {
		case !t.Ending:
			l.Known++
		case t.inflight > 0:
			l.Draining++
		}
		if t.Accepting {
			l.Ending -= t.inflight
		}
		if t.Ready {
			l.Available++
		}
		l.Proven = l.Proven || t.Ready || t.Proven && !t.Ending
	}
	return l
}
