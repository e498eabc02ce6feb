/*
Package router decides which replica takes a call, and carries the call there. A call for a function without a replica that
takes calls is held while the function wakes; what is held has a deadline, and its answer says why it ended. The router never
starts replicas because a call failed: it asks for one only when a call comes and there is none.

It does not queue or retry calls that a function answered, and knows nothing of Redis: with Redis down, sync calls still work.
*/
package router

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/tracing"
)

// Config says how long calls are held.
type Config struct {
	// Hold is how long a call waits for a replica that takes it. It is cut to the function's own timeout. Defaults to 30 s.
	Hold time.Duration

	// Wake is called, in a goroutine of its own, when a call comes for a function that should have no replica.
	Wake func(hearth.Name)

	// Recorder is called for each new function, and makes what is told about its calls. Defaults to one that keeps nothing.
	Recorder func(hearth.Name) Recorder
}

// Router knows the functions and their replicas.
type Router struct {
	cfg Config

	mu        sync.RWMutex
	functions map[hearth.Name]*route
}

// New makes a router without functions.
func New(cfg Config) *Router {
	if cfg.Hold == 0 {
		cfg.Hold = 30 * time.Second
	}
	if cfg.Recorder == nil {
		cfg.Recorder = func(hearth.Name) Recorder { return nothing{} }
	}
	return &Router{cfg: cfg, functions: map[hearth.Name]*route{}}
}

// route is one function.
type route struct {
	name     hearth.Name
	recorder Recorder

	mu          sync.Mutex
	concurrency int           // of one replica
	timeout     time.Duration // of one call
	desired     int           // replicas
	replicas    []*target
	failing     string        // why one cannot start
	changed     chan struct{} // closed, and made anew, when the replicas are others; nil while nobody waits
	waking      bool
	wakeError   error     // why it could not be woken the last time
	wokenAt     time.Time // when that was
	calls       uint64    // that came, ever
	held        int       // that wait now
	inflight    int       // that replicas have, also those that are not listed any more

	replicaTime, busyTime, loadTime time.Duration // Load's, up to
	countedAt                       time.Time     // when what they are sums of last changed
}

// target is a replica as the router sees it.
type target struct {
	id        string
	transport *transport

	// Under the route's lock:
	hearth.Replica
	inflight int
	refused  time.Time // when it last refused a connection
	wasReady bool      // once; a call that it breaks off may have run
}

// avoid is for how long a replica that refused a connection is the last choice.
const avoid = time.Second

// rank is lower for a better choice, before the calls in flight are looked at.
func (t *target) rank(now time.Time) int {
	switch {
	case !t.refused.IsZero() && now.Sub(t.refused) < avoid:
		return 2
	case !t.Ready:
		return 1
	}
	return 0
}

// Set adds a function, or makes it known that it is another now.
func (r *Router) Set(f hearth.Function) {
	r.mu.Lock()
	fn := r.functions[f.Name()]
	if fn == nil {
		fn = &route{name: f.Name(), recorder: r.cfg.Recorder(f.Name())}
		r.functions[f.Name()] = fn
	}
	r.mu.Unlock()
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.concurrency, fn.timeout, fn.desired = f.Concurrency(), f.Timeout(), f.Replicas
	fn.waking, fn.wakeError = false, nil
	fn.wake()
}

// Delete forgets a function. Calls that are held for it are answered.
func (r *Router) Delete(n hearth.Name) {
	r.mu.Lock()
	fn := r.functions[n]
	delete(r.functions, n)
	r.mu.Unlock()
	if fn != nil {
		fn.update(nil)
		fn.recorder.Removed()
	}
}

// Update is told by the provider what replicas a function has.
func (r *Router) Update(n hearth.Name, replicas []hearth.Replica) {
	if fn := r.route(n); fn != nil {
		fn.update(replicas)
	}
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
	for _, t := range fn.replicas {
		known[t.ID] = t
	}
	fn.replicas, fn.failing = nil, ""
	for _, state := range replicas {
		t := known[state.ID]
		if t == nil || t.Address != state.Address { // it may not have had one before it was accepting
			t = &target{id: state.ID, transport: newTransport(state.Address)}
		}
		if known[state.ID] == t {
			delete(known, state.ID)
		}
		t.Replica = state
		t.wasReady = t.wasReady || state.Ready
		fn.replicas = append(fn.replicas, t)
		if state.Failing != "" {
			fn.failing = state.Failing
		}
	}
	for _, gone := range known {
		gone.transport.close()
	}
	fn.wake()
}

// wake lets those who wait look again. fn.mu is held.
func (fn *route) wake() {
	if fn.changed != nil {
		close(fn.changed)
		fn.changed = nil
	}
}

// pick is the replica with the fewest calls in flight, of those that are ready if there are any. fn.mu is held.
func (fn *route) pick() *target {
	var best *target
	var bestRank int
	var now time.Time
	for _, t := range fn.replicas {
		if !t.Accepting {
			continue
		}
		if now.IsZero() && !t.refused.IsZero() {
			now = time.Now()
		}
		rank := t.rank(now)
		if best == nil || rank < bestRank || rank == bestRank && t.inflight < best.inflight {
			best, bestRank = t, rank
		}
	}
	return best
}

// acquire finds a replica for a call, and waits for one until ctx ends. The caller must release it.
func (r *Router) acquire(ctx context.Context, fn *route) (_ *target, err error) {
	var since time.Time // when it began to wait
	fn.mu.Lock()
	defer fn.mu.Unlock()
	var span *tracing.Span
	defer func() {
		if err != nil && !since.IsZero() && !errors.Is(err, context.Canceled) {
			fn.recorder.Denied()
		}
		span.End(err)
	}()
	for {
		if t := fn.pick(); t != nil {
			fn.take(t, time.Now())
			if !since.IsZero() {
				fn.recorder.Given(time.Since(since))
			}
			return t, nil
		}
		if fn.failing != "" {
			return nil, hearth.Errorf(hearth.Unavailable, "function %s cannot start: %s", fn.name.Function, fn.failing)
		}
		if r.route(fn.name) != fn {
			return nil, hearth.Errorf(hearth.NotFound, "function %s was removed", fn.name)
		}
		if fn.wakeError != nil && time.Since(fn.wokenAt) < wakeAgain {
			return nil, fn.wakeError
		}
		if fn.desired == 0 && !fn.waking && r.cfg.Wake != nil {
			fn.waking = true
			go r.cfg.Wake(fn.name)
		}
		if fn.changed == nil {
			fn.changed = make(chan struct{})
		}
		if since.IsZero() {
			since = time.Now()
			fn.recorder.Held()
			span = tracing.Held(ctx, fn.name)
		}
		changed := fn.changed
		fn.count(time.Now())
		fn.held++
		fn.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		fn.mu.Lock()
		fn.count(time.Now())
		fn.held--
		if err := ctx.Err(); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil, err
			}
			return nil, hearth.Errorf(hearth.Unavailable, "function %s has no replica that takes calls: it was waited for in vain", fn.name.Function)
		}
	}
}

// take gives a replica a call. fn.mu is held.
func (fn *route) take(t *target, now time.Time) {
	fn.count(now)
	t.inflight++
	fn.inflight++
}

// release is the end of a call that a replica had.
func (fn *route) release(t *target, now time.Time) {
	fn.mu.Lock()
	fn.count(now)
	t.inflight--
	fn.inflight--
	fn.mu.Unlock()
}

// wakeAgain is after how long a function that could not be woken is tried again.
const wakeAgain = time.Second

// WakeFailed tells that a function could not be woken: the calls that wait for it are answered with the reason.
func (r *Router) WakeFailed(n hearth.Name, why error) {
	if fn := r.route(n); fn != nil {
		fn.mu.Lock()
		defer fn.mu.Unlock()
		fn.waking, fn.wakeError, fn.wokenAt = false, hearth.Errorf(hearth.Unavailable, "function %s cannot be woken: %w", n.Function, why), time.Now()
		fn.wake()
	}
}

// NotFound is the error of a call for a function that is not deployed.
func NotFound(n hearth.Name) error {
	return hearth.Errorf(hearth.NotFound, "there is no function %s in the namespace %s", n.Function, n.Namespace)
}

// HeaderReplica is put on each answer: the replica that gave it.
const HeaderReplica = "X-Hearth-Replica"

// grace is how much longer than the function's timeout its answer is waited for: the watchdog's own 504 comes first.
const grace = time.Second

// RoundTrip carries a call to a replica and returns its answer, as http.RoundTripper does. The request's URL says the path;
// its host is ignored. The call may take the function's timeout, once a replica has taken it; the context's end ends it too.
// A body that is not replayable (GetBody) may be read until its next Read returns, even when the call has ended.
//
// It returns an error of code NotFound if there is no such function, Invalid if the call cannot be written as HTTP, Unavailable if
// no replica took the call in time, so that it surely did not run, BadGateway if a replica broke off, and Timeout if it took
// too long.
func (r *Router) RoundTrip(n hearth.Name, req *http.Request) (*http.Response, error) {
	return r.Forward(n, req, Open{})
}

// Forward is RoundTrip for a caller that waits for its answer, and can take more than one.
func (r *Router) Forward(n hearth.Name, req *http.Request, o Open) (*http.Response, error) {
	fn := r.route(n)
	if fn == nil {
		return nil, NotFound(n)
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
func (r *Router) send(fn *route, req *http.Request, o Open, began time.Time) (*http.Response, error) {
	fn.mu.Lock()
	fn.calls++
	timeout := fn.timeout
	fn.mu.Unlock()
	req.URL.Scheme, req.URL.Host = "http", fn.name.Function
	for tries := 0; ; tries++ {
		t, err := r.hold(req.Context(), fn, min(r.cfg.Hold, timeout))
		if err != nil {
			return nil, err
		}
		until := time.Now().Add(timeout + grace)
		a, err := t.transport.roundTrip(req, until, o)
		if err == nil {
			a.Header[HeaderReplica] = []string{t.id}
			status := a.StatusCode
			a.done = func() {
				now := time.Now()
				fn.release(t, now)
				fn.recorder.Ended(status, now.Sub(began))
			}
			return a.Response, nil
		}
		fn.release(t, time.Now())
		var dial *dialError
		if errors.As(err, &dial) {
			fn.mu.Lock()
			t.refused = time.Now()
			fn.mu.Unlock()
			if tries < 3 && req.Context().Err() == nil && rewind(req) { // nothing was sent: another may take it
				continue
			}
		}
		return nil, fn.broke(req.Context(), t, !time.Now().Before(until), err)
	}
}

// hold is acquire for as long as a call is held.
func (r *Router) hold(ctx context.Context, fn *route, limit time.Duration) (*target, error) {
	fn.mu.Lock()
	if t := fn.pick(); t != nil { // the usual case needs no timer
		fn.take(t, time.Now())
		fn.mu.Unlock()
		return t, nil
	}
	fn.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return r.acquire(ctx, fn)
}

// broke says what became of a call that a replica did not answer.
func (fn *route) broke(ctx context.Context, t *target, late bool, err error) error {
	var dial *dialError
	var invalid *hearth.Error
	switch {
	case late:
		return &hearth.Error{Code: hearth.Timeout, Message: fmt.Sprintf("function %s took longer than its exec_timeout, %v", fn.name.Function, fn.timeout), Err: err}
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &invalid) && invalid.Code == hearth.Invalid:
		return invalid
	case errors.As(err, &dial):
		return &hearth.Error{Code: hearth.Unavailable, Message: fmt.Sprintf("replica %s of function %s takes no calls", t.id, fn.name.Function), Err: err}
	}
	fn.mu.Lock()
	started, failing := t.wasReady, fn.failing
	fn.mu.Unlock()
	if !started { // the call was waiting in its socket
		return &hearth.Error{Code: hearth.Unavailable, Message: fmt.Sprintf("replica %s of function %s ended before it had started: %s", t.id, fn.name.Function, failing), Err: err}
	}
	return &hearth.Error{Code: hearth.BadGateway, Message: fmt.Sprintf("replica %s of function %s broke off: the call may have run", t.id, fn.name.Function), Err: err}
}
