package router

import (
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Load is the state of a function and what it has done.
type Load struct {
	Calls     uint64 // in all
	InFlight  int    // calls that replicas have
	Ending    int    // of these, calls of replicas that take no more calls
	Held      int    // calls that wait for a replica
	Known     int    // replicas of all revisions that are not ending
	Available int    // of these, ready ones
	Busy      int    // of the ready ones, those that have calls
	Draining  int    // replicas that are ending and still have calls
	Failing   string // why a replica cannot start, or ""
	Proven    bool   // a replica has been ready, so another one may help

	Restarts uint64       // crashes of replicas since the function was deployed or this instance started
	LastExit *hearth.Exit // the last crash, or nil

	// Sums of time since the function was deployed or this instance started. The difference of two Loads
	// gives a mean.
	ReplicaTime time.Duration // of all replicas together
	BusyTime    time.Duration // InFlight over time
	LoadTime    time.Duration // InFlight and Held over time
}

// count adds the time since it was last called to the sums. It must be called before each change of the
// replicas, or of the calls in flight or held. fn.mu is held.
func (fn *route) count(now time.Time) {
	passed := now.Sub(fn.countedAt)
	if passed <= 0 { // another goroutine has counted up to a later time
		return
	}
	fn.countedAt = now
	fn.replicaTime += time.Duration(len(fn.replicas)) * passed
	fn.busyTime += time.Duration(fn.inflight) * passed
	fn.loadTime += time.Duration(fn.inflight+fn.waiting.Len()) * passed
}

// Timeout returns how long a call of a function may take. ok is false if there is no such function.
func (r *Router) Timeout(n hearth.Name) (d time.Duration, ok bool) {
	fn := r.route(n)
	if fn == nil {
		return 0, false
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	return fn.timeout, true
}

// Room returns how many queued calls a function may have at once: the number of its replicas, at least one,
// times what each takes, plus the calls of replicas that take no more calls, since these take no room from
// the others.
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

// queuedCalls returns how many calls from queues a function has.
func (fn *route) queuedCalls() int {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	return fn.queued
}

// countQueued counts a call that a replica gets or has ended, if it is from a queue.
func (fn *route) countQueued(t *target, o Open, change int) {
	if o.Queued {
		fn.mu.Lock()
		defer fn.mu.Unlock()
		t.queued += change
		fn.queued += change
	}
}

// Draining returns how many replicas of a function, and of removed functions of its name, are ending and
// still have calls.
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

// Load returns a function's load. ok is false if there is no such function.
func (r *Router) Load(n hearth.Name) (l Load, ok bool) {
	fn := r.route(n)
	if fn == nil {
		return l, false
	}
	return fn.load(), true
}

func (fn *route) load() Load {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.count(time.Now())
	l := Load{
		ReplicaTime: fn.replicaTime,
		BusyTime:    fn.busyTime,
		LoadTime:    fn.loadTime,
		Calls:       fn.calls,
		InFlight:    fn.inflight,
		Ending:      fn.inflight,
		Held:        fn.waiting.Len(),
		Failing:     fn.failing,
		Restarts:    fn.restarts,
		LastExit:    fn.lastExit,
	}
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
			if t.inflight > 0 {
				l.Busy++
			}
		}
		l.Proven = l.Proven || t.Ready || t.Proven && !t.Ending
	}
	return l
}
