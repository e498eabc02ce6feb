package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bench/testbed"
)

// A report is what a run of the lab found; parts that were not run are nil.
type report struct {
	day    *comparison
	burst  *burst
	claims []line
}

// write writes everything to the directory for results.
func (l *lab) write(r report) error {
	if err := os.MkdirAll(l.out, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	say("# The lab\n")
	say("The same bakery, run in three ways, and what is said of functions beside a program in one piece. " +
		"This page is written by `make lab`, and so are the")
	say("tables and plots beside it: do not edit them. All was measured in one run, one after the other, " +
		"on one machine; figures of other machines do not compare.\n")
	say("| | |\n|---|---|")
	say("| machine | %s |\n| durability | private redis-server each, appendfsync %s |\n"+
		"| day | %s, %s, in %d shops at once, %g times faster than the clock; seed %d |\n",
		testbed.DescribeMachine(), l.bed.Fsync, l.day.of, l.day.day, l.day.shops, l.speed, l.day.seed)
	if l.quick {
		say("**A quick run, for development: its figures say little.**\n")
	}
	steps := []func() error{}
	if r.day != nil {
		l.tellDay(say, r.day)
		steps = append(steps, func() error { return l.drawDay(r.day) },
			func() error { return l.writeDay(r.day) })
	}
	if r.burst != nil {
		l.tellBurst(say, r.burst)
		steps = append(steps, func() error { return l.drawBurst(r.burst) },
			func() error { return l.writeBurst(r.burst) })
	}
	if r.day != nil && r.burst != nil {
		l.tellAims(say, r.day, r.burst)
	}
	if r.claims != nil {
		tellClaims(say, r.claims)
		steps = append(steps, func() error { return l.writeClaims(r.claims) })
	}
	for _, step := range append(steps, func() error {
		return os.WriteFile(filepath.Join(l.out, "README.md"),
			[]byte(b.String()), 0o644)
	}) {
		if err := step(); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "written to", l.out)
	return nil
}

type teller func(format string, args ...any)

func (l *lab) tellDay(say teller, c *comparison) {
	d := c.Demand
	say("## A day\n")
	say("All bakeries are made of the same handlers (`functions/`) and the same `bakery/`, and each has a " +
		"Redis of its own, of the same kind. They are given the same orders at the")
	say("same times by `bakery replay`, whether they keep up or not. One oven bakes four trays at once.\n")
	say("- **A monolith**: one process of the four handlers, without a gateway and without a queue before " +
		"it; a step's message is given to the next handler by a function call. When it")
	say("  must scale, whole copies of it share its door and its Redis.")
	say("- **A fixed fleet** of the four functions on Hearth, `min` = `max`: sized for the mean of the " +
		"day, and for its peak.")
	say("- **Autoscaled** functions on Hearth, which sleep before the day and after it, and wake ahead. As "+
		"the day goes %g times faster than the clock, the autoscaler's window is 3 s instead", l.speed)
	say("  of 30; its tick of 250 ms is %.1f minutes of the bakery.\n", l.minutes(250*time.Millisecond))
	say("The day asks for %.1f ovens on average and for %d at its peak (%.0f trays at once), seen in a "+
		"fleet in which an oven was always free. So \"for the mean\" is %d ovens, or copies, and \"for the "+
		"peak\" %d.\n",
		d.Mean, d.ForPeak, d.Most, d.ForMean, d.ForPeak)
	say("| | served | wait p50 | wait p99 | ovens at most | replica-seconds, shop open | with the night, " +
		"24 h | $ a day |\n|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, p := range c.Plays {
		day := all(c.wholeDay(p))
		say("| %s | %d of %d | %s | %s | %.0f | %.0f | %.0f | %.2f |", p.Name, p.Served, p.Orders,
			l.shown(p.quantile(50)), l.shown(p.quantile(99)), max(p.most("oven"), p.most(wholeCopy)),
			all(p.used), day, l.dollars(day))
	}
	say("\nWaits are in minutes of the bakery, from coming to being served, and in brackets in " +
		"milliseconds by the clock. Replica-seconds are by the clock: a replica is one process, of one " +
		"role or of a")
	say("whole monolith, and counts from its start to its end. The night is not played: what is asleep " +
		"uses nothing, and what is not goes on as it is; the time until all slept was measured.")
	say("Dollars are Lambda's published price of x86 in us-east-1 (%.10f $ for a GB-second) at its smallest "+
		"size, 128 MB for each replica, at the speed of the clock: hardware that you own has its own "+
		"price.\n", dollarsPerGBSecond)
	say("Lambda itself bills calls and not replicas, and gives each instance one call at a time: the calls "+
		"of the autoscaled functions took %.0f s together, which is %.2f times their replica-seconds, as "+
		"one oven bakes four trays at once.\n",
		all(c.of(autoscaled).busy), all(c.of(autoscaled).busy)/all(c.of(autoscaled).used))
	say("Where it goes, by role, in replica-seconds of the open shop and in dollars of 24 hours:\n")
	say("| | cashier | baker | oven | server | whole copies |\n|---|--:|--:|--:|--:|--:|")
	for _, p := range c.Plays {
		row, day := "| "+p.Name+" |", c.wholeDay(p)
		for _, role := range roleOrCopy {
			if p.used[role] == 0 {
				row += " |"
			} else {
				row += fmt.Sprintf(" %.0f, $%.2f |", p.used[role], l.dollars(day[role]))
			}
		}
		say("%s", row)
	}
	mono, peak, scaled := c.of(monolithPeak), c.of(fleetPeak), c.of(autoscaled)
	say("\n%s\n", verdict("A copy of the monolith costs as much as one oven, and has a cashier, a baker and "+
		"a server in it: of what is always awake,", "the monolith for the peak uses %.0f replica-seconds "+
		"and the fleet for the peak %.0f, with a p99 of %s and "+
		"%s", all(mono.used), all(peak.used), l.shown(mono.quantile(99)), l.shown(peak.quantile(99))))
	if all(scaled.used) < all(mono.used) {
		say("The autoscaled functions use %.0f%% of the monolith's for the peak while the shop is open, and "+
			"%.0f%% with the night.\n", 100*all(scaled.used)/all(mono.used),
			100*all(c.wholeDay(scaled))/all(c.wholeDay(mono)))
	} else {
		say("While the shop is open **the monolith for the peak wins** over the autoscaled functions too; "+
			"with the night they use %.0f%% of it.\n", 100*all(c.wholeDay(scaled))/all(c.wholeDay(mono)))
	}
	say("![Trays that wait for an oven](backlog.svg)\n\n![Ovens over the day](replicas.svg)\n\n" +
		"![How long customers wait](waits.svg)\n\n![p99 wait against replica-seconds](curve.svg)\n")
	say("Tables: [ways.csv](ways.csv), [backlog.csv](backlog.csv), [replicas.csv](replicas.csv).\n")
}

// verdict joins a remark and the figures that it is about.
func verdict(remark, format string, args ...any) string {
	return remark + " " + fmt.Sprintf(format, args...) + "."
}

// shown is a wait as the bakery's minutes, and by the clock.
func (l *lab) shown(ms float64) string {
	return fmt.Sprintf("%.1f min (%.0f)", ms*l.speed/60_000, ms)
}

func (l *lab) tellBurst(say teller, b *burst) {
	say("## A rush at one role\n")
	say("%g orders a second, each of exactly one tray that bakes for a second; after %v, for %v, %g times "+
		"as many. Only the ovens have more to do than one replica can.\n", b.Rate, b.Starts,
		b.Ends-b.Starts, b.Times)
	say("| | p99 before | p99 while it lasts | back under twice the former | at most: cashiers | bakers | " +
		"ovens | servers | replica-seconds |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, p := range b.Plays {
		back, most := fmt.Sprintf("after %.0f s", p.Back.Seconds()), []any{p.most("cashier"), p.most("baker"),
			p.most("oven"), p.most("server")}
		if !p.Recovered {
			back = "not while it lasts"
		}
		if n := p.most(wholeCopy); n > 0 {
			most = []any{n, n, n, n}
		}
		say(fmt.Sprintf("| %s | %.0f ms | %.0f ms | %s | %%v | %%v | %%v | %%v | %.0f |", p.Name, p.Steady,
			quantile(p.waits, b.Starts, b.Ends, 99), back, all(p.used)), most...)
	}
	say("\nA copy of the monolith has all four roles in it: for the ovens that a rush needs there are as " +
		"many cashiers, bakers and servers, whether they have anything to do or not.\n")
	say("![p99 wait of the orders of each second](burst.svg)\n\nTable: [burst.csv](burst.csv).\n")
}

func (l *lab) tellAims(say teller, c *comparison, b *burst) {
	scaled, peak := c.of(autoscaled), c.of(fleetPeak)
	used := all(scaled.used) + all(scaled.tail)
	met := func(ok bool) string {
		if ok {
			return "met"
		}
		return "**not met**"
	}
	back := b.Plays[0]
	say("## What was aimed at\n\n| aim | found | |\n|---|---|---|")
	say("| after ten times the orders, the p99 wait is back under twice its steady value within 3 s | %.0f "+
		"s | %s |", back.Back.Seconds(), met(back.Recovered && back.Back <= 3*time.Second))
	oracle := used / c.oracle()
	say("| replica-seconds within 1.3 times an oracle's, who knows the arrivals | %.2f times: %.0f, and the "+
		"oracle %.0f; of the ovens alone %.2f times | %s |", oracle, used, c.oracle(),
		(scaled.used["oven"]+scaled.tail["oven"])/c.Demand.Oracle, met(oracle <= 1.3))
	open, day := all(scaled.used)/all(peak.used), all(c.wholeDay(scaled))/all(c.wholeDay(peak))
	found := met(open <= .4)
	if open > .4 && day <= .4 {
		found = "met with the night; **not met** while the shop is open"
	}
	say("| at most 40%% of the peak fleet's replica-seconds on the recorded day | %.0f%% of 24 hours; "+
		"%.0f%% while the shop is open, of which the oracle takes %.0f%% | %s "+
		"|", 100*day, 100*open, 100*c.oracle()/all(peak.used), found)
	slower := scaled.quantile(99) / peak.quantile(99)
	say("| and a p99 wait within 1.2 times its | %.2f times | %s |\n", slower, met(slower <= 1.2))
	say("The oracle has at each moment as many ovens as bake, and one of each other role while the shop is " +
		"open; its customers never wait for an oven, and nothing takes time to start.\n")
}

func tellClaims(say teller, lines []line) {
	say("## What is said of functions\n")
	say("Each figure beside the monolith's, in one copy, in the same run; of all of them, less is better. " +
		"Customers come all the while: they order, and look at the menu, the fridge and the display. Each " +
		"has")
	say("a connection of its own and never tries again. For this part, a few lines stand before each " +
		"handler that tell its version, and have the bug: the same in the functions and in the monolith.\n")
	say("| | functions | monolith | better | |\n|---|--:|--:|---|---|")
	claim := ""
	for _, c := range lines {
		if c.Claim != claim {
			claim = c.Claim
			say("| **%s** | | | | |", claim)
		}
		monolith, better := decimal(c.Monolith, 2), c.winner()
		if better == "monolith" {
			better = "**monolith**"
		}
		if monolith != "" {
			monolith += " " + c.Unit
		}
		say("| %s | %s %s | %s | %s | %s |", c.Figure, decimal(c.Hearth, 2), c.Unit, monolith, better, c.Note)
	}
	say("\nTable: [claims.csv](claims.csv). What customers lose when a process ends is the calls that it " +
		"has; a queue, and a stream between the steps, lose nothing in either. A monolith that ends is")
	say("started again after 100 ms, and connections wait at its door meanwhile. Its new version is " +
		"started beside the old one, which then ends: as carefully as Hearth does it.")
}
