package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// A comparison is the same day in all bakeries.
type comparison struct {
	Demand demand
	Length time.Duration // that each was accounted for
	Plays  []*play
}

// plenty is how many ovens there are in the run that shows what the day asks for.
const plenty = 40

// step is how finely a day is looked at afterwards.
const step = 50 * time.Millisecond

// A way is one way to run the bakery for a day.
type way struct {
	name  string
	start func(context.Context) (*house, error)
}

func (l *lab) compare(ctx context.Context) (*comparison, error) {
	c := &comparison{}
	probe, err := l.playIn(ctx, l.fleet("probe", plenty), 0)
	if err != nil {
		return nil, err
	}
	end := time.Duration(0)
	for _, w := range probe.waits {
		end = max(end, w.came+w.waited)
	}
	c.Length = end.Truncate(time.Second) + 3*time.Second
	c.Demand = demandOf(spans(probe.began, c.Length, step, baking(probe.trays)))
	d := c.Demand
	fmt.Fprintf(os.Stderr, "demand: %+v in %v\n", d, c.Length)
	ways := []way{
		l.copies("monolith, for the mean", d.ForMean),
		l.copies("monolith, for the peak", d.ForPeak),
		l.fleet("fixed fleet, for the mean", d.ForMean),
		l.fleet("fixed fleet, for the peak", d.ForPeak),
	}
	for _, w := range ways {
		p, err := l.playIn(ctx, w, c.Length)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		c.Plays = append(c.Plays, p)
	}
	return c, nil
}

// playIn plays the day in a bakery that is started for it.
func (l *lab) playIn(ctx context.Context, w way, length time.Duration) (*play, error) {
	h, err := w.start(ctx)
	if err != nil {
		return nil, err
	}
	defer h.stop()
	p, err := l.play(ctx, h, l.day, length)
	if err != nil {
		return nil, err
	}
	p.Name = w.name
	fmt.Fprintf(os.Stderr, "%-40s %d of %d orders served, wait p50 %.0f p99 %.0f ms, %.0f replica-seconds %v\n", w.name, p.Served, p.Orders, p.quantile(50), p.quantile(99), all(p.used), p.used)
	return p, nil
}

// fleet is a fixed one: one cashier, one baker and one server suffice for it, as the figures show, and so many ovens.
func (l *lab) fleet(name string, ovens int) way {
	return way{name, func(ctx context.Context) (*house, error) {
		return l.onHearth(ctx, map[string]change{"cashier": always(1), "baker": always(1), "oven": always(ovens), "server": always(1)}, nil)
	}}
}

func (l *lab) copies(name string, n int) way {
	return way{name, func(ctx context.Context) (*house, error) { return l.asMonolith(ctx, n) }}
}
