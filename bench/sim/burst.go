package main

import (
	"fmt"
	"slices"
	"time"
)

// A rush: calls at a steady rate, and ten times as many from one moment on.
type rush struct {
	name        string
	rate        float64 // a second, before
	run         time.Duration
	concurrency int
	start       string // see cold
	queued      bool
}

const (
	calm   = 2 * time.Minute // before the rush; the first half is not looked at
	rushes = time.Minute     // for which it lasts
	times  = 10
)

func rushKinds() []rush {
	const ms = time.Millisecond
	return []rush{
		{"20/s of 100 ms, one at a time, processes", 20, 100 * ms, 1, "process", false},
		{"the same, frozen containers", 20, 100 * ms, 1, "frozen", false},
		{"the same, new containers", 20, 100 * ms, 1, "new", false},
		{"the same, queued, processes", 20, 100 * ms, 1, "process", true},
		{"10/s of 1.2 s, four at a time, queued, processes", 10, 1200 * ms, 4, "process", true},
		{"200/s of 20 ms, one at a time, processes", 200, 20 * ms, 1, "process", false},
		{"5/s of 1 s, one at a time, processes", 5, 1000 * ms, 1, "process", false},
	}
}

// A rushResult is what rushes came to, with several seeds: the quantiles are of all their calls together.
type rushResult struct {
	calm     histogram                       // responses before the rush
	seconds  [rushes / time.Second]histogram // of the calls of each second from the rush on
	replicas time.Duration
	oracle   time.Duration
	starts   int
	peak     int
}

// back is after how long no second's p99 is over twice that of the calm any more.
func (r *rushResult) back() (d time.Duration) {
	for i := range r.seconds {
		if r.seconds[i].quantile(.99) > 2*r.calm.quantile(.99) {
			d = time.Duration(i+1) * time.Second
		}
	}
	return d
}

func (r *rushResult) worst() (d time.Duration) {
	for i := range r.seconds {
		d = max(d, r.seconds[i].quantile(.99))
	}
	return d
}

const rushSeeds = 20

func runRush(k rush, s setting, seed uint64, seeds int) (r rushResult) {
	until := calm + rushes
	rate := func(at time.Duration) float64 {
		if at < calm {
			return k.rate
		}
		return k.rate * times
	}
	for n := range uint64(seeds) {
		rnd := newRand(seed+n, 3)
		sp := s.apply(spec{
			concurrency: k.concurrency,
			begin:       1,
			queued:      k.queued,
			start:       cold(k.start, newRand(seed+n, 4)),
			labels:      map[string]string{"max": "1000"},
			from:        calm / 2,
			until:       until,
		})
		calls := poisson(rnd, k.rate*times, rate, func() time.Duration {
			return exponential(rnd,
				k.run)
		}, 0, until)
		res := simulate(sp, calls, func(c call, began time.Duration) {
			took := began + c.run - c.at
			switch {
			case c.at >= calm:
				r.seconds[(c.at-calm)/time.Second].add(took)
			case c.at >= calm/2:
				r.calm.add(took)
			}
		})
		r.replicas, r.oracle, r.starts, r.peak = r.replicas+res.Replicas, r.oracle+res.Oracle,
			r.starts+res.Starts, max(r.peak, res.Peak)
	}
	return r
}

func burstTables(o options) (tables []table, err error) {
	for _, k := range rushKinds() {
		t := table{Title: "A rush: " + k.name + ", and ten times as many for a minute",
			Notes: []string{fmt.Sprintf("p99 of each second's calls, from call to answer, of %d rushes; "+
				"back is when it is under twice that of the calm, and stays so", rushSeeds)},
			Head: append(slices.Clone(settingColumns), "calm p99", "first s", "worst s", "last s", "back",
				"of oracle", "starts", "most replicas")}
		for _, s := range settings() {
			r := runRush(k, s, o.seed, rushSeeds)
			t.Rows = append(t.Rows, append(s.cells(), millis(r.calm.quantile(.99)),
				millis(r.seconds[0].quantile(.99)), millis(r.worst()),
				millis(r.seconds[len(r.seconds)-1].quantile(.99)),
				seconds(r.back()), ratio(r.replicas, r.oracle), fmt.Sprint(r.starts/rushSeeds),
				fmt.Sprint(r.peak)))
		}
		tables = append(tables, t)
	}
	return tables, nil
}
