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
	Known     int    // replicas, of all revisions
	Available int    // of these, that are ready
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
	return fn.load(), true
}

// load is what the function has to do.
func (fn *route) load() Load {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.count(time.Now())
	l := Load{ReplicaTime: fn.replicaTime, BusyTime: fn.busyTime, LoadTime: fn.loadTime, Calls: fn.calls, InFlight: fn.inflight, Ending: fn.inflight,
		Held: fn.waiting.Len(), Failing: fn.failing, Known: len(fn.replicas), Restarts: fn.restarts, LastExit: fn.lastExit}
	for _, t := range fn.replicas {
		if t.Accepting {
			l.Ending -= t.inflight
		}
		if t.Ready {
			l.Available++
		}
		l.Proven = l.Proven || t.Ready || t.Proven
	}
	return l
}
