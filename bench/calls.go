package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
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
	h, err := c.up(ctx, "bench/stack.yml", "echo", nil)
	if err != nil {
		return err
	}
	defer h.stop()
	binary, err := filepath.Abs(filepath.Join(h.state, "build", "echo.bin"))
	if err != nil {
		return err
	}
	direct, stop, err := runDirectly(ctx, binary)
	if err != nil {
		return err
	}
	defer stop()
	if r.RestMiB, err = h.memory("VmRSS"); err != nil {
		return err
	}
	if r.Cold, err = h.coldStarts(ctx, "echo", c.colds); err != nil {
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
			before, err := h.used(ctx)
			if err != nil {
				return err
			}
			b, err := c.wrk(ctx, h.url+"/function/echo", body(size), 0)
			if err != nil {
				return err
			}
			after, err := h.used(ctx)
			if err != nil {
				return err
			}
			spent.hearth, all = spent.hearth+after.hearth-before.hearth, all+b.requests
			alone, through = append(alone, a), append(through, b)
		}
		r.Calls = append(r.Calls, calls{Bytes: size, Direct: median(alone), Gateway: median(through), Cost: spent.since(used{}, all)})
	}
	r.LoadMiB, err = h.memory("VmHWM")
	return err
}

// measureMany measures as many functions as a busy machine has, each with a process of its own, called in no order.
func (c config) measureMany(ctx context.Context, r *result) error {
	h, err := c.up(ctx, "bench/stack.yml", "functions", nil)
	if err != nil {
		return err
	}
	defer h.stop()
	work, failed := make(chan int), make(chan error, c.many)
	var deploying sync.WaitGroup
	for range 4 {
		deploying.Go(func() {
			for i := range work {
				name := fmt.Sprintf("echo-%d", i)
				if _, err := h.do(ctx, http.MethodPost, "/system/functions", fmt.Sprintf(`{"service":%q,"image":"bench/echo:latest"}`, name), nil); err != nil {
					failed <- err
				} else if err := h.scale(ctx, name, 1); err != nil { // waits until it is ready
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
	if r.Many.RestMiB, err = h.memory("VmRSS"); err != nil {
		return err
	}
	var rounds []load
	for range c.rounds {
		l, err := c.wrk(ctx, h.url+"/function/echo-", body(1<<10), c.many)
		if err != nil {
			return err
		}
		rounds = append(rounds, l)
	}
	r.Many.Sync = median(rounds)
	r.Many.LoadMiB, err = h.memory("VmHWM")
	return err
}
