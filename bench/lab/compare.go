package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"time"
)

// A comparison is the same day in all bakeries.
type comparison struct {
	Demand demand
	Open   time.Duration // from the first order to the last that was served, where no tray ever waited
	Length time.Duration // that each is accounted for
	Night  time.Duration // the rest of 24 hours, as fast as the day
	Probe  *play
	Plays  []*play
}

// The kinds of ways to run the bakery, as they are drawn.
const (
	kindMonolith = "monolith, whole copies"
	kindFleet    = "fixed fleet of functions"
	kindScaled   = "functions, autoscaled"
)

// The ways that all claims are about.
const (
	monolithMean = "monolith, for the mean"
	monolithPeak = "monolith, for the peak"
	fleetMean    = "fixed fleet, for the mean"
	fleetPeak    = "fixed fleet, for the peak"
	autoscaled   = "autoscaled, window of 3 s"
)

// plenty is how many ovens there may be: as many as no day here asks for.
const plenty = 40

// step is how finely a day is looked at afterwards.
const step = 50 * time.Millisecond

// A way is one way to run the bakery for a day.
type way struct {
	name, kind string
	sleeps     bool // when there is nothing to do: the day begins, and ends, with no replica at all
	start      func(context.Context) (*house, error)
}

func (l *lab) compare(ctx context.Context) (*comparison, error) {
	c := &comparison{}
	var err error
	if c.Probe, err = l.playIn(ctx, l.fleet("probe", plenty), 0); err != nil {
		return nil, err
	}
	for _, w := range c.Probe.waits {
		c.Open = max(c.Open, w.came+w.waited)
	}
	c.Length = c.Open.Truncate(time.Second) + 2*time.Second
	c.Night = max(0, time.Duration(float64(24*time.Hour)/l.speed)-c.Length)
	c.Demand = demandOf(spans(c.Probe.began, c.Length, step, baking(c.Probe.trays)))
	fmt.Fprintf(os.Stderr, "the day asks for %+v, in %v\n", c.Demand, c.Length)
	for _, w := range l.ways(c.Demand) {
		p, err := l.playIn(ctx, w, c.Length)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		c.Plays = append(c.Plays, p)
	}
	return c, nil
}

// ways are those that the day is played in.
func (l *lab) ways(d demand) []way {
	ways := []way{
		l.copies(monolithMean, d.ForMean),
		l.copies(monolithPeak, d.ForPeak),
		l.fleet(fleetMean, d.ForMean),
		l.fleet(fleetPeak, d.ForPeak),
		l.scaled(autoscaled, 3*time.Second, nil),
	}
	if l.quick {
		return ways
	}
	between := int(math.Round(math.Sqrt(float64(d.ForMean * d.ForPeak))))
	return append(ways,
		l.copies("monolith, between", between),
		l.fleet("fixed fleet, between", between),
		l.scaled("autoscaled, window of 1 s", time.Second, nil),
		l.scaled("autoscaled, window of 30 s", 30*time.Second, nil),
		l.scaled("autoscaled, with room to spare", 3*time.Second,
			map[string]string{"com.openfaas.scale.target-proportion": "0.6"}))
}

// playIn plays the day in a bakery that is started for it.
func (l *lab) playIn(ctx context.Context, w way, length time.Duration) (*play, error) {
	h, err := w.start(ctx)
	if err != nil {
		return nil, err
	}
	defer h.stop()
	p, err := l.play(ctx, h, l.day, length, w.sleeps)
	if err != nil {
		return nil, err
	}
	p.Name, p.Kind = w.name, w.kind
	fmt.Fprintf(os.Stderr, "%-32s %d of %d orders served, wait p50 %.0f p99 %.0f ms, %.0f replica-seconds "+
		"%v, and %.1f until it slept\n",
		w.name, p.Served, p.Orders, p.quantile(50), p.quantile(99), all(p.used), p.used, all(p.tail))
	return p, nil
}

// fleet is a fixed one: one cashier, one baker and one server suffice for it, as
// the figures show, and so many ovens.
func (l *lab) fleet(name string, ovens int) way {
	return way{name, kindFleet, false, func(ctx context.Context) (*house, error) {
		return l.onHearth(ctx, map[string]change{"cashier": always(1), "baker": always(1),
			"oven": always(ovens), "server": always(1)}, nil)
	}}
}

// scaled is a fleet that Hearth scales, and lets sleep after a quarter of an hour of the bakery's time. The
// window is in real time: a day that is sped up this much needs a shorter window than the 30 seconds of a
// real day.
func (l *lab) scaled(name string, window time.Duration, labels map[string]string) way {
	return way{name, kindScaled, true, func(ctx context.Context) (*house, error) {
		return l.onHearth(ctx, l.scaling(labels), []string{"--scale-window", window.String()})
	}}
}

// scaling are the labels of functions that Hearth scales.
func (l *lab) scaling(labels map[string]string) map[string]change {
	own := map[string]string{
		"com.openfaas.scale.min": "0", "com.openfaas.scale.max": fmt.Sprint(plenty),
		"com.openfaas.scale.zero-duration": max(time.Second,
			time.Duration(float64(15*time.Minute)/l.speed)).String(),
	}
	maps.Copy(own, labels)
	changes := map[string]change{}
	for _, role := range roles {
		changes[role] = change{labels: own}
	}
	return changes
}

// copies is a monolith in so many whole copies.
func (l *lab) copies(name string, n int) way {
	return way{name, kindMonolith, false, func(ctx context.Context) (*house,
		error) {
		return l.asMonolith(ctx, n)
	}}
}

// of is the play of a name.
func (c *comparison) of(name string) *play {
	for _, p := range c.Plays {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// oracle are the replica-seconds of one who knows the arrivals: at each moment as many ovens as bake, and of
// the other roles one each while the shop is open.
func (c *comparison) oracle() float64 { return c.Demand.Oracle + 3*c.Open.Seconds() }

// wholeDay are a play's replica-seconds with the night: what does not sleep stays as it is.
func (c *comparison) wholeDay(p *play) map[string]float64 {
	sum := map[string]float64{}
	for role, used := range p.used {
		sum[role] = used + p.tail[role]
		if !p.sleeps {
			sum[role] += used * c.Night.Seconds() / p.length.Seconds()
		}
	}
	return sum
}

// Lambda's price of x86 functions in us-east-1, and its smallest size, by
// https://aws.amazon.com/lambda/pricing/ in November 2026. A replica here has a fraction of that size.
const (
	dollarsPerGBSecond = 0.0000166667
	replicaGB          = 0.125
)

// dollars is what replica-seconds of a day cost, at the speed of the clock.
func (l *lab) dollars(used float64) float64 { return used * l.speed * replicaGB * dollarsPerGBSecond }
