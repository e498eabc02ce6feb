package main

import (
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot/plotter"
)

// minutes converts real time to minutes of the bakery.
func (l *lab) minutes(d time.Duration) float64 { return d.Minutes() * l.speed }

// over is a series over the day.
func (l *lab) over(name string, s series, of func(float64) float64) curve {
	c := curve{name: name}
	for i, v := range s.values {
		c.points = append(c.points, plotter.XY{X: l.minutes(time.Duration(i) * s.step), Y: of(v)})
	}
	return c
}

func same(v float64) float64 { return v }

// replicasOf is how many of a role were seen over the day.
func (l *lab) replicasOf(p *play, name, role string) curve {
	c := curve{name: name}
	for _, s := range p.samples {
		if at := s.at.Sub(p.began); at >= 0 && at <= p.length {
			c.points = append(c.points, plotter.XY{X: l.minutes(at), Y: s.replicas[role]})
		}
	}
	return c
}

// served is which part of the orders was served within a time.
func (l *lab) served(p *play) curve {
	var all []float64
	for _, w := range p.waits {
		if w.served {
			all = append(all, l.minutes(w.waited))
		}
	}
	slices.Sort(all)
	c := curve{name: p.Name}
	for part := range 201 { // more points than can be seen
		if i := len(all)*part/200 - 1; i >= 0 {
			c.points = append(c.points, plotter.XY{X: all[i], Y: 100 * float64(i+1) / float64(len(p.waits))})
		}
	}
	return c
}

const timeOfDay = "minutes since the first order"

// drawDay draws what a comparison found.
func (l *lab) drawDay(c *comparison) error {
	backlog := drawing{file: "backlog.svg", title: "Trays waiting for an oven", x: timeOfDay, y: "trays"}
	waits := drawing{
		file:  "waits.svg",
		title: "How long customers wait",
		x:     "minutes until an order was served",
		y:     "% of the orders",
		top:   100,
	}
	trade := drawing{
		file:  "curve.svg",
		title: "What a short wait costs",
		x:     "replica-seconds of the open shop",
		y:     "p99 wait, minutes of the bakery",
		log:   true,
	}
	for _, name := range []string{monolithMean, monolithPeak, fleetMean, fleetPeak, autoscaled} {
		p := c.of(name)
		backlog.curves = append(backlog.curves, l.over(name, c.backlog(p), same))
		waits.curves = append(waits.curves, l.served(p))
	}
	for _, kind := range []string{kindMonolith, kindFleet, kindScaled} {
		one := curve{name: kind, marks: true}
		plays := slices.DeleteFunc(slices.Clone(c.Plays), func(p *play) bool { return p.Kind != kind })
		slices.SortFunc(plays, func(a, b *play) int { return int(all(a.used) - all(b.used)) })
		for _, p := range plays {
			if p99 := p.quantile(99); !math.IsInf(p99, 1) {
				one.points = append(one.points, plotter.XY{X: all(p.used),
					Y: l.minutes(time.Duration(p99) * time.Millisecond)})
				_, short, _ := strings.Cut(p.Name, ", ") // the legend has the rest
				one.names = append(one.names, short)
			}
		}
		trade.curves = append(trade.curves, one)
	}
	ovens := drawing{
		file:  "replicas.svg",
		title: "Ovens running, and ovens that the day needs",
		x:     timeOfDay,
		y:     "ovens",
		curves: []curve{
			l.over("needed, knowing the arrivals",
				spans(c.Probe.began, c.Length, step, baking(c.Probe.trays)),
				func(v float64) float64 { return math.Ceil(v / racks) }),
			l.replicasOf(c.of(autoscaled), autoscaled, "oven"),
			l.replicasOf(c.of(fleetMean), fleetMean, "oven"),
			l.replicasOf(c.of(fleetPeak), fleetPeak, "oven"),
		},
	}
	for _, d := range []drawing{backlog, waits, trade, ovens} {
		if err := d.save(l.out); err != nil {
			return err
		}
	}
	return nil
}

// backlog are the trays that waited in a play, over the day.
func (c *comparison) backlog(p *play) series { return spans(p.began, c.Length, step, waiting(p.trays)) }

// drawBurst draws the 99th percentile of each second, and the ovens.
func (l *lab) drawBurst(b *burst) error {
	d := drawing{
		file:  "burst.svg",
		title: "Ten times the orders, for a while",
		x:     "seconds",
		y:     "p99 wait of the orders of each second, ms",
		log:   true,
		mark:  span{"the rush", b.Starts.Seconds(), b.Ends.Seconds()},
	}
	for _, p := range b.Plays {
		c := curve{name: p.Name}
		for at := time.Duration(0); at < b.Ended; at += time.Second {
			if v := quantile(p.waits, at, at+time.Second, 99); v > 0 && !math.IsInf(v, 1) {
				c.points = append(c.points, plotter.XY{X: at.Seconds(), Y: v})
			}
		}
		d.curves = append(d.curves, c)
	}
	return d.save(l.out)
}
