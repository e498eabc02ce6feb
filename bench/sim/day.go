package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The recorded day is that of the bakery's oven: four trays at once, and twelve minutes for each, give or
// take two. It has 24 hours, in most of which the shops are closed. Sped up 60 times, it leaves 24 minutes,
// in which a window of 30 s is half an hour of the bakery's: only the idle time is sped up too.
const (
	racks = 4
	bake  = 12 * time.Minute
	night = 24 * time.Hour
	idle  = 15 * time.Minute
)

// oven is what runs the day. It may sleep, as stack.yml says.
func oven(rnd *rand.Rand, speed float64) spec {
	sped := func(d time.Duration) time.Duration { return time.Duration(float64(d) / speed) }
	return spec{concurrency: racks, start: cold("process", rnd), queued: true, until: sped(night),
		labels: map[string]string{"max": "1000", "zero": "true", "zero-duration": sped(idle).String()}}
}

func dayTables(o options) (tables []table, err error) {
	for _, speed := range []float64{1, 60} {
		calls, err := dayCalls(o, speed)
		if err != nil {
			return nil, err
		}
		tables = append(tables, dayTable(o, speed, calls))
	}
	return tables, nil
}

func dayTable(o options, speed float64, calls []call) table {
	run := func(change func(spec) spec) result {
		return simulate(change(oven(newRand(o.seed, 2), speed)), listed(calls), nil)
	}
	fixed := func(replicas int) result {
		return run(func(s spec) spec {
			s.fixed, s.begin = true, replicas
			return s
		})
	}
	usual := run(settings()[0].apply)
	open := calls[len(calls)-1].at
	peak, mean := fixed(usual.Most), fixed(int(math.Ceil(usual.Load.Seconds()/open.Seconds()/racks)))

	t := table{
		Title: fmt.Sprintf("A recorded day: %s of %s in %d shops, %g times faster than the clock",
			o.day, o.file, o.shops, speed),
		Notes: []string{fmt.Sprintf("%d trays within %v, %v each; the rest of %v is night",
			len(calls), open.Round(time.Second),
			time.Duration(float64(bake)/speed).Round(time.Millisecond),
			time.Duration(float64(night)/speed).Round(time.Second))},
		Head: append(slices.Clone(settingColumns), "replica-s", "of oracle", "of peak fleet", "most",
			"starts", "wait p50", "wait p99", "done p99", "of peak fleet"),
	}
	row := func(r result) []string {
		return []string{
			fmt.Sprintf("%.0f", r.Replicas.Seconds()),
			ratio(r.Replicas, r.Oracle),
			ratio(r.Replicas, peak.Replicas),
			fmt.Sprint(r.Peak),
			fmt.Sprint(r.Starts),
			millis(r.Wait.quantile(.5)),
			millis(r.Wait.quantile(.99)),
			millis(r.Response.quantile(.99)),
			ratio(r.Response.quantile(.99), peak.Response.quantile(.99)),
		}
	}
	for _, s := range settings() {
		t.Rows = append(t.Rows, append(s.cells(), row(run(s.apply))...))
	}
	t.Rows = append(t.Rows,
		append([]string{"fixed: the mean of the open hours", "", "", ""}, row(mean)...),
		append([]string{"fixed: the peak", "", "", ""}, row(peak)...),
		[]string{"oracle", "", "", "", fmt.Sprintf("%.0f", usual.Oracle.Seconds()), "1.00",
			ratio(usual.Oracle, peak.Replicas), fmt.Sprint(usual.Most)},
		[]string{"... that decides at each call", "", "", "", fmt.Sprintf("%.0f", usual.Instant.Seconds()),
			ratio(usual.Instant, usual.Oracle)})
	return t
}

// dayCalls are the day's trays.
func dayCalls(o options, speed float64) ([]call, error) {
	rnd := newRand(o.seed, 1)
	return recorded(o.file, o.day, o.shops, speed, rnd, func() time.Duration {
		minutes := bake.Minutes() + 2*rnd.NormFloat64()
		return time.Duration(max(1, minutes) * float64(time.Minute) / speed)
	})
}

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", a.Seconds()/b.Seconds()) }
