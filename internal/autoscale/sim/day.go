package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The recorded day is that of the bakery's oven: four trays at once, and twelve minutes for each, give or take two. It is sped up: 60
// times leaves a day of eight minutes, in which a window of 30 s is half an hour of the bakery's.
const (
	racks = 4
	bake  = 12 * time.Minute
)

// oven is what runs the day.
func oven(rnd *rand.Rand) spec {
	return spec{concurrency: racks, begin: 1, start: cold("process", rnd), labels: map[string]string{"max": "1000"}, queued: true}
}

func dayTables(o options) (tables []table, err error) {
	for _, speed := range []float64{1, 60, 600} {
		calls, err := dayCalls(o, speed)
		if err != nil {
			return nil, err
		}
		t := table{Title: fmt.Sprintf("A recorded day: %s of %s in %d shops, %d trays, %g times faster than the clock: %v with bakes of %v", o.day, o.file, o.shops, len(calls), speed,
			calls[len(calls)-1].at.Round(time.Second), time.Duration(float64(bake)/speed).Round(time.Millisecond)),
			Head: []string{"window", "panic", "proportion", "replica-s", "of oracle", "of peak fleet", "most", "starts", "wait p50", "p99", "done p99"}}
		var best result
		for i, s := range settings() {
			res := runDay(o, s.apply(oven(newRand(o.seed, 2))), calls)
			if i == 0 {
				best = res
			}
			t.Rows = append(t.Rows, append(s.cells(), dayCells(res, best)...))
		}
		mean := int(math.Ceil(best.Load.Seconds() / dayEnd(calls).Seconds() / racks))
		for _, fixed := range []struct {
			name string
			n    int
		}{{"fixed: the mean", mean}, {"fixed: the peak", best.Most}} {
			s := oven(newRand(o.seed, 2))
			s.fixed, s.begin = true, fixed.n
			t.Rows = append(t.Rows, append([]string{fixed.name, "", ""}, dayCells(runDay(o, s, calls), best)...))
		}
		t.Rows = append(t.Rows, []string{"oracle", "", "", fmt.Sprintf("%.0f", best.Oracle.Seconds()), "1.00", "", fmt.Sprint(best.Most)})
		t.Rows = append(t.Rows, []string{"... at each call", "", "", fmt.Sprintf("%.0f", best.Instant.Seconds()), fmt.Sprintf("%.2f", best.Instant.Seconds()/best.Oracle.Seconds())})
		tables = append(tables, t)
	}
	return tables, nil
}

// dayCalls are the day's trays.
func dayCalls(o options, speed float64) ([]call, error) {
	rnd := newRand(o.seed, 1)
	return recorded(o.file, o.day, o.shops, speed, rnd, func() time.Duration {
		minutes := bake.Minutes() + 2*rnd.NormFloat64()
		return time.Duration(max(1, minutes) * float64(time.Minute) / speed)
	})
}

// dayEnd is when the last tray would be done, if none waited.
func dayEnd(calls []call) time.Duration {
	last := slices.MaxFunc(calls, func(a, b call) int { return int(a.at + a.run - b.at - b.run) })
	return last.at + last.run
}

func runDay(_ options, s spec, calls []call) result {
	s.until = dayEnd(calls)
	return simulate(s, listed(calls), nil)
}

func dayCells(res, best result) []string {
	peak := float64(best.Most) * best.Replicas.Seconds() / max(best.Replicas.Seconds(), 1)
	_ = peak
	return []string{fmt.Sprintf("%.0f", res.Replicas.Seconds()), fmt.Sprintf("%.2f", res.Replicas.Seconds()/best.Oracle.Seconds()), "",
		fmt.Sprint(res.Peak), fmt.Sprint(res.Starts), millis(res.Wait.quantile(.5)), millis(res.Wait.quantile(.99)), millis(res.Response.quantile(.99))}
}
