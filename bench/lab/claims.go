package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// A line is one figure of a claim: the functions' on Hearth, and the monolith's beside it.
type line struct {
	Claim    string
	Figure   string
	Unit     string
	Hearth   float64
	Monolith float64 // NaN if there is nothing to compare with
	Note     string
}

// winner says who is better: of all figures here, less is. A tenth more or less is even.
func (l line) winner() string {
	switch {
	case math.IsNaN(l.Monolith):
		return ""
	case math.Abs(l.Hearth-l.Monolith) <= max(l.Hearth, l.Monolith)/10:
		return "even"
	case l.Hearth < l.Monolith:
		return "functions"
	}
	return "monolith"
}

// alone is what stands for the monolith where it has no such thing.
var alone = math.NaN()

func ms(sorted []time.Duration, percent int) float64 {
	return testbed.MS(testbed.Quantile(sorted, percent))
}

// quick bakes: a tray of chocolate chip cookies takes 0.3 s.
const quickBakes = "BAKE_SPEED=2400"

// claims tests the usual claims about functions, each against the monolith.
func (l *lab) claims(ctx context.Context) ([]line, error) {
	for _, role := range roles { // all can tell their version, and have the bug
		if err := l.shop.edit(role, "1"); err != nil {
			return nil, err
		}
	}
	l.built = false
	if err := l.shop.buildMonolith(ctx, l.binary); err != nil {
		return nil, err
	}
	var lines []line
	for _, claim := range []func(context.Context) ([]line, error){l.claimHop, l.claimDeploy, l.claimBug,
		l.claimNight, l.claimTests} {
		got, err := claim(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range got {
			fmt.Fprintf(os.Stderr, "%-50s %-45s %10.2f %10.2f %s  %s %s\n", g.Claim, g.Figure, g.Hearth,
				g.Monolith, g.Unit, g.winner(), g.Note)
		}
		lines = append(lines, got...)
	}
	return lines, nil
}

// both runs a measurement in a bakery on Hearth, with changes, and in one that is a monolith in one copy.
func (l *lab) both(ctx context.Context, changes map[string]change, env []string,
	measure func(*house) error) error {
	for _, start := range []func() (*house, error){
		func() (*house, error) { return l.onHearth(ctx, changes, nil, env...) },
		func() (*house, error) { return l.asMonolith(ctx, 1, env...) },
	} {
		h, err := start()
		if err != nil {
			return err
		}
		_, err = l.bakery(ctx, h, "restock", "--trays", fmt.Sprint(stockTrays))
		if err == nil {
			err = measure(h)
		}
		h.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// bug is one that a role has: the odds with which handling a message fails, or ends the process.
type bug struct {
	name        string
	fail, crash float64
}

// claimBug has the oven fail, and looks at what customers notice.
func (l *lab) claimBug(ctx context.Context) ([]line, error) {
	var lines []line
	for _, b := range []bug{{"no bug", 0, 0}, {"30% of bakes fail", .3, 0},
		{"10% of bakes end their process", 0, .1}} {
		fail, crash := fmt.Sprint(b.fail), fmt.Sprint(b.crash)
		changes := map[string]change{"oven": {environment: map[string]string{"BUG_FAIL_oven": fail,
			"BUG_CRASH_oven": crash}}}
		var hearth, monolith crowdResult
		err := l.both(ctx, changes, []string{quickBakes, "BUG_FAIL_oven=" + fail, "BUG_CRASH_oven=" + crash},
			func(h *house) error {
				stop := crowd{Orders: 6, Looks: 60}.come(ctx, h, l.day.seed)
				select {
				case <-time.After(l.phase(15 * time.Second)):
				case <-ctx.Done():
				}
				if h.hearth != nil {
					hearth = sumUp(stop())
				} else {
					monolith = sumUp(stop())
				}
				return ctx.Err()
			})
		if err != nil {
			return nil, err
		}
		claim := "a bug in the oven: " + b.name
		lines = append(lines,
			line{claim, "calls of customers that failed", "%", percent(hearth), percent(monolith),
				fmt.Sprintf("%d of %d; %d of %d", hearth.Failed, hearth.Calls,
					monolith.Failed, monolith.Calls)},
			line{claim, "wait for an order, p50", "ms", hearth.P50, monolith.P50,
				"served orders only"},
			line{claim, "wait for an order, p99", "ms", hearth.P99, monolith.P99,
				"served orders only"})
		for _, r := range []crowdResult{hearth, monolith} {
			for reason, n := range r.Reasons {
				fmt.Fprintf(os.Stderr, "  %d failed: %s\n", n, reason)
			}
		}
	}
	return lines, nil
}

func percent(r crowdResult) float64 { return 100 * float64(r.Failed) / float64(max(r.Calls, 1)) }

// phase is how long a part lasts.
func (l *lab) phase(full time.Duration) time.Duration {
	if l.quick {
		return full / 5
	}
	return full
}

// claimNight lets all roles be at zero, and then one customer come.
func (l *lab) claimNight(ctx context.Context) ([]line, error) {
	times := 10
	if l.quick {
		times = 3
	}
	measure := func(asleep, ahead bool) (float64, error) {
		changes := map[string]change{}
		for _, role := range roles {
			c := change{annotations: map[string]string{}}
			if !ahead {
				c.annotations["com.hearth.emits"] = ""
			}
			changes[role] = c
		}
		h, err := l.onHearth(ctx, changes, nil, quickBakes)
		if err != nil {
			return 0, err
		}
		defer h.stop()
		if _, err := l.bakery(ctx, h, "restock", "--trays", "100"); err != nil {
			return 0, err
		}
		var took []time.Duration
		for range times {
			for _, role := range roles {
				if asleep {
					if err := h.hearth.Scale(ctx, role, 0); err != nil {
						return 0, err
					}
				}
			}
			began := time.Now()
			if err := h.hearth.Post(ctx, "/function/cashier?wait=20s", oneTray, 200); err != nil {
				return 0, err
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return ms(took, 50), nil
	}
	awake, err := measure(false, true)
	if err != nil {
		return nil, err
	}
	cold, err := measure(true, false)
	if err != nil {
		return nil, err
	}
	ahead, err := measure(true, true)
	if err != nil {
		return nil, err
	}
	bake := 12 * 60 * 1000 / 2400.0
	const claim = "the first order after a night at zero"
	note := fmt.Sprintf("p50 of %d, including %.0f ms of baking", times, bake)
	return []line{
		{claim, "all roles have a replica", "ms", awake, alone, note},
		{claim, "each role starts when it is called", "ms", cold, alone, note},
		{claim, "the next role is pre-warmed", "ms", ahead, alone, note},
	}, nil
}
