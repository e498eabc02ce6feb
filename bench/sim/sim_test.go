package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// erlangC is the mean wait for one of so many servers, with calls that come at random and run for a random
// time.
func erlangC(rate float64, run time.Duration, servers int) time.Duration {
	a := rate * run.Seconds()
	term, sum := 1.0, 0.0
	for k := range servers {
		if k > 0 {
			term *= a / float64(k)
		}
		sum += term
	}
	last := term * a / float64(servers) * float64(servers) / (float64(servers) - a)
	return time.Duration(last / (sum + last) / (float64(servers) - a) * float64(run))
}

func TestErlangC(t *testing.T) {
	t.Parallel()
	require.InDelta(t, float64(time.Second), float64(erlangC(.5, time.Second, 1)), 1e3,
		"M/M/1 at half load: rho / (1 - rho)")
	require.InDelta(t, 1.0/3, erlangC(1, time.Second, 2).Seconds(), 1e-6, "M/M/2 at half load")
}

func TestFixedFleetWaitsAsErlangCSays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		replicas, concurrency int
		rate                  float64
	}{
		"7 of 10 busy":                    {10, 1, 70},
		"half of one":                     {1, 1, 5},
		"16 of 20, on 5 replicas of four": {5, 4, 160},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(7, 7))
			const run = 100 * time.Millisecond
			until := time.Duration(200_000 / test.rate * float64(time.Second))
			runs := func() time.Duration { return exponential(rnd, run) }
			calls := poisson(rnd, test.rate, nil, runs, 0, until)
			res := simulate(spec{
				concurrency: test.concurrency,
				begin:       test.replicas,
				fixed:       true,
				from:        time.Minute,
				until:       until,
			}, calls, nil)
			want := erlangC(test.rate, run, test.replicas*test.concurrency)
			require.InEpsilon(t, float64(want), float64(res.Wait.mean()), .05)
			require.Equal(t, res.Arrived, res.Served)
			require.Equal(t, time.Duration(test.replicas)*(until-time.Minute), res.Replicas)
			require.InEpsilon(t, test.rate*run.Seconds()*(until-time.Minute).Seconds(), res.Load.Seconds(),
				.02, "Little's law")
			require.Zero(t, res.Starts)
		})
	}
}

func TestOracleIsTheFewestWithoutWaiting(t *testing.T) {
	t.Parallel()
	// Ticks of 250 ms: three calls at once, of which two fit on a replica; later one.
	calls := []call{
		{0, 100 * time.Millisecond},
		{0, 100 * time.Millisecond},
		{50 * time.Millisecond, 300 * time.Millisecond},
		{2 * time.Second, 10 * time.Millisecond},
	}
	o := oracle{concurrency: 2, until: 3 * time.Second}
	for _, c := range calls {
		o.arrive(c)
	}
	ticks, instant, most, load := o.result()
	require.Equal(t, 2*tick+tick+tick, ticks,
		"two in the first tick, one in the second, one in that of the last call")
	require.Equal(t, 410*time.Millisecond, instant,
		"one up to 350 ms, another from 50 to 100 ms, one for the last call")
	require.Equal(t, 2, most)
	require.Equal(t, 510*time.Millisecond, load)
	o = oracle{concurrency: 2, floor: 1, from: time.Second, until: 3 * time.Second}
	for _, c := range calls {
		o.arrive(c)
	}
	ticks, instant, most, _ = o.result()
	require.Equal(t, 2*time.Second, ticks, "the floor, and only what is counted")
	require.Equal(t, 2*time.Second, instant)
	require.Equal(t, 1, most)
}

func TestNothingIsLostAndTheSameSeedGivesTheSame(t *testing.T) {
	t.Parallel()
	for _, queued := range []bool{false, true} {
		once := func() result {
			rnd := rand.New(rand.NewPCG(3, 3))
			until := 10 * time.Minute
			rate := func(at time.Duration) float64 {
				return 40 * (1 - math.Cos(at.Seconds()/30)) * max(0, math.Sin(at.Seconds()/60))
			}
			s := spec{
				concurrency: 3,
				queued:      queued,
				until:       until,
				start:       delay{500 * time.Millisecond, 2 * time.Second, rnd},
				labels:      map[string]string{"zero": "true", "zero-duration": "20s", "max": "50"},
			}
			run := func() time.Duration { return exponential(rnd, 200*time.Millisecond) }
			return simulate(s, poisson(rnd, 80, rate, run, 0, until), nil)
		}
		res := once()
		require.Equal(t, res.Arrived, res.Served)
		require.Equal(t, res.Arrived, res.Calls)
		require.Equal(t, res.Wait.count, res.Calls)
		require.Less(t, res.Awake, 9*time.Minute, "it sleeps while no call comes")
		require.Positive(t, res.Cold)
		require.Greater(t, res.Peak, 5)
		require.GreaterOrEqual(t, res.Replicas, res.Awake)
		require.GreaterOrEqual(t, res.Oracle, res.Instant)
		require.Equal(t, res, once())
	}
}

// TestDecisionsAreGood holds what the autoscaler is to come to, with its defaults: see
// docs/explanation/capacity.md.
func TestDecisionsAreGood(t *testing.T) {
	t.Parallel()
	usual := settings()[0]
	for _, k := range rushKinds() {
		t.Run("a rush of "+k.name, func(t *testing.T) {
			t.Parallel()
			r := runRush(k, usual, 1, 4)
			require.LessOrEqual(t, r.back(), 3*time.Second, "until p99 is under twice that of the calm")
			require.LessOrEqual(t, r.replicas.Seconds(), 1.3*r.oracle.Seconds())
		})
	}
	t.Run("a recorded day", func(t *testing.T) {
		t.Parallel()
		o := options{
			seed:  1,
			file:  "../../cmd/bakery/testdata/made-up-days.csv",
			day:   "2024-03-02",
			shops: 40,
		}
		calls, err := dayCalls(o, 1)
		require.NoError(t, err)
		res := simulate(usual.apply(oven(newRand(1, 2), 1)), listed(calls), nil)
		require.EqualValues(t, len(calls), res.Served)
		require.LessOrEqual(t, res.Replicas.Seconds(), 1.3*res.Oracle.Seconds())
		require.LessOrEqual(t, res.Replicas.Seconds(), .4*float64(res.Most)*night.Seconds(),
			"a fleet that is made for the peak")
		require.LessOrEqual(t, res.Wait.quantile(.99), time.Second, "beside bakes of 12 minutes")
		require.Greater(t, night-res.Awake, 19*time.Hour, "it sleeps at night")
	})
}

func TestHistogramTellsQuantiles(t *testing.T) {
	t.Parallel()
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	require.InEpsilon(t, float64(500*time.Millisecond), float64(h.quantile(.5)), .02)
	require.InEpsilon(t, float64(990*time.Millisecond), float64(h.quantile(.99)), .02)
	require.Equal(t, 500500*time.Microsecond, h.mean())
	require.Zero(t, (&histogram{}).quantile(.99))
}
