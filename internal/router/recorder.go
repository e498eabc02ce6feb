package router

import (
	"context"
	"errors"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Recorder is told about the calls of one function, at once from several goroutines and on the way of each call: its
// methods must not wait.
type Recorder interface {
	// Started tells that a call came.
	Started()
	// Held tells that a call found no replica that takes calls, and waits for one.
	Held()
	// Given tells that a call that was held has a replica now.
	Given(waited time.Duration)
	// Denied tells that a call that was held got none: none came in time, or none can start. Not if its caller left before.
	Denied()
	// Ended tells that a call is over, and with what status: the replica's, or that of the router's error. took is from
	// Started to the end of the answer's body.
	Ended(status int, took time.Duration)
	// Removed tells that the function takes no more calls. Those that are under way still end: load is what it has done by the time of
	// asking, until Drained.
	Removed(load func() Load)
	// Drained comes after Removed, when the last call and the last replica of the function have ended, and tells what it has done.
	Drained(last Load)
}

// nothing is a Recorder that keeps nothing.
type nothing struct{}

func (nothing) Started()                 {}
func (nothing) Held()                    {}
func (nothing) Given(time.Duration)      {}
func (nothing) Denied()                  {}
func (nothing) Ended(int, time.Duration) {}
func (nothing) Removed(func() Load)      {}
func (nothing) Drained(Load)             {}

// Recorders tell two what each call does.
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

// StatusCallerGone is recorded for a call whose caller left before the answer. No one is ever answered with it; nginx's logs
// made it the usual number for that.
const StatusCallerGone = 499

func statusOf(err error) int {
	code := hearth.CodeOf(err)
	if code == hearth.Internal && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return StatusCallerGone
	}
	return code.Status()
}
