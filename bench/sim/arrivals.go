package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// A delay is a time that is drawn anew each time: lognormal, by its median and its 99th percentile.
type delay struct {
	p50, p99 time.Duration
	rnd      *rand.Rand
}

// z99 is how many standard deviations the 99th percentile is above the mean of a normal distribution.
const z99 = 2.3263

func (d delay) draw() time.Duration {
	if d.p99 <= d.p50 {
		return d.p50
	}
	sigma := math.Log(float64(d.p99)/float64(d.p50)) / z99
	return time.Duration(float64(d.p50) * math.Exp(sigma*d.rnd.NormFloat64()))
}

// exponential draws a run time with this mean.
func exponential(rnd *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(rnd.ExpFloat64() * float64(mean))
}

// poisson makes calls at a rate that changes, up to most a second: a call that would come at the highest rate
// comes with the probability of the present one.
func poisson(
	rnd *rand.Rand,
	most float64,
	rate func(at time.Duration) float64,
	run func() time.Duration,
	from, until time.Duration,
) func() (call, bool) {
	at := from
	return func() (call, bool) {
		for {
			at += time.Duration(rnd.ExpFloat64() / most * float64(time.Second))
			if at >= until || at < 0 {
				return call{}, false
			}
			if rate == nil || rnd.Float64()*most < rate(at) {
				return call{at, run()}, true
			}
		}
	}
}

// listed makes calls that are known.
func listed(calls []call) func() (call, bool) {
	return func() (call, bool) {
		if len(calls) == 0 {
			return call{}, false
		}
		c := calls[0]
		calls = calls[1:]
		return c, true
	}
}

// spread is by how much an order comes later in another shop, at most: as bakery replay has it.
const spread = 10 * time.Minute

// recorded is a day of a till's file as orders, each of them in each shop, sped up. The file is one that
// bakery replay reads: CSV with the columns Date, Time, Transaction and Item. What cannot be read is skipped,
// as there.
func recorded(
	path, day string,
	shops int,
	speed float64,
	rnd *rand.Rand,
	run func() time.Duration,
) (calls []call, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	in := csv.NewReader(f)
	in.FieldsPerRecord = -1
	rows, err := in.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	orders := map[string]time.Time{}
	for _, row := range rows {
		if len(row) < 4 || row[0] != day {
			continue
		}
		if at, err := time.Parse(time.TimeOnly, row[1]); err == nil {
			orders[row[2]] = at
		}
	}
	if len(orders) == 0 {
		return nil, fmt.Errorf("%s: there is no order on %s", path, day)
	}
	times := make([]time.Time, 0, len(orders))
	for _, at := range orders {
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, at := range times {
		for shop := range shops {
			after := at.Sub(times[0])
			if shop > 0 {
				after += time.Duration(rnd.Int64N(int64(spread)))
			}
			calls = append(calls, call{time.Duration(float64(after) / speed), 0})
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return int(a.at - b.at) })
	for i := range calls {
		calls[i].run = run()
	}
	return calls, nil
}
