package router

import (
	"context"
	"errors"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Recorder counts the calls of one function. Its methods are called by several goroutines at once, in the
// path of each call: they must not block.
type Recorder interface {
	// Started is called when a call comes.
	Started()
	// Held is called when a call finds no replica and waits for one.
	Held()
	// Given is called when a held call gets a replica.
	Given(waited time.Duration)
	// Denied is called when a held call gets no replica in time, or none can start. It is not called if the
	// caller left before.
	Denied()
	// Ended is called when a call has ended, with the status of the replica's answer or of the router's
	// error. took is the time from Started to the end of the answer's body.
	Ended(status int, took time.Duration)
	// Removed is called when the function is removed. Calls in flight still end: load returns what the
	// function has done so far, until Drained.
	Removed(load func() Load)
	// Drained is called after Removed, when the last call and the last replica of the function have ended,
	// with what it has done.
	Drained(last Load)
}

// nothing is a Recorder that does nothing.
type nothing struct{}

func (nothing) Started()                 {}
func (nothing) Held()                    {}
func (nothing) Given(time.Duration)      {}
func (nothing) Denied()                  {}
func (nothing) Ended(int, time.Duration) {}
func (nothing) Removed(func() Load)      {}
func (nothing) Drained(Load)             {}

// Recorders combines two kinds of recorders.
func Recorders(a, b func(hearth.Name) Recorder) func(hearth.Name) Recorder {
	return func(n hearth.Name) Recorder { return both{a(n), b(n)} }
}

type both struct{ a, b Recorder }

func (r both) Started()                     { r.a.Started(); r.b.Started() }
func (r both) Held()                        { r.a.Held(); r.b.Held() }
func (r both) Given(waited time.Duration)   { r.a.Given(waited); r.b.Given(waited) }
func (r both) Denied()                      { r.a.Denied(); r.b.Denied() }
func (r both) Ended(s int, t time.Duration) { r.a.Ended(s, t); r.b.Ended(s, t) }
func (r both) Removed(load func() Load)     { r.a.Removed(load); r.b.Removed(load) }
func (r both) Drained(last Load)            { r.a.Drained(last); r.b.Drained(last) }

// statusCallerGone is recorded for a call whose caller left before the answer, as nginx does. It is never
// sent.
const statusCallerGone = 499

func statusOf(err error) int {
	code := hearth.CodeOf(err)
	if code == hearth.Internal &&
		(errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return statusCallerGone
	}
	return code.Status()
}
