package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/autoscale"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
)

// spec is a function, and what it runs on.
type spec struct {
	concurrency int               // calls that a replica takes at once
	labels      map[string]string // com.openfaas.scale.*, without that prefix
	queued      bool              // calls wait on a queue, and else in the router
	start       delay             // from a replica's order to its first call
	begin       int               // replicas at the beginning, which are ready
	fixed       bool              // it keeps them
	stable      time.Duration
	panics      time.Duration
	from        time.Duration // what happens before is not counted, so that the beginning does not matter
	until       time.Duration // when no more calls come; those that are there are served
}

// A result is what came of it. All but the calls are of the time that is counted.
type result struct {
	Arrived, Served uint64 // calls, ever

	Calls    uint64        // counted
	Cold     uint64        // of them, that came when no replica was ready
	Wait     histogram     // until a replica took them
	Response histogram     // until they were done
	Replicas time.Duration // that replicas were there, starting and ending included
	Peak     int           // the most of them
	Awake    time.Duration // that there was at least one
	Starts   int           // of replicas
	Woken    int           // times that a call found it asleep

	Oracle  time.Duration // see oracle
	Instant time.Duration
	Most    int           // replicas of the oracle
	Load    time.Duration // calls in flight over time, if none waited
}

const tick = 250 * time.Millisecond // autoscale's

// epoch is when simulations begin. Nothing depends on it.
var epoch = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

type call struct{ at, run time.Duration }

type replica struct {
	ready  bool
	ending bool
	has    int // calls
	place  int // in live, while it does not end
}

// A function is simulated alone: it shares no machine with others.
type function struct {
	spec
	res     result
	served  func(c call, began time.Duration) // hears of each call that is done, if it is not nil
	scaler  *autoscale.Autoscaler
	changes uint64
	deploy  hearth.Function

	now     time.Duration
	events  heap[*replica] // ends of calls, and of starts
	live    []*replica     // that are to be there, the newest at the end
	alive   int            // with those that end
	ready   int
	free    []places // by how many calls they have, those that take more
	waiting fifo
	flying  int
	ending  int // of these, on replicas that end
	came    uint64
	busy    time.Duration // flying over time
	load    time.Duration // with those that wait in the router
	oracle  oracle
}

// simulate runs a function until all calls are served. next gives the calls in order of time.
func simulate(s spec, next func() (call, bool), served func(c call, began time.Duration)) result {
	f := &function{spec: s, served: served, free: make([]places, s.concurrency)}
	labels := map[string]string{}
	for k, v := range s.labels {
		labels["com.openfaas.scale."+k] = v
	}
	deploy, err := hearth.Parse(types.FunctionDeployment{
		Service: "simulated",
		Image:   "simulated",
		Labels:  &labels,
		EnvVars: map[string]string{"max_inflight": fmt.Sprint(s.concurrency)},
	})
	if err != nil {
		panic(err) // the labels are constants of this command
	}
	f.deploy, f.deploy.Revision = deploy, "1"
	f.oracle = oracle{concurrency: s.concurrency, floor: f.floor(), from: s.from, until: s.until}
	f.scaler, err = autoscale.New(autoscale.Config{
		Load:    f.observe,
		Backlog: f.backlog,
		Waiting: f.depths,
		Scale:   f.scaleFrom,
		Log:     slog.New(slog.DiscardHandler),
		Tick:    tick,
		Stable:  s.stable,
		Panic:   s.panics,
	})
	if err != nil {
		panic(err) // the configuration is this command's
	}
	defer func() { _ = f.scaler.Stop(context.Background()) }()
	f.start = delay{}
	f.scale(s.begin)
	f.start = s.start
	f.run(next)
	f.res.Oracle, f.res.Instant, f.res.Most, f.res.Load = f.oracle.result()
	return f.res
}

// floor is the fewest replicas that the function must have.
func (f *function) floor() int {
	if s := f.deploy.Scaling; !s.Zero {
		return s.Min
	}
	return 0
}

func (f *function) run(next func() (call, bool)) {
	c, more := next()
	nextTick := tick
	for more || f.waiting.len() > 0 || f.flying > 0 || f.now < f.until {
		at, what := f.until, 0
		if more {
			at, what = c.at, 1
		}
		if e, ok := f.events.first(); ok && (e <= at || what == 0) {
			at, what = e, 2
		}
		if nextTick < f.now { // it slept
			nextTick = (f.now/tick + 1) * tick
		}
		if !f.fixed && len(f.live) > 0 && (nextTick < at || what == 0) {
			at, what = nextTick, 3
		}
		f.pass(at)
		switch what {
		case 1:
			f.arrive(c)
			c, more = next()
		case 2:
			f.event(f.events.pop())
		case 3:
			nextTick += tick
			f.scaler.Tick(context.Background(), epoch.Add(f.now))
		}
	}
}

// pass lets time pass, in which nothing happens.
func (f *function) pass(to time.Duration) {
	passed := to - f.now
	f.busy += time.Duration(f.flying) * passed
	f.load += time.Duration(f.flying) * passed
	if !f.queued {
		f.load += time.Duration(f.waiting.len()) * passed
	}
	if counted := min(to, f.until) - max(f.now, f.from); counted > 0 {
		f.res.Replicas += time.Duration(f.alive) * counted
		f.res.Peak = max(f.res.Peak, f.alive)
		if f.alive > 0 {
			f.res.Awake += counted
		}
	}
	f.now = to
}

func (f *function) arrive(c call) {
	f.res.Arrived++
	f.came++
	f.oracle.arrive(c)
	if f.counts(c) {
		f.res.Calls++
		if f.ready == 0 {
			f.res.Cold++
		}
	}
	if r := f.idlest(); r != nil {
		f.take(r, c)
		return
	}
	f.waiting.push(c)
	if len(f.live) == 0 && !f.fixed {
		if f.counts(c) {
			f.res.Woken++
		}
		f.scale(max(1, f.deploy.Scaling.Min))
	}
}

func (f *function) counts(c call) bool { return c.at >= f.from && c.at < f.until }

// idlest is the ready replica with the fewest calls, of these the oldest, as router picks it; nil if all are
// full.
func (f *function) idlest() *replica {
	for i := range f.free {
		if first, ok := f.free[i].first(); ok {
			return f.live[first]
		}
	}
	return nil
}

// take gives a call to a replica.
func (f *function) take(r *replica, c call) {
	f.list(r, false)
	r.has++
	f.flying++
	f.list(r, true)
	f.events.push(f.now+c.run, r)
	if f.counts(c) {
		f.res.Wait.add(f.now - c.at)
		f.res.Response.add(f.now + c.run - c.at)
	}
	if f.served != nil {
		f.served(c, f.now)
	}
}

// event is the end of a replica's start, or of one of its calls.
func (f *function) event(r *replica) {
	if !r.ready {
		if r.ending {
			f.alive--
			return
		}
		r.ready = true
		f.ready++
	} else {
		f.list(r, false)
		r.has--
		f.flying--
		f.res.Served++
		if r.ending {
			f.ending--
			if r.has == 0 {
				f.alive--
			}
			return
		}
	}
	f.list(r, true)
	for r.has < f.concurrency && f.waiting.len() > 0 {
		f.take(r, f.waiting.pop())
	}
}

// list puts a replica among those that take calls, or takes it out.
func (f *function) list(r *replica, in bool) {
	if r.ready && !r.ending && r.has < f.concurrency {
		f.free[r.has].set(r.place, in)
	}
}

// scale starts replicas, and ends the newest ones, as package replicaset does.
func (f *function) scale(to int) {
	for len(f.live) < to {
		r := &replica{place: len(f.live)}
		f.live = append(f.live, r)
		f.alive++
		if f.now >= f.from {
			f.res.Starts++
		}
		f.events.push(f.now+f.start.draw(), r)
	}
	for len(f.live) > to {
		r := f.live[len(f.live)-1]
		f.live = f.live[:len(f.live)-1]
		f.list(r, false)
		r.ending = true
		f.ending += r.has
		if r.ready {
			f.ready--
		}
		if r.ready && r.has == 0 {
			f.alive--
		}
	}
	f.deploy.Replicas = to
	if !f.fixed {
		f.changes++
		f.scaler.Set(f.deploy, f.changes)
	}
}

// What follows is what the autoscaler looks at, and does.

func (f *function) observe(hearth.Name) (router.Load, bool) {
	l := router.Load{
		Calls:     f.came,
		InFlight:  f.flying,
		Ending:    f.ending,
		LoadTime:  f.load,
		BusyTime:  f.busy,
		Known:     len(f.live),
		Available: f.ready,
	}
	if f.queued {
		l.Calls -= uint64(f.waiting.len())
	} else {
		l.Held = f.waiting.len()
	}
	return l, true
}

func (f *function) backlog(hearth.Name) []wire.Subscription {
	if !f.queued || f.waiting.len() == 0 {
		return nil
	}
	return []wire.Subscription{{}}
}

func (f *function) depths(context.Context, []wire.Subscription) ([]int, error) {
	return []int{f.waiting.len()}, nil
}

func (f *function) scaleFrom(_ context.Context, _ hearth.Name, change uint64, to int) error {
	if change != f.changes {
		return hearth.Errorf(hearth.Conflict, "it was changed meanwhile")
	}
	f.scale(to)
	return nil
}

// with is the spec with another label.
func (s spec) with(label, value string) spec {
	s.labels = maps.Clone(s.labels)
	if s.labels == nil {
		s.labels = map[string]string{}
	}
	s.labels[label] = value
	return s
}
