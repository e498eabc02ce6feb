package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// cost is the processor time that calls have used, in all. Other load on the machine changes it little,
// as it does not count what was waited for.
type cost struct {
	Hearth float64 `json:"hearth_us"` // a call, in microseconds
	// of its main thread, which runs the scripts, one after the other
	Redis float64 `json:"redis_us,omitempty"`
}

// used is what hearth and its Redis have used so far, in seconds.
type used struct{ hearth, redis float64 }

// since is what each of so many calls has cost since an earlier reading.
func (u used) since(before used, calls int) cost {
	n := float64(calls)
	return cost{Hearth: (u.hearth - before.hearth) / n * 1e6, Redis: (u.redis - before.redis) / n * 1e6}
}

// readUsed reads what was used. Linux only; elsewhere hearth's part is 0.
func readUsed(ctx context.Context, h *testbed.Hearth) (u used, err error) {
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.PID())); err == nil {
		_, rest, _ := strings.Cut(string(text), ") ") // from the third field on: see proc(5)
		var user, system float64
		fields := strings.Fields(rest)
		if user, err = strconv.ParseFloat(fields[11], 64); err != nil {
			return u, err
		}
		if system, err = strconv.ParseFloat(fields[12], 64); err != nil {
			return u, err
		}
		// USER_HZ, which is 100 on all of Linux's architectures that Go has
		const tick = 10 * time.Millisecond
		u.hearth = (user + system) * tick.Seconds()
	}
	out, err := cli(ctx, h, "INFO", "cpu").Output()
	if err != nil {
		return u, fmt.Errorf("redis-cli INFO: %w", err)
	}
	for _, name := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		m := regexp.MustCompile(`(?m)^` + name + `:([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			return u, fmt.Errorf("redis-cli INFO: no %s", name)
		}
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return u, err
		}
		u.redis += v
	}
	return u, nil
}
