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

// grant ends a call's wait: with the replica that it is given, or with why there is none for it.
type grant struct {
	to  *target
	err error
}

const (
	// avoid is for how long a replica that refused a connection is given no calls, unless it starts again.
	avoid = time.Second

	// avoidFull is the same for one whose socket has no place for another connection.
	avoidFull = 20 * time.Millisecond

	// fullFor is for how long a replica that said that it is full is given no more calls.
	fullFor = 20 * time.Millisecond

	// wakeAgain is after how long a function that could not be woken is tried again.
	wakeAgain = time.Second

	// aheadAgain is after how long the functions that come after one are looked at again, while it is called.
	aheadAgain = time.Second
)

// pick is the replica with the fewest calls in flight, of those that are ready if there are any. If there is none, full tells
// whether it is only that they have as many calls as they take. Calls wait for one that is ready rather than go to one that starts:
// they are given that one too when it is ready, and if it never is, they are not lost with it. fn.mu is held.
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

// callsOf is how many calls a replica has, as far as is known. fn.mu is held.
func (fn *route) callsOf(t *target) int {
	if t.saidFull {
		return max(t.inflight, fn.limit)
	}
	return t.inflight
}

// full tells whether a replica takes no more calls now. One that starts holds no more than wait for one that is not there.
// fn.mu is held.
func (fn *route) full(t *target) bool {
	return fn.limit > 0 && fn.callsOf(t) >= fn.limit || !t.Ready && t.inflight >= fn.cfg.MaxHeld
}

// take gives a replica a call. fn.mu is held.
func (fn *route) take(t *target, now time.Time) {
	t.given.Begin()
	fn.count(now)
	t.inflight++
	fn.inflight++
}

// release is the end of a call that a replica had. left tells that the replica may not know, and still run it.
func (fn *route) release(t *target, now time.Time, left bool) {
	fn.mu.Lock()
	t.mayRun = t.mayRun || left
	fn.count(now)
	t.inflight--
	fn.inflight--
	fn.look()
	over := fn.over()
	fn.mu.Unlock()
	if over {
		fn.forget()
	}
}

// look gives those who wait what there is for them, and asks for what they need. It comes after each change of what could be
// given. fn.mu is held.
func (fn *route) look() {
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
			fn.first() <- grant{to: t}
		case err != nil:
			fn.first() <- grant{err: err}
		default:
			if fn.desired == 0 && !fn.waking && fn.cfg.Wake != nil {
				fn.waking = true
				go fn.cfg.Wake(fn.name)
			}
			return
		}
	}
}

// first takes the first of those who wait off their list. fn.mu is held.
func (fn *route) first() chan<- grant {
	return fn.waiting.Remove(fn.waiting.Front()).(chan grant)
}

// hopeless is why nothing needs to be waited for. fn.mu is held.
func (fn *route) hopeless(full bool) error {
	switch {
	case full:
		return nil
	case fn.removed:
		return hearth.Errorf(hearth.NotFound, "function %s was removed", fn.name)
	case fn.failing != "" && !fn.mayServe():
		return &hearth.Error{ // the reason may have a line of the function's log, which is the operator's
			Code:    hearth.Unavailable,
			Message: fmt.Sprintf("function %s cannot start; hearth describe shows the operator why", fn.name.Function),
			Err:     errors.New(fn.failing),
		}
	case fn.wakeError != nil && time.Since(fn.wokenAt) < wakeAgain:
		return fn.wakeError
	}
	return nil
}

// mayServe tells whether a function that has a failing replica is worth waiting for: it has been ready before, or has another
// replica. fn.mu is held.
func (fn *route) mayServe() bool {
	for _, t := range fn.replicas {
		if t.Accepting || t.Proven && !t.Ending {
			return true
		}
	}
	return false
}

// acquire finds a replica for a call, and waits for one until last. A call is held if no replica takes calls, or if all of these
// are full; who came first is given one first. fn.mu is held, and is free when it returns. The caller must release the replica.
func (fn *route) acquire(ctx context.Context, o Open, now, last time.Time) (*target, error) {
	if fn.waiting.Len() == 0 { // the usual case needs no timer
		if t, _ := fn.pick(); t != nil {
			fn.take(t, now)
			fn.mu.Unlock()
			return t, nil
		}
	}
	_, full := fn.pick()
	if held := fn.waiting.Len(); o.Shed && held >= fn.cfg.MaxHeld {
		defer fn.mu.Unlock()
		why := "all replicas of function %s are busy, and %d calls wait for them already: try again later"
		if !full {
			why = "function %s has no replica yet, and %d calls wait for one already: try again later"
		}
		return nil, hearth.Errorf(hearth.Exhausted, why, fn.name.Function, held)
	}
	given := make(chan grant, 1)
	fn.count(time.Now())
	at := fn.waiting.PushBack(given)
	fn.look()
	waits := len(given) == 0
	fn.mu.Unlock()
	if !waits {
		g := <-given
		return g.to, g.err
	}
	if full {
		span := tracing.Held(ctx, fn.name, false)
		t, err := fn.wait(ctx, given, at, last)
		span.End(err)
		return t, err
	}
	began := time.Now()
	fn.recorder.Held()
	span := tracing.Held(ctx, fn.name, true)
	t, err := fn.wait(ctx, given, at, last)
	span.End(err)
	switch {
	case err == nil:
		fn.recorder.Given(time.Since(began))
	case !errors.Is(err, context.Canceled):
		fn.recorder.Denied()
	}
	return t, err
}

// wait is for what a call on the list is given.
func (fn *route) wait(ctx context.Context, given chan grant, at *list.Element, last time.Time) (*target, error) {
	timer := time.NewTimer(time.Until(last))
	defer timer.Stop()
	select {
	case g := <-given:
		return g.to, g.err
	case <-timer.C:
	case <-ctx.Done():
	}
	fn.mu.Lock()
	defer fn.mu.Unlock()
	select {
	case g := <-given: // just now
		return g.to, g.err
	default:
	}
	fn.count(time.Now())
	fn.waiting.Remove(at)
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, err
	}
	if _, full := fn.pick(); full && fn.limit > 0 {
		return nil, hearth.Errorf(hearth.Exhausted, "all replicas of function %s are busy with as many calls as its max_inflight allows, %d, and none ended in time", fn.name.Function, fn.limit)
	}
	return nil, fn.inVain()
}

// refuse notes that a replica has refused a connection.
func (fn *route) refuse(t *target, err error) {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	if errors.Is(err, syscall.EAGAIN) { // as Linux answers for a Unix socket with a full backlog
		fn.avoid(t, avoidFull)
	} else {
		fn.avoid(t, avoid)
	}
}

// avoid gives a replica no calls for a while. fn.mu is held.
func (fn *route) avoid(t *target, d time.Duration) {
	t.avoid = time.Now().Add(d)
	if t.looks {
		return
	}
	t.looks = true
	var look func()
	look = func() {
		fn.mu.Lock()
		defer fn.mu.Unlock()
		if left := time.Until(t.avoid); left > 0 { // it has refused another meanwhile
			time.AfterFunc(left, look)
			return
		}
		t.looks = false
		fn.look()
	}
	time.AfterFunc(d, look)
}

// again tells whether a call is made again that did not run: no process of its replica has accepted it; or the replica has refused
// it, as it is full with a call that we think is over. It is held like others that find no replica, or all of them full.
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
			fn.look()
		})
	}
	return true
}
