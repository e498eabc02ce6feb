package main

import (
	"math"
	"slices"
	"time"
)

// racks is how many trays one oven takes at once: max_inflight of stack.yml.
const racks = 4

// A demand is what a day asks of the ovens, seen in a run in which there always was a free one: so it is the
// arrivals', and not that of a bakery that could not keep up.
type demand struct {
	Mean float64 // ovens that would do if all were spread evenly
	Most float64 // trays that bake at once, at most

	ForMean int // ovens of a fleet sized for the mean
	ForPeak int // ovens of a fleet in which no tray ever waits

	// seconds of ovens, of one who knows the arrivals: at each moment as many as the trays then need
	Oracle float64
}

// demandOf sums up how many trays bake at each step.
func demandOf(s series) demand {
	var d demand
	sum := 0.0
	for _, n := range s.values {
		sum += n
		d.Oracle += math.Ceil(n/racks) * s.step.Seconds()
	}
	d.Most = slices.Max(s.values)
	d.Mean = sum / float64(len(s.values)) / racks
	d.ForMean = max(1, int(math.Ceil(d.Mean)))
	d.ForPeak = max(1, int(math.Ceil(d.Most/racks)))
	return d
}

// A wait is one order's: when it came, after the first, and how long it waited until it was served.
type wait struct {
	came   time.Duration
	waited time.Duration
	served bool
}

// quantile is by nearest rank, of the orders that came from one moment on and before another, in
// milliseconds. An order that was never served has waited for ever.
func quantile(waits []wait, from, to time.Duration, percent int) float64 {
	var all []float64
	for _, w := range waits {
		switch {
		case w.came < from || w.came >= to:
		case w.served:
			all = append(all, float64(w.waited.Milliseconds()))
		default:
			all = append(all, math.Inf(1))
		}
	}
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return all[max(0, (len(all)*percent+99)/100-1)]
}

// backUnder is how long after a burst began the 99th percentile of the orders of each following second, until
// the burst's end, stays under a bound. ok is false if it never does.
func backUnder(waits []wait, began, ended time.Duration, bound float64) (after time.Duration, ok bool) {
	after = ended - began
	for at := ended - time.Second; at >= began; at -= time.Second {
		if p := quantile(waits, at, at+time.Second, 99); p >= bound {
			break
		}
		after = at - began
	}
	return after, after < ended-began
}
