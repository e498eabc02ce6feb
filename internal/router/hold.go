package router

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/backlog"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/tracing"
	"github.com/hearthfaas/hearth/internal/upstream"
)

// A place ends the wait of a held call: with a replica, or with the reason why there is none.
type place struct {
	at  *target
	err error
}

const (
	// avoid is how long a replica that refused a connection gets no calls, unless it starts again.
	avoid = time.Second

	// avoidFull is the same for a replica whose socket has no place for another connection.
	avoidFull = 20 * time.Millisecond

	// fullFor is how long a replica that answered that it is full gets no calls.
	fullFor = 20 * time.Millisecond

	// wakeAgain is the pause before another attempt to wake a function.
	wakeAgain = time.Second

	// aheadAgain is the pause between two calls of Config.Ahead for a function.
	aheadAgain = time.Second
)

// pick returns the replica with the fewest calls in flight, a ready one if there is any. If there is none,
// full tells whether the reason is only that they have as many calls as they take. Calls wait for a full
// ready replica rather than go to one that starts: if that one never gets ready, they are not lost with it.
// fn.mu is held.
func (fn *route) pick() (_ *target, full bool) {
	var best *target
	for _, t := range fn.replicas {
		switch {
		case !t.Accepting, !t.avoid.IsZero() && time.Now().Before(t.avoid):
		case best == nil, t.Ready && !best.Ready, t.Ready == best.Ready && fn.callsOf(t) < fn.callsOf(best):
			best = t
		}
	}
	if best != nil && fn.full(best) {
		return nil, true
	}
	return best, false
}

// callsOf returns how many calls a replica has, as far as is known. fn.mu is held.
func (fn *route) callsOf(t *target) int {
	if t.saidFull {
		return max(t.inflight, fn.limit)
	}
	return t.inflight
}

// full reports whether a replica takes no more calls now. fn.mu is held.
func (fn *route) full(t *target) bool {
	return fn.limit > 0 && fn.callsOf(t) >= fn.limit || !t.Ready && t.inflight >= fn.cfg.MaxHeld
}

// take counts a call that a replica gets. fn.mu is held.
func (fn *route) take(t *target, now time.Time) {
	t.calls.Begin()
	fn.count(now)
	t.inflight++
	fn.inflight++
}

// release counts the end of a call that a replica had. left means that the replica may still run it.
func (fn *route) release(t *target, now time.Time, left bool) {
	fn.mu.Lock()
	t.mayRun = t.mayRun || left
	fn.count(now)
	t.inflight--
	fn.inflight--
	fn.grant()
	over := fn.over()
	fn.mu.Unlock()
	if over {
		fn.forget()
	}
}

// grant gives held calls the replicas that are free, in order, or the reason why there is none, and asks for
// a replica if one is needed. It must be called after each change of what could be given. fn.mu is held.
func (fn *route) grant() {
	if fn.waiting.Len() == 0 {
		return
	}
	now := time.Now()
	fn.count(now)
	for fn.waiting.Len() > 0 {
		t, full := fn.pick()
		err := fn.hopeless(full)
		switch {
		case t != nil:
			fn.take(t, now)
			fn.first() <- place{at: t}
		case err != nil:
			fn.first() <- place{err: err}
		default:
			if fn.desired == 0 && !fn.waking && fn.cfg.Wake != nil {
				fn.waking = true
				go fn.cfg.Wake(fn.name)
			}
			return
		}
	}
}

// first removes the first held call from the list. fn.mu is held.
func (fn *route) first() chan<- place {
	return fn.waiting.Remove(fn.waiting.Front()).(chan place)
}

// hopeless returns the reason why it makes no sense to wait, or nil. fn.mu is held.
func (fn *route) hopeless(full bool) error {
	switch {
	case full:
		return nil
	case fn.removed:
		return hearth.Errorf(hearth.NotFound, "function %s was removed", fn.name)
	case fn.failing != "" && !fn.mayServe():
		return &hearth.Error{
			// The reason may be a line of the function's log, which only the operator may see.
			Code: hearth.Unavailable,
			Message: fmt.Sprintf("function %s cannot start; hearth describe shows the operator why",
				fn.name.Function),
			Err: errors.New(fn.failing),
		}
	case fn.wakeError != nil && time.Since(fn.wokenAt) < wakeAgain:
		return fn.wakeError
	}
	return nil
}

// mayServe reports whether a function with a failing replica is worth waiting for: the replica has been ready
// before, or there is another one. fn.mu is held.
func (fn *route) mayServe() bool {
	for _, t := range fn.replicas {
		if t.Accepting || t.Proven && !t.Ending {
			return true
		}
	}
	return false
}

// acquire finds a replica for a call, or holds the call until there is one or last has come. fn.mu is held,
// and is free when it returns. The caller must release the replica. cold is how long the call was held
// because there was none.
func (fn *route) acquire(
	ctx context.Context, o Open, now, last time.Time,
) (_ *target, cold time.Duration, _ error) {
	if fn.waiting.Len() == 0 { // the usual case needs no timer
		if t, _ := fn.pick(); t != nil {
			fn.take(t, now)
			fn.mu.Unlock()
			return t, 0, nil
		}
	}
	_, full := fn.pick()
	if held := fn.waiting.Len(); o.Shed && held >= fn.cfg.MaxHeld {
		defer fn.mu.Unlock()
		why := "all replicas of function %s are busy, and %d calls wait for them already: try again later"
		if !full {
			why = "function %s has no replica yet, and %d calls wait for one already: try again later"
		}
		return nil, 0, hearth.Errorf(hearth.Exhausted, why, fn.name.Function, held)
	}
	given := make(chan place, 1)
	fn.count(time.Now())
	at := fn.waiting.PushBack(given)
	fn.grant()
	waits := len(given) == 0
	fn.mu.Unlock()
	if !waits {
		g := <-given
		return g.at, 0, g.err
	}
	if full {
		span := tracing.Held(ctx, fn.name, false)
		t, err := fn.wait(ctx, given, at, last)
		span.End(err)
		return t, 0, err
	}
	began := time.Now()
	fn.recorder.Held()
	span := tracing.Held(ctx, fn.name, true)
	t, err := fn.wait(ctx, given, at, last)
	span.End(err)
	cold = time.Since(began)
	switch {
	case err == nil:
		fn.recorder.Given(cold)
	case !errors.Is(err, context.Canceled):
		fn.recorder.Denied()
	}
	return t, cold, err
}

// wait waits until a held call gets its place, until last, or until its context ends.
func (fn *route) wait(ctx context.Context, given chan place, at *list.Element, last time.Time) (*target,
	error) {
	timer := time.NewTimer(time.Until(last))
	defer timer.Stop()
	select {
	case g := <-given:
		return g.at, g.err
	case <-timer.C:
	case <-ctx.Done():
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	select {
	case g := <-given: // at the last moment
		return g.at, g.err
	default:
	}
	fn.count(time.Now())
	fn.waiting.Remove(at)
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, err
	}
	if _, full := fn.pick(); full && fn.limit > 0 {
		return nil, hearth.Errorf(hearth.Exhausted,
			"all replicas of function %s have as many calls as max_inflight allows, %d, and none ended in "+
				"time", fn.name.Function, fn.limit)
	}
	return nil, fn.notRun()
}

// refuse avoids a replica that has refused a connection.
func (fn *route) refuse(t *target, err error) {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	if errors.Is(err, syscall.EAGAIN) { // Linux, for a Unix socket with a full backlog
		fn.avoid(t, avoidFull)
	} else {
		fn.avoid(t, avoid)
	}
}

// avoid gives a replica no calls for a while. fn.mu is held.
func (fn *route) avoid(t *target, d time.Duration) {
	t.avoid = time.Now().Add(d)
	if t.timed {
		return
	}
	t.timed = true
	var end func()
	end = func() {
		fn.mu.Lock()
		defer fn.mu.Unlock()
		if left := time.Until(t.avoid); left > 0 { // it has refused another connection since
			time.AfterFunc(left, end)
			return
		}
		t.timed = false
		fn.grant()
	}
	time.AfterFunc(d, end)
}

// again reports whether an answer means that the call did not run and can be sent again: no process of the
// replica accepted it, or the replica refused it because it still has a call that we believe is over.
func (fn *route) again(t *target, res *upstream.Response, req *http.Request, last time.Time) bool {
	full := res.StatusCode == http.StatusTooManyRequests && res.Header.Get(wire.HeaderInternal) != ""
	if !full && !backlog.NotTaken(res.StatusCode, res.Header) || !time.Now().Before(last) {
		return false
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	if full && (fn.limit == 0 || !t.mayRun) || !upstream.Rewind(req) {
		return false
	}
	if !full {
		fn.avoid(t, avoid)
	} else if !t.saidFull {
		t.saidFull = true
		time.AfterFunc(fullFor, func() {
			fn.mu.Lock()
			defer fn.mu.Unlock()
			t.saidFull = false
			fn.grant()
		})
	}
	return true
}
