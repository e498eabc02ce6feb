package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/backlog"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/upstream"
)

// Open says what the caller of a call can take. The zero value is for one that wants one answer with an end.
type Open struct {
	// Early, Upgrade and Stream are upstream.Options'.
	Early   func(status int, header http.Header)
	Upgrade bool
	Stream  bool

	// Shed refuses the call if there is no free replica and Config.MaxHeld calls wait for one already.
	Shed bool

	// Queued means that the call comes from a queue, and takes some of its function's Room.
	Queued bool
}

// Headers of each answer, for whoever has called the router.
const (
	HeaderReplica = "X-Hearth-Replica" // the ID of the replica
	// HeaderColdStart is how long the call was held because the function had no replica, in milliseconds with
	// decimals. It is absent if it was not.
	HeaderColdStart = "X-Hearth-Cold-Start"
)

// grace is added to the function's timeout, so that the watchdog's own 504 comes first.
const grace = time.Second

// RoundTrip brings a call from a queue to a replica and returns its answer, as http.RoundTripper does. The
// request's URL has the path; its host is ignored. Once a replica has the call, it may take the function's
// timeout. The request's context ends it too. A body without GetBody may be read until its next Read returns,
// even after the call has ended.
//
// Its error has the code
//
//   - NotFound if there is no such function,
//   - Invalid if the call cannot be written as HTTP,
//   - Exhausted if all replicas are full,
//   - Unavailable if no replica accepted the call in time, so that it surely did not run,
//   - BadGateway if the replica closed the connection, so that the call may have run,
//   - Timeout if it took too long.
func (r *Router) RoundTrip(n hearth.Name, req *http.Request) (*http.Response, error) {
	return r.Forward(n, req, Open{Queued: true})
}

// Forward is RoundTrip with options.
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

// send is Forward for a function that exists. It records the end of the call only if there is an answer.
//
// A call that surely did not run is held again, for whichever replica is free first: its replica refused the
// connection, ended before it accepted the call, or answered that it is full.
func (r *Router) send(fn *route, req *http.Request, o Open, began time.Time) (*http.Response, error) {
	req.URL.Scheme, req.URL.Host = "http", fn.name.Function
	fn.mu.Lock()
	fn.calls++
	if !upstream.Safe(req.Method) { // such a call emits nothing
		fn.callAhead(began)
	}
	timeout := fn.timeout
	last := began.Add(min(r.cfg.Hold, timeout))
	cold := time.Duration(0)
	for now := began; ; now = time.Now() {
		t, held, err := fn.acquire(req.Context(), o, now, last)
		if err != nil {
			return nil, err
		}
		cold += held
		fn.countQueued(t, o, 1)
		t.upstream.KeepBody(req)
		until := time.Now().Add(timeout + grace)
		res, err := t.upstream.Do(req, until, upstream.Options{
			Early:   o.Early,
			Upgrade: o.Upgrade,
			Stream:  o.Stream,
		})
		switch {
		case err == nil && fn.again(t, res, req, last):
			fn.giveUp(t, res, o)
		case err == nil && backlog.NotTaken(res.StatusCode, res.Header):
			fn.giveUp(t, res, o)
			return nil, fn.notRun()
		case err == nil:
			if cold > 0 {
				ms := strconv.FormatFloat(float64(cold.Microseconds())/1000, 'f', -1, 64)
				res.Header[HeaderColdStart] = []string{ms}
			}
			return fn.answered(t, res, o, began), nil
		default:
			notSent := upstream.NotSent(err)
			fn.countQueued(t, o, -1)
			fn.release(t, time.Now(), !notSent)
			t.calls.End()
			if !notSent || req.Context().Err() != nil {
				return nil, fn.broke(req.Context(), t, !time.Now().Before(until), err)
			}
			fn.refuse(t, err)
			if !time.Now().Before(last) || !upstream.Rewind(req) {
				return nil, fn.notRun()
			}
		}
		fn.mu.Lock()
	}
}

// answered makes a replica's answer ready for the caller: when its body is closed, the replica has one call
// less.
func (fn *route) answered(t *target, res *upstream.Response, o Open, began time.Time) *http.Response {
	res.Header[HeaderReplica] = []string{t.id}
	status := res.StatusCode
	t.calls.Answered()
	if res.Endless {
		t.calls.End() // a replica does not wait for its streams before it ends
	}
	res.OnClose = func(whole bool) {
		now := time.Now()
		fn.countQueued(t, o, -1)
		fn.release(t, now, !whole || status == http.StatusGatewayTimeout)
		if !res.Endless {
			t.calls.End()
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
		fn.countQueued(t, o, -1)
		fn.release(t, time.Now(), false)
		t.calls.End()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxDiscarded))
	_ = res.Body.Close()
}

// notRun returns the error of a call that surely did not run.
func (fn *route) notRun() error {
	return hearth.Errorf(hearth.Unavailable,
		"no replica of function %s accepted the call in time, so the call did not run", fn.name.Function)
}

// broke returns the error of a call that was sent to a replica and not answered.
func (fn *route) broke(ctx context.Context, t *target, late bool, err error) error {
	var invalid *hearth.Error
	switch {
	case late:
		return &hearth.Error{
			Code: hearth.Timeout,
			Message: fmt.Sprintf("function %s took longer than its exec_timeout, %v", fn.name.Function,
				fn.timeout),
			Err: err,
		}
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &invalid) && invalid.Code == hearth.Invalid:
		return invalid
	}
	return &hearth.Error{
		Code: hearth.BadGateway,
		Message: fmt.Sprintf("replica %s of function %s closed the connection: the call may have run", t.id,
			fn.name.Function),
		Err: err,
	}
}
