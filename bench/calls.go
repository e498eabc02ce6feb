package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// calls is what sync calls with bodies of one size come to, there and back.
type calls struct {
	Bytes   int  `json:"body_bytes"`
	Direct  load `json:"direct"`  // the function, called directly
	Gateway load `json:"gateway"` // the same through the gateway
	Cost    cost `json:"cost"`    // of those through the gateway
}

// many is what sync calls come to that are spread over many functions.
type many struct {
	Functions int     `json:"functions"`
	Sync      load    `json:"sync"`
	RestMiB   float64 `json:"rest_mib"` // resident memory of hearth
	LoadMiB   float64 `json:"load_mib"` // the most there was
}

// sizes are the bodies that are measured: next to nothing, what most calls have, and what streams.
var sizes = []int{5, 1 << 10, 1 << 20}

// measureEcho measures one function that does nothing: how much Hearth adds to it.
func (c config) measureEcho(ctx context.Context, r *result) error {
	h, err := c.bed.Up(ctx, "bench/stack.yml", "echo", nil)
	if err != nil {
		return err
	}
	defer h.Stop()
	binary, err := filepath.Abs(filepath.Join(h.State, "build", "echo.bin"))
	if err != nil {
		return err
	}
	direct, stop, err := runDirectly(ctx, binary)
	if err != nil {
		return err
	}
	defer stop()
	if r.RestMiB, err = h.Memory("VmRSS"); err != nil {
		return err
	}
	if r.Cold, err = coldStarts(ctx, h, "echo", c.colds); err != nil {
		return err
	}
	for _, size := range sizes {
		var alone, through []load
		var spent used
		all := 0
		for range c.rounds {
			a, err := c.wrk(ctx, direct, body(size), 0)
			if err != nil {
				return err
			}
			before, err := readUsed(ctx, h)
			if err != nil {
				return err
			}
			b, err := c.wrk(ctx, h.URL+"/function/echo", body(size), 0)
			if err != nil {
				return err
			}
			after, err := readUsed(ctx, h)
			if err != nil {
				return err
			}
			spent.hearth, all = spent.hearth+after.hearth-before.hearth, all+b.requests
			alone, through = append(alone, a), append(through, b)
		}
		r.Calls = append(r.Calls, calls{Bytes: size, Direct: median(alone), Gateway: median(through),
			Cost: spent.since(used{}, all)})
	}
	r.LoadMiB, err = h.Memory("VmHWM")
	return err
}

// measureMany measures as many functions as a busy machine has, each with a
// process of its own, called in no order.
func (c config) measureMany(ctx context.Context, r *result) error {
	h, err := c.bed.Up(ctx, "bench/stack.yml", "functions", nil)
	if err != nil {
		return err
	}
	defer h.Stop()
	work, failed := make(chan int), make(chan error, c.many)
	var deploying sync.WaitGroup
	for range 4 {
		deploying.Go(func() {
			for i := range work {
				name := fmt.Sprintf("echo-%d", i)
				if _, err := h.Do(ctx, http.MethodPost, "/system/functions",
					fmt.Sprintf(`{"service":%q,"image":"bench/echo:latest"}`, name), nil); err != nil {
					failed <- err
				} else if err := h.Scale(ctx, name, 1); err != nil { // waits until it is ready
					failed <- err
				}
			}
		})
	}
	for i := range c.many {
		work <- i
	}
	close(work)
	deploying.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	r.Many = &many{Functions: c.many}
	if r.Many.RestMiB, err = h.Memory("VmRSS"); err != nil {
		return err
	}
	var rounds []load
	for range c.rounds {
		l, err := c.wrk(ctx, h.URL+"/function/echo-", body(1<<10), c.many)
		if err != nil {
			return err
		}
		rounds = append(rounds, l)
	}
	r.Many.Sync = median(rounds)
	r.Many.LoadMiB, err = h.Memory("VmHWM")
	return err
}

// coldStarts calls a function that has no replica, again and again.
func coldStarts(ctx context.Context, h *testbed.Hearth, function string, times int) (q quantiles, err error) {
	fmt.Fprintf(os.Stderr, "%d cold starts\n", times)
	var all []time.Duration
	for range times {
		if err := h.Scale(ctx, function, 0); err != nil {
			return q, err
		}
		began := time.Now()
		if err := h.Post(ctx, "/function/"+function, "hello", 200); err != nil {
			return q, err
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return quantiles{P50: testbed.MS(testbed.Quantile(all, 50)),
		P99: testbed.MS(testbed.Quantile(all, 99))}, nil
}
