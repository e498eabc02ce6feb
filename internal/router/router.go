/*
Package router decides which replica takes a call, and carries the call there. A call for a function without a replica that
takes calls is held while the function wakes. One for a function whose replicas have as many calls as they take is held until one of
them is free, or there is another; who came first is given a place first. A call that its replica did not take is held again. What is
held has a deadline, and its answer says why it ended. The router never starts replicas because a call failed: it asks for one only when a call comes and there is none.

It does not queue or retry calls that a function answered, and knows nothing of Redis: with Redis down, sync calls still work.
*/
package router

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/backlog"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/upstream"
)

// Config says how long calls are held.
type Config struct {
	// Hold is how long a call waits for a replica that takes it. It is cut to the function's own timeout. Defaults to 30 s.
	Hold time.Duration

	// MaxHeld is how many calls of one function may wait for a free replica, or for the first one, if their callers wait too: more are
	// refused at once. A replica that starts holds no more than so many either.
	// Defaults to 1000.
	MaxHeld int

	// Wake is called, in a goroutine of its own, when a call comes for a function that should have no replica.
	Wake func(hearth.Name)

	// Ahead is called, in a goroutine of its own, when a call comes for a function that emits messages, at most once in
	// aheadAgain: those who will get them may be woken meanwhile. It is not called for methods that change nothing, such as GET.
	// Defaults to nothing.
	Ahead func(hearth.Name)

	// Recorder is called for each new function, and makes what is told about its calls. Defaults to one that keeps nothing.
	Recorder func(hearth.Name) Recorder
}

// Router knows the functions and their replicas.
type Router struct {
	cfg Config

	mu        sync.RWMutex
	functions map[hearth.Name]*route
	draining  map[hearth.Name][]*route // that were removed and still have calls or replicas; the last one removed is the last

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

// route is one function.
type route struct {
	name     hearth.Name
	recorder Recorder
	cfg      *Config

	mu          sync.Mutex
	concurrency int           // queued calls that one replica is given at once
	limit       int           // calls that one replica is given at once; 0 is no limit
	timeout     time.Duration // of one call
	desired     int           // replicas
	replicas    []*target
	failing     string    // why one cannot start
	waiting     list.List // of chan grant: the calls that are held, in the order in which they came
	removed     bool
	told        bool   // its recorder knows that it was removed,
	drained     bool   // and that it has neither calls nor replicas any more
	forget      func() // after drained was set
	emits       bool
	aheadAt     time.Time // when the last call was told ahead
	waking      bool
	wakeError   error     // why it could not be woken the last time
	wokenAt     time.Time // when that was
	calls       uint64    // that came, ever
	restarts    uint64    // of replicas, ever
	lastExit    *hearth.Exit
	inflight    int // that replicas have, also those that are not listed any more
	queued      int // of these, that come from a queue

	replicaTime, busyTime, loadTime time.Duration // Load's, up to
	countedAt                       time.Time     // when what they are sums of last changed
}

// target is a replica as the router sees it.
type target struct {
	id       string
	upstream *upstream.Client
	given    *hearth.Calls

	// Under the route's lock:
	hearth.Replica
	inflight int
	queued   int       // of these, that come from a queue
	avoid    time.Time // until when it is given no calls, as it refused one
	looks    bool      // a timer is set to look then
	saidFull bool      // just now: it has a call that we think is over
	mayRun   bool      // it was left with a call once
}

// Set adds a function, or makes it known that it is another now.
func (r *Router) Set(f hearth.Function) {
	r.mu.Lock()
	fn := r.functions[f.Name()]
	if fn == nil {
		fn = &route{name: f.Name(), recorder: r.cfg.Recorder(f.Name()), cfg: &r.cfg}
		fn.forget = func() { r.forget(fn) }
		r.functions[f.Name()] = fn
	}
	r.mu.Unlock()
	defer r.watchers.tell(f.Name())
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.concurrency, fn.timeout, fn.desired = f.Concurrency(), f.Timeout(), f.Replicas
	fn.limit, fn.emits = f.MaxInflight(), len(f.Emits()) > 0
	fn.waking, fn.wakeError = false, nil
	fn.look()
}

// Delete removes a function. Calls that are held for it are answered; those that replicas have go on to their end. What it does until
// then is counted, also when a function of that name is added again meanwhile.
func (r *Router) Delete(n hearth.Name) {
	defer r.watchers.tell(n)
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
	fn.look()
	fn.mu.Unlock()
	fn.recorder.Removed(fn.load)
	fn.mu.Lock()
	fn.told = true
	fn.mu.Unlock()
	fn.forgetIfOver()
}

// forgetIfOver forgets a function that was removed, if it has ended.
func (fn *route) forgetIfOver() {
	fn.mu.Lock()
	over := fn.over()
	fn.mu.Unlock()
	if over {
		fn.forget()
	}
}

// over tells, once, that a function was removed, and that its last call and its last replica have ended. fn.mu is held.
func (fn *route) over() bool {
	over := fn.told && !fn.drained && fn.inflight == 0 && len(fn.replicas) == 0
	fn.drained = fn.drained || over
	return over
}

// forget forgets a function that is over.
func (r *Router) forget(fn *route) {
	r.mu.Lock()
	left := slices.DeleteFunc(slices.Clone(r.draining[fn.name]), func(other *route) bool { return other == fn })
	if len(left) == 0 {
		delete(r.draining, fn.name)
	} else {
		r.draining[fn.name] = left
	}
	r.mu.Unlock()
	fn.recorder.Drained(fn.load())
}

// Update is told by the provider what replicas a function has, with those of functions of that name that were removed.
func (r *Router) Update(n hearth.Name, replicas []hearth.Replica) {
	defer r.watchers.tell(n)
	r.mu.RLock()
	fn, draining := r.functions[n], slices.Clone(r.draining[n])
	r.mu.RUnlock()
	for i, old := range draining {
		newest := fn == nil && i == len(draining)-1 // then all that nobody knows is its
		var own []hearth.Replica
		own, replicas = old.split(replicas, newest)
		old.update(own)
		old.forgetIfOver()
	}
	if fn != nil {
		fn.update(replicas)
	}
}

// split tells a removed function's replicas from the others.
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

// retire makes a replica take no more calls. The route's lock is held.
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
		known[t.ID], restarts[t.given] = t, t.Restarts
	}
	fn.replicas, fn.failing = nil, ""
	for _, state := range replicas {
		t := known[state.ID]
		if t == nil || t.Address != state.Address && !state.Ending { // it may not have had one before it was accepting
			t = &target{id: state.ID, upstream: upstream.New(state.Address), given: state.Calls}
		}
		if known[state.ID] == t {
			delete(known, state.ID)
		}
		if state.Ready && !t.Ready || !state.Started.Equal(t.Started) {
			t.avoid = time.Time{} // it has started again
		}
		if state.Calls != nil { // it is the same replica, though its name may be another
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
	fn.look()
}

// tellAhead tells that a call came. fn.mu is held.
func (fn *route) tellAhead(now time.Time) {
	if fn.emits && fn.cfg.Ahead != nil && now.Sub(fn.aheadAt) >= aheadAgain {
		fn.aheadAt = now
		go fn.cfg.Ahead(fn.name)
	}
}

// WakeFailed tells that a function could not be woken: the calls that wait for it are answered with the reason.
func (r *Router) WakeFailed(n hearth.Name, why error) {
	if fn := r.route(n); fn != nil {
		fn.mu.Lock()
		defer fn.mu.Unlock()
		fn.waking, fn.wakeError, fn.wokenAt = false, hearth.Errorf(hearth.Unavailable, "function %s cannot be woken: %w", n.Function, why), time.Now()
		fn.look()
	}
}

// Open says what a caller can take that waits for its answer, and not only for the end of it. Its zero value is for others.
type Open struct {
	// Early, Upgrade and Stream are upstream.Options'.
	Early   func(status int, header http.Header)
	Upgrade bool
	Stream  bool

	// Shed refuses the call if there is no free replica and Config.MaxHeld calls wait for one already.
	Shed bool

	// Queued tells that the call comes from a queue, whose Room it takes.
	Queued bool
}

// HeaderReplica is put on each answer: the replica that gave it.
const HeaderReplica = "X-Hearth-Replica"

// grace is how much longer than the function's timeout its answer is waited for: the watchdog's own 504 comes first.
const grace = time.Second

// RoundTrip carries a call of a queue to a replica and returns its answer, as http.RoundTripper does. The request's URL says the path;
// its host is ignored. The call may take the function's timeout, once a replica has taken it; the context's end ends it too.
// A body that is not replayable (GetBody) may be read until its next Read returns, even when the call has ended.
//
// It returns an error of code NotFound if there is no such function, Invalid if the call cannot be written as HTTP, Unavailable if
// no replica took the call in time, so that it surely did not run, BadGateway if a replica broke off, and Timeout if it took
// too long.
func (r *Router) RoundTrip(n hearth.Name, req *http.Request) (*http.Response, error) {
	return r.Forward(n, req, Open{Queued: true})
}

// Forward is RoundTrip for a caller that waits for its answer, and can take more than one.
func (r *Router) Forward(n hearth.Name, req *http.Request, o Open) (*http.Response, error) {
	fn := r.route(n)
	if fn == nil {
		return nil, hearth.NotFoundError(n)
	}
	began := time.Now()
	fn.recorder.Started()
	res, err := r.send(fn, req, o, began)
	if err != nil {
		fn.recorder.Ended(statusOf(err), time.Since(began))
	}
	return res, err
}

// send is Forward for a function that is there. That a call has ended is recorded here only if it was answered.
//
// A call that surely did not run is held again, and given to whichever replica is free first: its replica refused the connection, ended
// before it had accepted it, or said that it was full.
func (r *Router) send(fn *route, req *http.Request, o Open, began time.Time) (*http.Response, error) {
	req.URL.Scheme, req.URL.Host = "http", fn.name.Function
	fn.mu.Lock()
	fn.calls++
	if !upstream.Safe(req.Method) { // a view hands nothing on
		fn.tellAhead(began)
	}
	timeout := fn.timeout
	last := began.Add(min(r.cfg.Hold, timeout))
	for now := began; ; now = time.Now() {
		t, err := fn.acquire(req.Context(), o, now, last)
		if err != nil {
			return nil, err
		}
		fn.noteQueued(t, o, 1)
		t.upstream.KeepBody(req)
		until := time.Now().Add(timeout + grace)
		res, err := t.upstream.Do(req, until, upstream.Options{Early: o.Early, Upgrade: o.Upgrade, Stream: o.Stream})
		switch {
		case err == nil && fn.again(t, res, req, last):
			fn.giveUp(t, res, o)
		case err == nil && backlog.NotTaken(res.StatusCode, res.Header):
			fn.giveUp(t, res, o)
			return nil, fn.inVain()
		case err == nil:
			return fn.answered(t, res, o, began), nil
		default:
			notSent := upstream.NotSent(err)
			fn.noteQueued(t, o, -1)
			fn.release(t, time.Now(), !notSent)
			t.given.End()
			if !notSent || req.Context().Err() != nil {
				return nil, fn.broke(req.Context(), t, !time.Now().Before(until), err)
			}
			fn.refuse(t, err)
			if !time.Now().Before(last) || !upstream.Rewind(req) {
				return nil, fn.inVain()
			}
		}
		fn.mu.Lock()
	}
}

// answered makes a replica's answer ready for the caller: when its body is closed, the replica has one call less.
func (fn *route) answered(t *target, res *upstream.Response, o Open, began time.Time) *http.Response {
	res.Header[HeaderReplica] = []string{t.id}
	status := res.StatusCode
	t.given.Answered()
	if res.Endless {
		t.given.End() // a replica does not wait for its streams before it ends
	}
	res.OnClose = func(whole bool) {
		now := time.Now()
		fn.noteQueued(t, o, -1)
		fn.release(t, now, !whole || status == http.StatusGatewayTimeout)
		if !res.Endless {
			t.given.End()
		}
		fn.recorder.Ended(status, now.Sub(began))
	}
	return res.Response
}

// maxDiscarded is how many bytes of an answer are read only to use its connection again.
const maxDiscarded = 256 << 10

// giveUp drops an answer that says that the call did not run.
func (fn *route) giveUp(t *target, res *upstream.Response, o Open) {
	res.OnClose = func(bool) {
		fn.noteQueued(t, o, -1)
		fn.release(t, time.Now(), false)
		t.given.End()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxDiscarded))
	_ = res.Body.Close()
}

// inVain is the error of a call that surely did not run.
func (fn *route) inVain() error {
	return hearth.Errorf(hearth.Unavailable, "function %s got no replica that accepts calls in time, so the call did not run", fn.name.Function)
}

// broke says what became of a call that a replica was sent and did not answer.
func (fn *route) broke(ctx context.Context, t *target, late bool, err error) error {
	var invalid *hearth.Error
	switch {
	case late:
		return &hearth.Error{Code: hearth.Timeout, Message: fmt.Sprintf("function %s took longer than its exec_timeout, %v", fn.name.Function, fn.timeout), Err: err}
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &invalid) && invalid.Code == hearth.Invalid:
		return invalid
	}
	return &hearth.Error{Code: hearth.BadGateway, Message: fmt.Sprintf("replica %s of function %s broke off: the call may have run", t.id, fn.name.Function), Err: err}
}
