package autoscale

import (
	"sort"
	"time"

	"github.com/hearthfaas/hearth/internal/router"
)

// A sample is what a function has done since it was deployed or this instance began, up to one moment.
type sample struct {
	at       time.Time
	calls    uint64        // that came
	inFlight int           // then
	load     time.Duration // of all calls in flight or held, together
	busy     time.Duration // of those in flight
	cpu      float64       // thousandths of a core, times seconds
}

func sampleOf(l router.Load, cpu float64, at time.Time) sample {
	return sample{
		at:       at,
		calls:    l.Calls,
		inFlight: l.InFlight + l.Held,
		load:     l.LoadTime,
		busy:     l.BusyTime,
		cpu:      cpu,
	}
}

// samples are those of one function, oldest first: as many as the stable window needs.
type samples []sample

// add adds one, and drops what no window reaches back to. Counters that have gone
// back are another life's: it begins anew.
func (l samples) add(s sample, longest time.Duration) samples {
	if n := len(l); n > 0 && (s.calls < l[n-1].calls || s.load < l[n-1].load || s.busy < l[n-1].busy) {
		l = l[:0]
	}
	drop := 0
	// the next one is old enough to begin the window
	for drop+1 < len(l) && s.at.Sub(l[drop+1].at) >= longest {
		drop++
	}
	if drop > 0 {
		l = append(l[:0], l[drop:]...)
	}
	return append(l, s)
}

// since is the newest sample that is at least so old, or the oldest. whole tells that it is so old.
func (l samples) since(window time.Duration) (first sample, whole bool) {
	oldest := l[len(l)-1].at.Add(-window)
	younger := sort.Search(len(l), func(i int) bool { return l[i].at.After(oldest) })
	if younger == 0 {
		return l[0], false
	}
	return l[younger-1], true
}

// average is what the function did in the last window, or in what is known of it.
func (l samples) average(window time.Duration) Average { return l.averageOf(window, window) }

// averageOf is the average of a part of a window: its last so much.
func (l samples) averageOf(part, window time.Duration) (a Average) {
	if len(l) == 0 {
		return a
	}
	last := l[len(l)-1]
	first, _ := l.since(part)
	_, a.Whole = l.since(window)
	if took := last.at.Sub(first.at).Seconds(); took > 0 {
		a.InFlight = (last.load - first.load).Seconds() / took
		a.Busy = (last.busy - first.busy).Seconds() / took
		a.Rate = float64(last.calls-first.calls) / took
		a.CPU = (last.cpu - first.cpu) / took
	}
	return a
}

// runTime is how long a call takes on average. It counts calls in flight during the window, and only their
// time within it. It is 0 if there were none.
func (l samples) runTime(window time.Duration) time.Duration {
	if len(l) == 0 {
		return 0
	}
	last := l[len(l)-1]
	first, _ := l.since(window)
	calls := int64(last.calls-first.calls) + int64(first.inFlight)
	if calls == 0 {
		return 0
	}
	return (last.busy - first.busy) / time.Duration(calls)
}

// A peak is the largest of the values of a window, by the sliding-window maximum: values that a
// later, larger one makes pointless are dropped.
type peak []struct {
	at    time.Time
	value int
}

func (p peak) add(value int, at time.Time, window time.Duration) peak {
	for len(p) > 0 && p[len(p)-1].value <= value {
		p = p[:len(p)-1]
	}
	p = append(p, struct {
		at    time.Time
		value int
	}{at, value})
	for len(p) > 0 && at.Sub(p[0].at) > window {
		p = p[1:]
	}
	return p
}

func (p peak) highest() int {
	if len(p) == 0 {
		return 0
	}
	return p[0].value
}
