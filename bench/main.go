/*
Command bench measures Hearth as its users meet it: it starts the real binary on this machine, loads it from
outside, and prints one table. It asserts nothing; the figures stand side by side in one run, as figures of
different runs or machines do not compare.

	make bench
	make bench ARGS='-seconds 10 -json'
*/
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// config says how much is measured.
type config struct {
	seconds int    // of each round of load
	rounds  int    // of direct and gateway, in turn
	clients int    // connections of wrk
	orders  int    // of the chain
	colds   int    // cold starts
	wakes   int    // of a container, each way
	asleep  int    // functions as containers that sleep at once
	many    int    // functions that calls are spread over
	only    string // part to measure, or all
	backlog int    // entries on a topic

	bed testbed.Bed // its Fsync is not the queue's, which is measured with each
}

func main() {
	c := config{}
	var asJSON bool
	flag.IntVar(&c.seconds, "seconds", 4, "seconds of each round of load")
	flag.IntVar(&c.rounds, "rounds", 3,
		"rounds of sync calls, direct and through the gateway in turn; the median is shown")
	flag.IntVar(&c.clients, "clients", 32, "connections under load")
	flag.IntVar(&c.orders, "orders", 6000, "orders of the chain, each of exactly one tray")
	flag.IntVar(&c.colds, "cold-starts", 200, "how many cold starts")
	flag.IntVar(&c.wakes, "wakes", 50, "how many wakes of a container, each way")
	flag.IntVar(&c.asleep, "asleep", 100, "how many functions that sleep at once, as containers")
	flag.IntVar(&c.many, "functions", 500, "functions, each with a process, that calls are spread over")
	flag.StringVar(&c.only, "only", "", "measure one part: calls, functions, queue, chain or containers")
	flag.IntVar(&c.backlog, "backlog", 50_000,
		"entries that wait on a topic at once; 1000000 takes some minutes")
	flag.StringVar(&c.bed.Fsync, "fsync", "always", "durability: always or everysec")
	flag.BoolVar(&asJSON, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := measure(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		_ = out.Encode(r)
		return
	}
	r.show(os.Stdout)
}

// measure runs everything, one after the other: nothing else may use the machine meanwhile.
func measure(ctx context.Context, c config) (*result, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errors.New("wrk is not in PATH: make bench installs it on Debian; elsewhere, " +
			"for example, brew install wrk")
	}
	var err error
	if c.bed.Root, err = filepath.Abs(".."); err != nil {
		return nil, err
	}
	c.bed.State = filepath.Join(c.bed.Root, ".hearth", "bench")
	r := &result{Machine: testbed.DescribeMachine(),
		Durability: "private redis-server, appendfsync " + c.bed.Fsync, Clients: c.clients, Colds: c.colds}
	for _, part := range []struct {
		name    string
		measure func(context.Context, *result) error
	}{{"calls", c.measureEcho}, {"functions", c.measureMany}, {"queue", c.measureQueues},
		{"chain", c.measureChain}, {"containers", c.measureContainers}} {
		if c.only != "" && c.only != part.name {
			continue
		}
		if err := part.measure(ctx, r); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return r, nil
}

// measureChain measures the bakery: orders that go through all of its four
// functions, with bakes that take no time.
func (c config) measureChain(ctx context.Context, r *result) error {
	h, err := c.bed.Up(ctx, "stack.yml", "bakery", nil, "BAKE_SPEED=100000000")
	if err != nil {
		return err
	}
	defer h.Stop()
	if err := h.Bakery(ctx, "restock", "--trays", fmt.Sprint(c.orders+1000)); err != nil {
		return err
	}
	var alone []time.Duration
	for range 200 {
		began := time.Now()
		if err := h.Post(ctx, "/function/cashier?wait=10s", tray, 200); err != nil {
			return err
		}
		alone = append(alone, time.Since(began))
	}
	slices.Sort(alone)
	r.HopMS = testbed.MS(testbed.Quantile(alone, 50)) / hops
	// else what is measured is that an oven has four racks
	if err := h.Scale(ctx, "oven", ovens); err != nil {
		return err
	}
	began := time.Now()
	if err := h.PostMany(ctx, "/async-function/cashier", tray, c.orders, c.clients); err != nil {
		return err
	}
	if err := h.UntilEmpty(ctx); err != nil {
		return err
	}
	r.Orders, r.OrderRate = c.orders, float64(c.orders)/time.Since(began).Seconds()
	peak, err := h.Memory("VmHWM")
	if err != nil {
		return err
	}
	r.LoadMiB = max(r.LoadMiB, peak)
	return h.Bakery(ctx, "audit")
}

const (
	tray  = `{"customer":"bench","items":[{"cookie":"chocolate-chip","quantity":24}]}` // exactly one
	ovens = 4
	hops  = 4 // cashier, baker, oven, server, cashier
)
