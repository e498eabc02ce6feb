package autoscale

import (
	"fmt"
	"math"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Stats are what is known of a function at one moment.
type Stats struct {
	Present int  // replicas that there should be; 0 is asleep
	Failing bool // none has ever been ready, and one cannot start
	Warm    int  // the fewest that there should be by the clock, now

	Stable, Panic Average       // over the two windows
	Waiting       int           // calls that are queued and that nobody has taken, or held for a replica, now
	InFlight      int           // calls that a replica has, now
	Ending        int           // of these, that replicas have which are ending
	RunTime       time.Duration // of a call, on average, lately; 0 if there was none
	Concurrency   int           // calls that a replica takes at once

	Busy   time.Time // when it was last seen with a call, queued ones too
	ByHand time.Time // when an operator set its size; zero if nobody has, or a call has woken it since
	// the most that was needed within the stable window, or wanted within the down window; 0 if there is none
	Highest int
}

// An Average is what a function did in one window.
type Average struct {
	Whole    bool    // the window is known from its beginning to its end
	InFlight float64 // calls that a replica had, or that were held
	Busy     float64 // of these, that a replica had
	Rate     float64 // calls that came, a second
	CPU      float64 // thousandths of a core
}

// Goals are common to all functions.
type Goals struct {
	Drain time.Duration // within which what is queued is to be worked off
	Keep  time.Duration // for which a size that an operator has set stays
}

// A Decision is how many replicas there should be, and why.
type Decision struct {
	Replicas int
	Wanted   int    // by the load alone: before the caps on how fast it grows and shrinks
	Needed   int    // for the calls alone that replicas had in the panic window
	Reason   string // for the log: "12.2 calls in flight, 4.0 for a replica"
}

// Growth in one tick: to so many times the size, or by so many, whichever is more.
const (
	growTimes = 2
	growBy    = 4
)

// Decide says how many replicas a function should have. It is pure.
func Decide(s Stats, spec hearth.Scaling, g Goals, now time.Time) Decision {
	d := decide(s, spec, g, now)
	if !s.ByHand.IsZero() && now.Sub(s.ByHand) < g.Keep {
		d.Replicas, d.Reason = s.Present, "set by hand"
	}
	return d
}

// decide is Decide, whoever has set the present size.
func decide(s Stats, spec hearth.Scaling, g Goals, now time.Time) Decision {
	floor := max(spec.Min, min(s.Warm, spec.Max))
	if s.Present == 0 { // the router wakes it for a call
		return Decision{Replicas: min(s.Warm, spec.Max), Reason: "its warm time has begun"}
	}
	idle := now.Sub(s.Busy)
	if spec.Zero && s.Warm == 0 && s.Waiting == 0 && s.InFlight == 0 && idle >= spec.ZeroAfter {
		return Decision{Replicas: 0, Reason: fmt.Sprintf("no call for %v", spec.ZeroAfter)}
	}
	d := Decision{Wanted: s.Present, Reason: "its warm time has begun"}
	if !spec.Fixed() {
		d.Wanted, d.Reason = want(s, spec, g)
		d.Needed, _ = want(s.taken(spec), spec, g)
	} else { // it keeps what an operator has given it
		floor = min(s.Warm, spec.Max)
	}
	if d.Wanted > s.Present && s.Ending > 0 && !spec.Fixed() {
		d.Wanted, d.Reason = want(s.staying(), spec, g)
		d.Wanted = max(d.Wanted, s.Present)
	}
	d.Wanted = min(max(d.Wanted, floor), spec.Max)
	d.Replicas = d.Wanted
	switch {
	case d.Wanted > s.Present && s.Failing:
		d.Replicas = s.Present
	case d.Wanted > s.Present:
		d.Replicas = min(d.Wanted, max(growTimes*s.Present, s.Present+growBy, floor))
	case d.Wanted < s.Present && !s.Stable.Whole:
		d.Replicas = min(s.Present, spec.Max)
	case d.Wanted < s.Present:
		d.Replicas = min(max(d.Wanted, s.Highest), s.Present)
	}
	return d
}

// want is what the load asks for, by the function's signal: the larger of both windows.
func want(s Stats, spec hearth.Scaling, g Goals) (replicas int, reason string) {
	each := spec.Target * spec.Proportion
	load := func(a Average) float64 { return a.InFlight }
	unit := "calls in flight"
	switch spec.Signal {
	case hearth.SignalWork:
		load = s.work
	case hearth.SignalRate:
		load, unit = func(a Average) float64 { return a.Rate }, "calls a second"
	case hearth.SignalCPU:
		load, unit = func(a Average) float64 { return a.CPU }, "thousandths of a core"
	case hearth.SignalQueue:
		load, unit = func(Average) float64 {
			return float64(s.Waiting +
				s.InFlight)
		}, "calls queued or in flight"
	}
	most := max(load(s.Stable), load(s.Panic))
	replicas, reason = ceil(most/each), fmt.Sprintf("%.1f %s, %.1f for a replica", most, unit, each)
	if spec.Signal != hearth.SignalWork {
		return replicas, reason
	}
	if n := drain(s, g); n > replicas {
		return n, fmt.Sprintf("%d calls wait, %v each", s.Waiting, s.RunTime.Round(time.Millisecond))
	}
	return replicas, reason
}

// brief is for how long a free replica is waited for before another is started.
const brief = 250 * time.Millisecond

// work is how many calls there have to be replicas for: all that a replica had, and of those
// that were held, as many as are not soon taken by one that gets free. 500 that are held, of 20
// ms each, are done within the moment by 40.
func (s Stats) work(a Average) float64 { return a.Busy + (a.InFlight-a.Busy)*part(s.RunTime, brief) }

// staying is without the calls of replicas that end: these have one. They count where it is about shrinking,
// or each replica that ends would be followed by the next.
func (s Stats) staying() Stats {
	n := float64(s.Ending)
	for _, a := range []*Average{&s.Stable, &s.Panic} {
		a.InFlight, a.Busy = max(0, a.InFlight-n), max(0, a.Busy-n)
	}
	s.InFlight -= s.Ending
	return s
}

// taken is what replicas had in the panic window, without what waited for one:
// that is worked off, and keeps no replica.
func (s Stats) taken(spec hearth.Scaling) Stats {
	s.Stable, s.Panic.InFlight = Average{}, s.Panic.Busy
	if spec.Signal != hearth.SignalQueue {
		s.Waiting = 0
	}
	return s
}

// drain is how many replicas work off what is queued, what is under way included, within the
// goal. What comes meanwhile is taken to be as much as they lately had, and needs them too. There
// are no more than there are calls to keep busy.
func drain(s Stats, g Goals) int {
	if s.Waiting == 0 {
		return 0
	}
	waiting, inFlight, times := float64(s.Waiting), float64(s.InFlight), part(s.RunTime, g.Drain)
	calls := waiting*times + max(inFlight*times, s.Panic.Busy)
	return ceil(min(calls, waiting+inFlight) / float64(max(s.Concurrency, 1)))
}

// part is which part of a time a call takes: all of it, if it takes longer or nobody knows.
func part(run, of time.Duration) float64 {
	if run == 0 {
		return 1
	}
	return min(run.Seconds()/of.Seconds(), 1)
}

// ceil rounds up, but for what floating point has added.
func ceil(v float64) int {
	if v >= math.MaxInt32 {
		return math.MaxInt32
	}
	return int(math.Ceil(v - 1e-9))
}
