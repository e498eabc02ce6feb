package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// containers is what the same function comes to as a container.
type containers struct {
	Sync    load      `json:"sync"`
	Frozen  quantiles `json:"wake_frozen"`   // unpause of a container that waits
	Created quantiles `json:"wake_prepared"` // start of one that is created
	Nothing quantiles `json:"wake_nothing"`  // create and start
	Wakes   int       `json:"wakes"`         // of each way

	Asleep     int     `json:"asleep"`      // functions that sleep at once, each with a frozen container
	AsleepMiB  float64 `json:"asleep_mib"`  // hearth's memory then
	FrozenUses string  `json:"frozen_uses"` // memory of one frozen container
}

// hasEngine reports whether there is a Docker engine to measure with.
func hasEngine(ctx context.Context) bool {
	return exec.CommandContext(ctx, "docker", "version").Run() == nil
}

// measureContainers measures the function that does nothing as a container: what
// calls cost, and what each way to sleep does.
func (c config) measureContainers(ctx context.Context, r *result) error {
	if !hasEngine(ctx) {
		fmt.Fprintln(os.Stderr, "no Docker engine answers: containers are not measured")
		return nil
	}
	r.Docker = &containers{Wakes: c.wakes, Asleep: c.asleep}
	for _, way := range []struct {
		asleep, state string
		to            *quantiles
	}{{"nothing", "", &r.Docker.Nothing}, {"prepared", "created", &r.Docker.Created},
		{"frozen", "paused", &r.Docker.Frozen}} {
		if err := c.measureSleep(ctx, r, way.asleep, way.state, way.to); err != nil {
			return err
		}
	}
	return nil
}

func (c config) measureSleep(ctx context.Context, r *result, asleep, state string, to *quantiles) error {
	h, err := c.bed.Up(ctx, "bench/stack.yml", "docker-"+asleep,
		[]string{"--provider", "docker", "--asleep", asleep, "--docker-network", "hearth-bench"})
	if err != nil {
		return err
	}
	defer h.Stop()
	fmt.Fprintf(os.Stderr, "%d wakes, with %s kept\n", c.wakes, asleep)
	var all []time.Duration
	for range c.wakes {
		if err := h.Scale(ctx, "echo", 0); err != nil {
			return err
		}
		if err := untilContainers(ctx, "echo", state, 1); err != nil {
			return err
		}
		began := time.Now()
		if err := h.Post(ctx, "/function/echo", "hello", 200); err != nil {
			return err
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	*to = quantiles{P50: testbed.MS(testbed.Quantile(all, 50)), P99: testbed.MS(testbed.Quantile(all, 99))}
	if asleep != "frozen" {
		return nil
	}
	if r.Docker.Sync, err = c.wrk(ctx, h.URL+"/function/echo", 5, 0); err != nil {
		return err
	}
	return c.measureAsleep(ctx, h, r.Docker)
}

// measureAsleep deploys many functions that nobody calls.
func (c config) measureAsleep(ctx context.Context, h *testbed.Hearth, r *containers) error {
	var echo struct{ Image string }
	if _, err := h.Do(ctx, "GET", "/system/function/echo", "", &echo); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d functions asleep\n", c.asleep)
	for i := range c.asleep {
		body := fmt.Sprintf(`{"service":"asleep-%d","image":%q,"labels":{"com.openfaas.scale.min":"0"}}`, i,
			echo.Image)
		if _, err := h.Do(ctx, "POST", "/system/functions", body, nil); err != nil {
			return err
		}
		if err := untilContainers(ctx, fmt.Sprint("asleep-", i), "paused", 1); err != nil {
			return err
		}
	}
	var err error
	if r.AsleepMiB, err = h.Memory("VmRSS"); err != nil {
		return err
	}
	id, err := exec.CommandContext(ctx, "docker", "ps", "-q", "--filter",
		"label=com.hearth.function=asleep-0.openfaas-fn").Output()
	if err != nil {
		return err
	}
	used, err := exec.CommandContext(ctx, "docker", "stats", "--no-stream", "--format", "{{.MemUsage}}",
		strings.TrimSpace(string(id))).Output()
	r.FrozenUses, _, _ = strings.Cut(strings.TrimSpace(string(used)), " ")
	return err
}

// untilContainers waits until a function has so many containers, all in a state; none, if the state is "".
func untilContainers(ctx context.Context, function, state string, n int) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		out, err := exec.CommandContext(ctx, "docker", "ps", "-a", "--filter",
			"label=com.hearth.function="+function+".openfaas-fn", "--format", "{{.State}}").Output()
		if err != nil {
			return fmt.Errorf("docker ps: %w", err)
		}
		states := strings.Fields(string(out))
		if state == "" && len(states) == 0 || len(states) == n &&
			!slices.ContainsFunc(states, func(s string) bool { return s != state }) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the containers of %s are %v, want %s", function, states, state)
		}
	}
}
