/*
Command chaos proves that nothing accepted is lost and that no effect happens twice: it runs the real
hearth, the bakery and a probe function on a real Redis, loads them, and kills, stops, cuts, fills and
breaks each of them by a schedule that follows from a seed. When the faults end, everything must settle
by itself. Then it checks:

# Checks

	an accepted call (202)             ran to its end at least once
	a refused call                     did not run, unless a connection broke meanwhile
	a repeated call with a key         was queued once
	a delayed call                     did not run early, or at all if it was cancelled in time
	an accepted order                  is the same order when repeated, and ended once
	the bakery's books                 balance to the gram with what was restocked
	a message of a topic               had its effect exactly once, at each step
	a callback                         arrived at least once
	the queues                         are empty and left nothing in Redis

It reports speed without judging it. The same seed makes the same schedule and the same calls; only the
timing depends on the machine.

make test runs a short form (chaos_test.go). Loss of power is not covered: the kernel keeps the writes of a
killed process.
*/
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	c := config{Progress: os.Stderr}
	var (
		asJSON bool
		only   string
		times  int
	)
	flag.Uint64Var(&c.Seed, "seed", 0,
		"seed of the schedule and the calls (default $HEARTH_SEED, else random)")
	flag.DurationVar(&c.Duration, "duration", 3*time.Minute,
		"duration of the faults; from 2m on some stops outlast a lease")
	flag.DurationVar(&c.Settle, "settle", 4*time.Minute, "maximum time to settle afterwards")
	flag.IntVar(&times, "runs", 1, "number of runs, each with the next seed")
	flag.Float64Var(&c.Rate, "rate", 100, "calls per second, as far as they get responses")
	flag.IntVar(&c.Hearths, "hearths", 1, "number of instances that share the Redis")
	flag.StringVar(&only, "only", "",
		"only these kinds of faults, separated by commas: "+strings.Join(kindNames(), ", "))
	flag.BoolVar(&c.Soak, "soak", false,
		"soak: kill only a replica, an instance or Redis every 10 s, and record the memory of an instance "+
			"that is spared; needs -hearths 2 or more")
	flag.BoolVar(&c.Race, "race", false, "build hearth with the race detector")
	flag.StringVar(&c.Keep, "keep", "",
		"directory for what a run that failed leaves: logs, Redis's data and the calls (default none is "+
			"kept)")
	flag.BoolVar(&asJSON, "json", false, "print JSON")
	flag.Parse()
	if c.Seed == 0 {
		c.Seed, _ = strconv.ParseUint(os.Getenv("HEARTH_SEED"), 10, 64)
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	var err error
	if only != "" {
		if c.Only, err = parseKinds(only); err != nil {
			fail(err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	wrong, err := runs(ctx, c, times, asJSON)
	if err != nil {
		fail(err)
	}
	if wrong {
		os.Exit(1)
	}
}

// runs performs several runs, each with the next seed.
func runs(ctx context.Context, c config, times int, asJSON bool) (wrong bool, err error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return false, errors.New("redis-server is not in PATH; make chaos installs it on Debian")
	}
	built, err := os.MkdirTemp("", "hearth-chaos-built-")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(built) }()
	_, _ = fmt.Fprintln(c.Progress, "chaos: building")
	if err := build(built, c.Race); err != nil {
		return false, err
	}
	for ; times > 0; times-- {
		r, err := run(ctx, c, built)
		if err != nil {
			return wrong, err
		}
		if asJSON {
			out := json.NewEncoder(os.Stdout)
			out.SetIndent("", "  ")
			_ = out.Encode(r)
		} else {
			r.show(os.Stdout)
		}
		if len(r.Wrong) > 0 {
			wrong = true
			fmt.Fprintf(os.Stderr, "repeat with: make chaos ARGS='%s'\n", c.flags())
		}
		c.Seed++
	}
	return wrong, nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "chaos:", err)
	os.Exit(2)
}
