package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// The fleet follows what Shahrad et al. have published of Azure Functions: "Serverless in the Wild", USENIX
// ATC 2020. There, 45% of all applications are called at most once an hour, 81% at most once a minute, and 3%
// more than once a second. A lognormal distribution of calls a second goes through all three: that is rateMu
// and rateSigma. Of their functions' mean run times they give the lognormal distribution themselves, in
// seconds: runMu and runSigma. By day there are twice as many calls as in the quietest hour of the night
// (their figure 4).
//
// The rest is assumed here. The paper does not give the total number of calls, so the rates of functions with
// more than one call a second, which get over 99% of all calls, are scaled to make the sum equal total. Their
// run time decides how many replicas are needed, so it is a parameter of each row and not drawn. The run time
// of a call is exponential around its function's mean, at most a minute on average. Calls arrive at random.
const (
	functions = 10_000
	total     = 100_000 // calls a second, on average of a day

	rateMu, rateSigma = -7.67, 4.08
	runMu, runSigma   = -0.38, 2.36
	longest           = time.Minute
	often             = 1.0 // calls a second

	day     = 24 * time.Hour
	eighths = 8                // of the day, in which those are looked at that are called often
	warm    = 40 * time.Second // of a slice, for the windows to be whole
	looked  = 20 * time.Second // of a slice, which stands for all of it
)

// byDay is how many calls come at a time of the day, of the average.
func byDay(at time.Duration) float64 { return 1 + math.Sin(2*math.Pi*at.Hours()/24)/3 }

// rates are the calls a second of each function, the fewest first.
func rates() []float64 {
	list := make([]float64, functions)
	few, many := 0.0, 0.0
	for i := range list {
		z := math.Sqrt2 * math.Erfinv(2*(float64(i)+.5)/functions-1)
		if list[i] = math.Exp(rateMu + rateSigma*z); list[i] > often {
			many += list[i]
		} else {
			few += list[i]
		}
	}
	for i := range list {
		if list[i] > often {
			list[i] *= (total - few) / many
		}
	}
	return list
}

// A fleetSpec is what is varied.
type fleetSpec struct {
	name        string
	concurrency int
	start       string
	run         time.Duration // of functions that are called often
	idle, down  string        // labels
}

func fleetSpecs() []fleetSpec {
	const ms = time.Millisecond
	usual := fleetSpec{"8 calls at once, 100 ms each; pods", 8, "pod", 100 * ms, "15m", ""}
	of := func(name string, change func(*fleetSpec)) fleetSpec {
		s := usual
		s.name = name
		change(&s)
		return s
	}
	return []fleetSpec{usual,
		of("one call at once", func(s *fleetSpec) { s.concurrency = 1 }),
		of("32 calls at once", func(s *fleetSpec) { s.concurrency = 32 }),
		of("20 ms each", func(s *fleetSpec) { s.run = 20 * ms }),
		of("500 ms each", func(s *fleetSpec) { s.run = 500 * ms }),
		of("frozen containers", func(s *fleetSpec) { s.start = "frozen" }),
		of("asleep after 5 minutes", func(s *fleetSpec) { s.idle = "5m" }),
		of("asleep after an hour", func(s *fleetSpec) { s.idle = "1h" }),
		of("down.window 10s", func(s *fleetSpec) { s.down = "10s" }),
	}
}

// A part is a result that stands for so many like it.
type part struct {
	result
	weight uint64
	hour   int           // slice; -1 is the whole day
	took   time.Duration // that was looked at
}

// parts simulates the fleet. Functions with many calls are simulated for a short while in each slice of the
// day. Of the others, one in o.sample is simulated for a whole day.
func (f fleetSpec) parts(o options) []part {
	var jobs []func() part
	for i, rate := range rates() {
		labels := map[string]string{"max": "100000", "zero": "true", "zero-duration": f.idle}
		if f.down != "" {
			labels["down.window"] = f.down
		}
		rnd := func(slice int) *rand.Rand { return newRand(o.seed, uint64(10+i*eighths+slice)) }
		usual := settings()[0]
		base := spec{concurrency: f.concurrency, labels: labels, stable: usual.stable, panics: usual.panics}
		switch {
		case rate > often:
			for slice := range eighths {
				jobs = append(jobs, func() part {
					s, r := base, rnd(slice)
					now := rate * byDay(day/eighths*time.Duration(slice))
					s.start, s.from, s.until = cold(f.start, r), warm, warm+looked
					s.begin = max(1, int(now*f.run.Seconds()/float64(s.concurrency)/.9))
					run := func() time.Duration { return exponential(r, f.run) }
					calls := poisson(r, now, nil, run, 0, s.until)
					return part{simulate(s, calls, nil), uint64(day / eighths / looked), slice, looked}
				})
			}
		case i%o.sample == o.sample/2:
			jobs = append(jobs, func() part {
				s, r := base, rnd(0)
				mean := min(longest,
					time.Duration(math.Exp(runMu+runSigma*r.NormFloat64())*float64(time.Second)))
				s.start, s.from, s.until = cold(f.start, r), time.Hour, time.Hour+day
				rateAt := func(at time.Duration) float64 { return rate * byDay(at-s.from) }
				run := func() time.Duration { return exponential(r, mean) }
				calls := poisson(r, rate*4/3, rateAt, run, 0, s.until)
				return part{simulate(s, calls, nil), uint64(o.sample), -1, day}
			})
		}
	}
	done := make([]part, len(jobs))
	next := make(chan int)
	var working sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		working.Go(func() {
			for i := range next {
				done[i] = jobs[i]()
			}
		})
	}
	for i := len(jobs) - 1; i >= 0; i-- { // the longest first
		next <- i
	}
	close(next)
	working.Wait()
	return done
}

func fleetTables(o options) ([]table, error) {
	t := table{
		Title: fmt.Sprintf("A fleet of %d functions with %d calls a second on average, "+
			"a third more by day and a third less by night", functions, total),
		Notes: []string{
			fmt.Sprintf("%.0f%% are called at most once an hour, %.0f%% at most once a minute, "+
				"%.1f%% more than once a second",
				shareUpTo(1.0/3600), shareUpTo(1.0/60), 100-shareUpTo(often)),
			fmt.Sprintf("one in %d of the rarely called functions is simulated; "+
				"the others for %v, %d times a day", o.sample, looked, eighths),
			"cold: came when no replica was ready; mean and most replicas are of all functions together, " +
				"the most of an eighth of the day",
		},
		Head: []string{"fleet", "calls/s", "in flight", "replicas", "most", "of oracle", "awake", "woken/s",
			"starts/s", "cold", "of the rare", "wait p50", "p99", "p99.9", "p99 of the rare"},
	}
	for _, f := range fleetSpecs() {
		t.Rows = append(t.Rows, f.row(o))
	}
	return []table{t}, nil
}

// shareUpTo is how many of all functions are called at most so often, in percent.
func shareUpTo(rate float64) float64 {
	n := 0
	for _, r := range rates() {
		if r <= rate {
			n++
		}
	}
	return 100 * float64(n) / functions
}

func (f fleetSpec) row(o options) []string {
	var all, rare histogram
	var calls, cold, rareCalls, rareCold, replicas, oracle, awake, load, starts, wakes float64
	var byEighth [eighths]float64
	rareReplicas := 0.0
	for _, p := range f.parts(o) {
		w := float64(p.weight)
		all.merge(&p.Wait, p.weight)
		calls, cold = calls+w*float64(p.Calls), cold+w*float64(p.Cold)
		replicas, oracle = replicas+w*p.Replicas.Seconds(), oracle+w*p.Oracle.Seconds()
		awake, load = awake+w*p.Awake.Seconds(), load+w*p.Load.Seconds()
		starts += w * float64(p.Starts)
		if p.hour >= 0 {
			byEighth[p.hour] += p.Replicas.Seconds() / p.took.Seconds()
			continue
		}
		rare.merge(&p.Wait, p.weight)
		rareCalls, rareCold = rareCalls+w*float64(p.Calls), rareCold+w*float64(p.Cold)
		rareReplicas += w * p.Replicas.Seconds() / p.took.Seconds()
		wakes += w * float64(p.Woken)
	}
	most := 0.0
	for _, n := range byEighth {
		most = max(most, n+rareReplicas)
	}
	seconds := day.Seconds()
	number := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	return []string{
		f.name,
		number(calls / seconds),
		number(load / seconds),
		number(replicas / seconds),
		number(most),
		fmt.Sprintf("%.2f", replicas/oracle),
		fmt.Sprintf("%.1f%%", 100*awake/seconds/functions),
		fmt.Sprintf("%.2f", wakes/seconds),
		fmt.Sprintf("%.1f", starts/seconds),
		fmt.Sprintf("%.4f%%", 100*cold/calls),
		fmt.Sprintf("%.1f%%", 100*rareCold/rareCalls),
		millis(all.quantile(.5)),
		millis(all.quantile(.99)),
		millis(all.quantile(.999)),
		millis(rare.quantile(.99)),
	}
}
