/*
Package router decides which replica takes a call, and brings the call there by package upstream.

	a replica is free               the call goes to the one with the fewest calls in flight, ready ones first
	all replicas are full           the call is held until one is free, first come, first served
	there is no replica             the call is held, and the router asks for one (Config.Wake)
	the replica did not accept it   the call is held again, because it surely did not run

A held call has a deadline, and its error says why it ended. The router never asks for replicas because a call
failed.

It does not repeat a call that may have run, and it does not queue calls in Redis: with Redis down, sync calls
still work. It does not start or stop replicas: providers do, and tell it with Update.
*/
package router

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/upstream"
)

// Config has the limits and the hooks of a Router.
type Config struct {
	// Hold is how long a call waits for a replica, but not longer than its function's timeout. Defaults to
	// 30 s.
	Hold time.Duration

	// MaxHeld is how many calls of one function may wait for a replica, if their callers wait too
	// (Open.Shed). More are refused at once. A replica that starts gets at most so many calls too. Defaults
	// to 1000.
	MaxHeld int

	// Wake is called, in a goroutine of its own, when a call comes for a function that should have no
	// replica. Defaults to nothing: such a call waits for Hold.
	Wake func(hearth.Name)

	// Ahead is called, in a goroutine of its own, when a call comes for a function that emits messages, at
	// most once a second: their subscribers can be pre-warmed. It is not called for methods that change
	// nothing, such as GET. Defaults to nothing.
	Ahead func(hearth.Name)

	// Recorder makes the recorder of each new function. Defaults to recorders that do nothing.
	Recorder func(hearth.Name) Recorder
}

// A Router has the functions and their replicas.
type Router struct {
	cfg Config

	mu        sync.RWMutex
	functions map[hearth.Name]*route
	// Removed functions that still have calls or replicas, in the order of removal.
	draining map[hearth.Name][]*route

	watchers watchers
}

// New makes a router without functions.
func New(cfg Config) *Router {
	if cfg.Hold == 0 {
		cfg.Hold = 30 * time.Second
	}
	if cfg.MaxHeld == 0 {
		cfg.MaxHeld = 1000
	}
	if cfg.Recorder == nil {
		cfg.Recorder = func(hearth.Name) Recorder { return nothing{} }
	}
	return &Router{cfg: cfg, functions: map[hearth.Name]*route{}, draining: map[hearth.Name][]*route{},
		watchers: watchers{of: map[hearth.Name]chan struct{}{}}}
}

// route is one function: its limits, its replicas, and the calls that wait for one.
type route struct {
	name     hearth.Name
	recorder Recorder
	cfg      *Config

	mu          sync.Mutex
	concurrency int           // queued calls that one replica gets at once
	limit       int           // calls that one replica gets at once; 0 is no limit
	timeout     time.Duration // of one call
	desired     int           // number of replicas
	replicas    []*target
	failing     string    // why a replica cannot start, or ""
	waiting     list.List // of chan place: the held calls, in the order in which they came
	removed     bool
	recorded    bool   // its recorder knows that it was removed
	drained     bool   // its recorder knows that it has no calls and no replicas left
	forget      func() // called after drained was set
	emits       bool
	aheadAt     time.Time // when Ahead was last called
	waking      bool
	wakeError   error     // why waking failed
	wokenAt     time.Time // when waking failed
	calls       uint64    // in all
	restarts    uint64    // of replicas, in all
	lastExit    *hearth.Exit
	inflight    int // calls that replicas have, with those of replicas that are no longer listed
	queued      int // of these, calls from a queue

	replicaTime, busyTime, loadTime time.Duration // see Load; counted up to countedAt
	countedAt                       time.Time
}

// target is a replica as the router sees it.
type target struct {
	id       string
	upstream *upstream.Client
	calls    *hearth.Calls

	// Under the route's lock:
	hearth.Replica
	inflight int
	queued   int       // of these, calls from a queue
	avoid    time.Time // it gets no calls until then, because it refused one
	timed    bool      // a timer is set for the end of avoid
	saidFull bool      // it answered that it is full a moment ago: it has a call that we believe is over
	mayRun   bool      // it may still run a call that was given up
}

// Set adds a function, or replaces its spec.
func (r *Router) Set(f hearth.Function) {
	r.mu.Lock()
	fn := r.functions[f.Name()]
	if fn == nil {
		fn = &route{name: f.Name(), recorder: r.cfg.Recorder(f.Name()), cfg: &r.cfg}
		fn.forget = func() { r.forget(fn) }
		r.functions[f.Name()] = fn
	}
	r.mu.Unlock()
	defer r.watchers.notify(f.Name())
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.concurrency, fn.timeout, fn.desired = f.Concurrency, f.Timeout, f.Replicas
	fn.limit, fn.emits = f.MaxInflight, len(f.Emits) > 0
	fn.waking, fn.wakeError = false, nil
	fn.grant()
}

// Delete removes a function. Held calls end with an error; calls in flight go on to their end. They are
// counted until then, also if a function of that name is added again.
func (r *Router) Delete(n hearth.Name) {
	defer r.watchers.notify(n)
	r.mu.Lock()
	fn := r.functions[n]
	delete(r.functions, n)
	if fn != nil {
		r.draining[n] = append(r.draining[n], fn)
	}
	r.mu.Unlock()
	if fn == nil {
		return
	}
	fn.mu.Lock()
	fn.removed = true
	for _, t := range fn.replicas {
		t.retire()
	}
	fn.grant()
	fn.mu.Unlock()
	fn.recorder.Removed(fn.load)
	fn.mu.Lock()
	fn.recorded = true
	fn.mu.Unlock()
	fn.forgetIfOver()
}

// forgetIfOver forgets a removed function if its last call and its last replica have ended.
func (fn *route) forgetIfOver() {
	fn.mu.Lock()
	over := fn.over()
	fn.mu.Unlock()
	if over {
		fn.forget()
	}
}

// over returns true once: when a function was removed and its last call and its last replica have ended.
// fn.mu is held.
func (fn *route) over() bool {
	over := fn.recorded && !fn.drained && fn.inflight == 0 && len(fn.replicas) == 0
	fn.drained = fn.drained || over
	return over
}

// forget forgets a function that is over.
func (r *Router) forget(fn *route) {
	r.mu.Lock()
	left := slices.DeleteFunc(slices.Clone(r.draining[fn.name]), func(other *route) bool {
		return other == fn
	})
	if len(left) == 0 {
		delete(r.draining, fn.name)
	} else {
		r.draining[fn.name] = left
	}
	r.mu.Unlock()
	fn.recorder.Drained(fn.load())
}

// Update sets the replicas of a function, with those of removed functions of that name that are ending.
func (r *Router) Update(n hearth.Name, replicas []hearth.Replica) {
	defer r.watchers.notify(n)
	r.mu.RLock()
	fn, draining := r.functions[n], slices.Clone(r.draining[n])
	r.mu.RUnlock()
	for i, old := range draining {
		newest := fn == nil && i == len(draining)-1 // unknown replicas are its
		var own []hearth.Replica
		own, replicas = old.split(replicas, newest)
		old.update(own)
		old.forgetIfOver()
	}
	if fn != nil {
		fn.update(replicas)
	}
}

// split separates the replicas of a removed function from the others. The newest removed function also gets
// the unknown ones.
func (fn *route) split(replicas []hearth.Replica, newest bool) (own, others []hearth.Replica) {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	for _, state := range replicas {
		if newest || slices.ContainsFunc(fn.replicas, func(t *target) bool { return t.id == state.ID }) {
			own = append(own, state)
		} else {
			others = append(others, state)
		}
	}
	return own, others
}

// retire gives a replica no more calls. The route's lock is held.
func (t *target) retire() {
	t.Ending, t.Accepting, t.Ready = true, false, false
	t.upstream.Close()
}

func (r *Router) route(n hearth.Name) *route {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.functions[n]
}

func (fn *route) update(replicas []hearth.Replica) {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.count(time.Now())
	known := map[string]*target{}
	restarts := map[*hearth.Calls]int{}
	for _, t := range fn.replicas {
		known[t.ID], restarts[t.calls] = t, t.Restarts
	}
	fn.replicas, fn.failing = nil, ""
	for _, state := range replicas {
		t := known[state.ID]
		if t == nil || t.Address != state.Address && !state.Ending {
			// It may get its address only when it accepts calls.
			t = &target{id: state.ID, upstream: upstream.New(state.Address), calls: state.Calls}
		}
		if known[state.ID] == t {
			delete(known, state.ID)
		}
		if state.Ready && !t.Ready || !state.Started.Equal(t.Started) {
			t.avoid = time.Time{} // it has started again
		}
		if state.Calls != nil { // the same replica may have another ID
			fn.restarts += uint64(max(0, state.Restarts-restarts[state.Calls]))
		}
		if e := state.LastExit; e != nil && (fn.lastExit == nil || e.At.After(fn.lastExit.At)) {
			fn.lastExit = e
		}
		t.Replica = state
		if state.Ending || fn.removed {
			t.retire()
		}
		fn.replicas = append(fn.replicas, t)
		if state.Failing != "" {
			fn.failing = state.Failing
		}
	}
	for _, gone := range known {
		gone.upstream.Close()
	}
	fn.grant()
}

// callAhead calls Config.Ahead for a call, unless it did so just now. fn.mu is held.
func (fn *route) callAhead(now time.Time) {
	if fn.emits && fn.cfg.Ahead != nil && now.Sub(fn.aheadAt) >= aheadAgain {
		fn.aheadAt = now
		go fn.cfg.Ahead(fn.name)
	}
}

// WakeFailed ends the held calls of a function that could not be woken, with the reason.
func (r *Router) WakeFailed(n hearth.Name, why error) {
	if fn := r.route(n); fn != nil {
		fn.mu.Lock()
		defer fn.mu.Unlock()
		fn.waking, fn.wakeError, fn.wokenAt = false,
			hearth.Errorf(hearth.Unavailable, "function %s cannot be started: %w", n.Function,
				why), time.Now()
		fn.grant()
	}
}
