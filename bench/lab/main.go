/*
Command lab compares three ways to run the same bakery, and measures what is said of serverless computing: a
monolith in one process, a fixed fleet of four functions, and the functions as Hearth scales them. All are
made of the same handlers, keep their state in a Redis of the same kind, and are given the same recorded
day, one after the other in one run. It writes what it found to a directory: a README.md, tables as CSV, and
plots as SVG.

	make lab
	make lab ARGS='-quick'
	make lab ARGS='-file sales.csv -day 2016-11-05 -shops 40'
*/
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
	"github.com/redis/go-redis/v9"
)

// A lab is one run.
type lab struct {
	bed    testbed.Bed
	shop   *workshop
	binary string // of the monolith
	built  bool   // the functions are

	day   till
	speed float64 // of the bakeries: how much faster than the clock they bake
	quick bool
	only  string
	out   string
}

func main() {
	l := &lab{}
	flag.StringVar(&l.day.file, "file", "../cmd/bakery/testdata/made-up-days.csv",
		"the till's file, as bakery replay reads it")
	flag.StringVar(&l.day.day, "day", "2024-03-02", "the day of the file")
	flag.StringVar(&l.day.of, "data", "made-up days", "what the file is called in the report")
	flag.IntVar(&l.day.shops, "shops", 80, "how many shops sell that day at once")
	flag.Float64Var(&l.speed, "speed", 600, "how much faster than the clock a day goes")
	flag.Uint64Var(&l.day.seed, "seed", 1, "seed of the shops' offsets, and of all that is random here")
	flag.StringVar(&l.bed.Fsync, "fsync", "always", "durability of each Redis: always or everysec")
	flag.BoolVar(&l.quick, "quick", false,
		"about ten minutes, for development: fewer and shorter runs, whose figures say little")
	flag.StringVar(&l.only, "only", "", "one part: day, burst or claims")
	flag.StringVar(&l.out, "out", "",
		"directory for the results (default docs/lab; .hearth/lab/out with -quick or -only)")
	flag.Parse()
	redis.SetLogger(silent{}) // it speaks of each failed dial, which errors say too
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	if err := l.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func (l *lab) run(ctx context.Context) (err error) {
	if l.bed.Root, err = filepath.Abs(".."); err != nil {
		return err
	}
	l.bed.State = filepath.Join(l.bed.Root, ".hearth", "lab")
	if l.day.file, err = filepath.Abs(l.day.file); err != nil {
		return err
	}
	if l.out == "" {
		l.out = filepath.Join(l.bed.Root, "docs", "lab")
		if l.quick || l.only != "" {
			l.out = filepath.Join(l.bed.State, "out")
		}
	}
	if l.quick {
		l.speed *= 4
	}
	l.day.speed = l.speed
	if err := os.MkdirAll(l.bed.State, 0o755); err != nil {
		return err
	}
	if l.shop, err = newWorkshop(l.bed.Root, filepath.Join(l.bed.State, "workshop")); err != nil {
		return err
	}
	l.binary = filepath.Join(l.bed.State, "monolith.bin")
	if err := l.shop.buildMonolith(ctx, l.binary); err != nil {
		return err
	}
	var r report
	if l.wants("day") {
		if r.day, err = l.compare(ctx); err != nil {
			return err
		}
	}
	if l.wants("burst") {
		if r.burst, err = l.burst(ctx); err != nil {
			return err
		}
	}
	if l.wants("claims") {
		if r.claims, err = l.claims(ctx); err != nil {
			return err
		}
	}
	return l.write(r)
}

func (l *lab) wants(part string) bool { return l.only == "" || l.only == part }
