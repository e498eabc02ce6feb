package history

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

// maxChanges is how many changes of a function's replicas are remembered.
const maxChanges = 100

// Config is what a History works with. Both are required.
type Config struct {
	// Load returns what a function does here. It is router.Router's.
	Load func(hearth.Name) (router.Load, bool)
	// Queued returns how many messages wait in the queues of a function.
	Queued func(hearth.Name) int
}

// A Point is one step of a function's history. The quantiles are nil if no call ended in it.
type Point struct {
	T        time.Time `json:"t"`      // when the step began
	Rate     float64   `json:"rate"`   // calls that ended, a second
	Errors   float64   `json:"errors"` // of these, those with a status from 500
	P50      *float64  `json:"p50_ms"`
	P95      *float64  `json:"p95_ms"`
	P99      *float64  `json:"p99_ms"`
	Replicas int       `json:"replicas"` // at the end of the step
	Queued   int       `json:"queued"`
}

// A Change is a change of how many replicas a function should have here.
type Change struct {
	At     time.Time `json:"at"`
	From   int       `json:"from"`
	To     int       `json:"to"`
	Reason string    `json:"reason"`
}

// A Report is the history of a function.
type Report struct {
	StepS   int      `json:"step_s"`
	Points  []Point  `json:"points"`  // the oldest first
	Scaling []Change `json:"scaling"` // the newest first
}

// A History has the functions of one instance.
type History struct {
	cfg  Config
	stop context.CancelFunc // nil before Start
	work sync.WaitGroup

	mu        sync.RWMutex
	functions map[hearth.Name]*function
}

// New makes a history of nothing.
func New(cfg Config) *History {
	return &History{cfg: cfg, functions: map[hearth.Name]*function{}}
}

// Start begins to look at replicas and queues. The end of ctx does not stop it: Stop does. It returns an
// error if it was started before.
func (h *History) Start(ctx context.Context) error {
	if h.stop != nil {
		return errors.New("start the history: it was started before")
	}
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.work.Go(func() { h.run(ctx) })
	return nil
}

// Stop ends the looks. It is safe to call before Start, and twice.
func (h *History) Stop(context.Context) error {
	if h.stop != nil {
		h.stop()
		h.work.Wait()
	}
	return nil
}

// run looks at the end of each step.
func (h *History) run(ctx context.Context) {
	for {
		now := time.Now()
		timer := time.NewTimer(now.Truncate(fineStep).Add(fineStep).Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case now = <-timer.C:
			h.look(now)
		}
	}
}

// look ends the steps that are over.
func (h *History) look(now time.Time) {
	h.mu.RLock()
	list := make([]*function, 0, len(h.functions))
	for _, f := range h.functions {
		list = append(list, f) // the router makes recorders under a lock that Load wants
	}
	h.mu.RUnlock()
	for _, f := range list {
		load, _ := h.cfg.Load(f.name)
		f.look(now, uint32(load.Known), uint32(h.cfg.Queued(f.name)))
	}
}

// Recorder begins the history of a function. It is router.Config's.
func (h *History) Recorder(n hearth.Name) router.Recorder {
	now := time.Now()
	f := &function{
		h:      h,
		name:   n,
		fine:   newSeries(fineStep, finePoints, now),
		coarse: newSeries(coarseStep, coarsePoints, now),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.functions[n] = f
	return f
}

// Scaled notes a change of a function's replicas.
func (h *History) Scaled(n hearth.Name, from, to int, reason string) {
	if f := h.find(n); f != nil && from != to {
		f.scaled(Change{At: time.Now().UTC(), From: from, To: to, Reason: reason})
	}
}

// Of returns the history of a function, in fine or coarse steps. ok is false if there is no such function.
func (h *History) Of(n hearth.Name, coarse bool, now time.Time) (r Report, ok bool) {
	f := h.find(n)
	if f == nil {
		return r, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.fine
	if coarse {
		s = &f.coarse
	}
	r = Report{StepS: int(s.length.Seconds()), Points: s.points(now), Scaling: slices.Clone(f.changes)}
	slices.Reverse(r.Scaling)
	if r.Scaling == nil {
		r.Scaling = []Change{}
	}
	return r, true
}

func (h *History) find(n hearth.Name) *function {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.functions[n]
}

// function is one function's history. It is a router.Recorder.
type function struct {
	h    *History
	name hearth.Name

	mu           sync.Mutex
	fine, coarse series
	replicas     uint32 // as of the last look
	queued       uint32
	changes      []Change
}

// Started implements router.Recorder.
func (f *function) Started() {}

// Held implements router.Recorder.
func (f *function) Held() {}

// Given implements router.Recorder.
func (f *function) Given(time.Duration) {}

// Denied implements router.Recorder.
func (f *function) Denied() {}

// Ended implements router.Recorder.
func (f *function) Ended(status int, took time.Duration) {
	failed := uint32(0)
	if status >= http.StatusInternalServerError {
		failed = 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close(time.Now())
	f.fine.count(1, failed).add(took)
	f.coarse.calls++
	f.coarse.errors += failed
}

// Removed implements router.Recorder.
func (f *function) Removed(func() router.Load) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	if f.h.functions[f.name] == f {
		delete(f.h.functions, f.name)
	}
}

// Drained implements router.Recorder.
func (f *function) Drained(router.Load) {}

// close ends the steps that are over. The buckets of a fine step become part of the coarse one. f.mu is held.
func (f *function) close(now time.Time) {
	began := time.Unix(0, f.fine.step*int64(fineStep))
	if ended := f.fine.close(now, f.replicas, f.queued); ended != nil {
		f.coarse.close(began, f.replicas, f.queued) // a coarse step ends with a fine one
		f.coarse.count(0, 0).merge(ended)
	}
	f.coarse.close(now, f.replicas, f.queued)
}

// look notes replicas and queued messages, for the step that is over.
func (f *function) look(now time.Time, replicas, queued uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replicas, f.queued = replicas, queued
	f.close(now)
	// A call may have ended the steps before, with what was known then.
	for _, s := range []*series{&f.fine, &f.coarse} {
		if last := s.last(); last != nil && last.step == s.step-1 {
			last.replicas, last.queued = replicas, queued
		}
	}
}

func (f *function) scaled(c Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.changes) == maxChanges {
		f.changes = append(f.changes[:0], f.changes[1:]...)
	}
	f.changes = append(f.changes, c)
}
