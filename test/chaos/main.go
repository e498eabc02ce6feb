/*
Command chaos proves that nothing accepted is lost and that no effect happens twice: it runs the real
hearth, the bakery and a probe function on a real Redis, loads them, and kills, stops, cuts, fills and
breaks each of them by a schedule that follows from a seed. When the faults end, everything must settle by
itself, and then it counts.

# What is checked

	a call that was accepted (202)     ran to its end at least once
	a call that was refused            did not run, unless a connection broke while it was asked
	a call with a key, repeated        was queued once
	a call for later                   was not made before, and not at all if it was cancelled in time
	an order that was accepted         is the same order when it is asked for again, and has one end
	the bakery's books                 balance, to the gram, with what was restocked
	a message of a topic               had its effect exactly once, at each step
	a callback                         came at least once
	the queues                         are empty, and nothing is left of them in Redis

Speed is told, and never judged. The same seed makes the same schedule and the same calls; what the machine
makes of their timing is its own.

make test runs a short form of it (chaos_test.go). It does not try a loss of power: a process that is killed
has given the kernel what it wrote.
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
		"for how long there are faults; stops that outlast a lease come from 2m on")
	flag.DurationVar(&c.Settle, "settle", 4*time.Minute, "how long everything may take to settle afterwards")
	flag.IntVar(&times, "runs", 1, "how many runs, each with the next seed")
	flag.Float64Var(&c.Rate, "rate", 100, "calls a second, as far as they are answered")
	flag.IntVar(&c.Hearths, "hearths", 1, "how many hearths share the Redis")
	flag.StringVar(&only, "only", "",
		"only these kinds of faults, with commas between: "+strings.Join(kindNames(), ", "))
	flag.BoolVar(&c.Soak, "soak", false,
		"soak: instead of all faults, kill a replica, a hearth or Redis every 10 s, and watch the memory of "+
			"a hearth that is spared; with -hearths 2 or more")
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

// runs does several runs, each with the next seed.
func runs(ctx context.Context, c config, times int, asJSON bool) (wrong bool, err error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return false, errors.New("there is no redis-server in PATH: make chaos installs it on Debian")
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
			fmt.Fprintf(os.Stderr, "again with: make chaos ARGS='%s'\n", c.flags())
		}
		c.Seed++
	}
	return wrong, nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "chaos:", err)
	os.Exit(2)
}
