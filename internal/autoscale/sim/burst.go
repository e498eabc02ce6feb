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
		{"2/s of 1 s, one at a time, processes", 2, 1000 * ms, 1, "process", false},
	}
}

// A rushResult is what a rush came to.
type rushResult struct {
	result
	steady time.Duration   // p99 of the response in the calm
	p99    []time.Duration // of the calls of each second from the rush on
	back   time.Duration   // after which no second's p99 is over twice the steady one; at most rushes
}

func runRush(k rush, s setting, seed uint64) rushResult {
	rnd := newRand(seed, 3)
	until := calm + rushes
	sp := s.apply(spec{concurrency: k.concurrency, begin: 1, queued: k.queued, start: cold(k.start, newRand(seed, 4)), labels: map[string]string{"max": "1000"}, from: calm / 2, until: until})
	var before histogram
	seconds := make([]histogram, rushes/time.Second)
	rate := func(at time.Duration) float64 {
		if at < calm {
			return k.rate
		}
		return k.rate * times
	}
	res := rushResult{result: simulate(sp, poisson(rnd, k.rate*times, rate, func() time.Duration { return exponential(rnd, k.run) }, 0, until), func(c call, began time.Duration) {
		took := began + c.run - c.at
		switch {
		case c.at >= calm:
			seconds[(c.at-calm)/time.Second].add(took)
		case c.at >= calm/2:
			before.add(took)
		}
	})}
	res.steady = before.quantile(.99)
	for i, h := range seconds {
		p := h.quantile(.99)
		res.p99 = append(res.p99, p)
		if p > 2*res.steady {
			res.back = time.Duration(i+1) * time.Second
		}
	}
	return res
}

func burstTables(o options) (tables []table, err error) {
	for _, k := range rushKinds() {
		t := table{Title: "A rush: " + k.name + ", and ten times as many for a minute",
			Notes: []string{"back: seconds after which no second's p99, from call to answer, is over twice that of the calm; the median of 9 seeds, and the most"},
			Head:  []string{"window", "panic", "proportion", "calm p99", "1st s p99", "worst p99", "back", "most", "of oracle", "starts", "most replicas"}}
		for _, s := range settings() {
			var backs []time.Duration
			var shown rushResult
			for seed := range uint64(9) {
				r := runRush(k, s, o.seed+seed)
				if seed == 0 {
					shown = r
				}
				backs = append(backs, r.back)
			}
			slices.Sort(backs)
			t.Rows = append(t.Rows, append(s.cells(), millis(shown.steady), millis(shown.p99[0]), millis(slices.Max(shown.p99)), seconds(backs[len(backs)/2]), seconds(backs[len(backs)-1]),
				fmt.Sprintf("%.2f", shown.Replicas.Seconds()/shown.Oracle.Seconds()), fmt.Sprint(shown.Starts), fmt.Sprint(shown.Peak)))
		}
		tables = append(tables, t)
	}
	return tables, nil
}
