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
	say("The same bakery runs in three ways, and the usual claims about functions are tested against a " +
		"monolith.")
	say("`make lab` writes this page and the tables and plots beside it: do not edit them. One run " +
		"measured everything")
	say("on one machine, one part after the other. Figures of different machines do not compare.\n")
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
	say("All bakeries have the same handlers (`functions/`) and the same domain (`bakery/`). Each has a " +
		"Redis of its own.")
	say("`bakery replay` sends each the same orders at the same times, whether it keeps up or not. One " +
		"oven bakes four")
	say("trays at once.\n")
	say("- **A monolith** is one process with the four handlers, without a gateway or a queue. A step " +
		"calls the next one")
	say("  directly. To scale, whole copies share its listener and its Redis.")
	say("- **A fixed fleet** is the four functions on Hearth with `min` = `max`, sized for the mean of " +
		"the day or for its")
	say("  peak.")
	say("- **Autoscaled** functions on Hearth are at zero before and after the day, and are pre-warmed " +
		"by `emits`. The day")
	say("  runs at %g times the speed of the clock, so the autoscaler's window is 3 s, not 30 s. Its tick "+
		"of 250 ms is", l.speed)
	say("  %.1f minutes of the bakery.\n", l.minutes(250*time.Millisecond))
	say("A fleet that always had a free oven used %.1f ovens on average and %d at the peak (%.0f trays at "+
		"once). So \"for the", d.Mean, d.ForPeak, d.Most)
	say("mean\" is %d ovens or copies, and \"for the peak\" is %d.\n", d.ForMean, d.ForPeak)
	say("| bakery | served | wait p50 | wait p99 | most ovens | replica-seconds, shop open | of 24 hours " +
		"| $ a day |\n|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, p := range c.Plays {
		day := all(c.wholeDay(p))
		say("| %s | %d of %d | %s | %s | %.0f | %.0f | %.0f | %.2f |", p.Name, p.Served, p.Orders,
			l.shown(p.quantile(50)), l.shown(p.quantile(99)), max(p.most("oven"), p.most(wholeCopy)),
			all(p.used), day, l.dollars(day))
	}
	say("\nA wait is the time from an order's arrival until it is served: in minutes of the bakery, and " +
		"in brackets in")
	say("milliseconds of real time. Replica-seconds are real time from the start of a process to its " +
		"end. A process is one")
	say("replica of a function, or one copy of the monolith. The night is computed, not run: functions " +
		"at zero use nothing,")
	say("everything else runs on. The time until all functions were at zero was measured.")
	say("Dollars are Lambda's published price for x86 in us-east-1 ($%.10f for a GB-second) at its "+
		"smallest size, 128 MB", dollarsPerGBSecond)
	say("for each replica, in real time. Hardware that you own has its own price.\n")
	say("Lambda bills calls, not replicas, and gives each instance one call at a time. The calls of the " +
		"autoscaled")
	say("functions took %.0f s in total: %.2f times their replica-seconds, since one oven bakes four "+
		"trays at once.\n",
		all(c.of(autoscaled).busy), all(c.of(autoscaled).busy)/all(c.of(autoscaled).used))
	say("By role, in replica-seconds while the shop is open and in dollars of 24 hours:\n")
	say("| bakery | cashier | baker | oven | server | whole copies |\n|---|--:|--:|--:|--:|--:|")
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
	say("\nA copy of the monolith costs as much as one oven, and includes a cashier, a baker and a " +
		"server. Sized for the peak,")
	say("the monolith uses %.0f replica-seconds with a p99 of %s; the fleet uses %.0f with a p99 of %s.\n",
		all(mono.used), l.shown(mono.quantile(99)), all(peak.used), l.shown(peak.quantile(99)))
	if all(scaled.used) < all(mono.used) {
		say("The autoscaled functions use %.0f%% of the peak monolith's replica-seconds while the shop is "+
			"open, and %.0f%% over 24 hours.\n", 100*all(scaled.used)/all(mono.used),
			100*all(c.wholeDay(scaled))/all(c.wholeDay(mono)))
	} else {
		say("While the shop is open, **the peak monolith uses less** than the autoscaled functions. Over "+
			"24 hours they use %.0f%% of it.\n", 100*all(c.wholeDay(scaled))/all(c.wholeDay(mono)))
	}
	say("![Trays waiting for an oven](backlog.svg)\n\n![Ovens over the day](replicas.svg)\n\n" +
		"![How long customers wait](waits.svg)\n\n![p99 wait against replica-seconds](curve.svg)\n")
	say("Tables: [ways.csv](ways.csv), [backlog.csv](backlog.csv), [replicas.csv](replicas.csv).\n")
}

// shown is a wait in minutes of the bakery, and in milliseconds of real time.
func (l *lab) shown(ms float64) string {
	return fmt.Sprintf("%.1f min (%.0f)", ms*l.speed/60_000, ms)
}

func (l *lab) tellBurst(say teller, b *burst) {
	say("## A rush at one role\n")
	say("%g orders arrive a second, each of one tray that bakes for %.1f s. After %v, %g times as many "+
		"arrive for %v.", b.Rate, bakeSeconds, b.Starts, b.Times, b.Ends-b.Starts)
	say("Only the ovens then have more work than one replica can do.\n")
	say("| bakery | p99 before | p99 in the rush | back under twice p99 before | most cashiers | most " +
		"bakers | most ovens | most servers | replica-seconds |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, p := range b.Plays {
		back, most := fmt.Sprintf("after %.0f s", p.Back.Seconds()), []any{p.most("cashier"), p.most("baker"),
			p.most("oven"), p.most("server")}
		if !p.Recovered {
			back = "not in the rush"
		}
		if n := p.most(wholeCopy); n > 0 {
			most = []any{n, n, n, n}
		}
		say(fmt.Sprintf("| %s | %.0f ms | %.0f ms | %s | %%v | %%v | %%v | %%v | %.0f |", p.Name, p.Steady,
			quantile(p.waits, b.Starts, b.Ends, 99), back, all(p.used)), most...)
	}
	say("\nA copy of the monolith has all four roles. So with each oven that the rush needs comes a " +
		"cashier, a baker and a")
	say("server, busy or not.\n")
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
	say("## Aims\n\n| aim | measured | result |\n|---|---|---|")
	say("| in a rush of ten times the orders, the p99 wait is back under twice its steady value within 3 "+
		"s | %.0f s | %s |", back.Back.Seconds(), met(back.Recovered && back.Back <= 3*time.Second))
	oracle := used / c.oracle()
	say("| replica-seconds within 1.3 times those of an oracle that knows all arrivals | %.2f times: "+
		"%.0f, oracle %.0f; ovens alone %.2f times | %s |", oracle, used, c.oracle(),
		(scaled.used["oven"]+scaled.tail["oven"])/c.Demand.Oracle, met(oracle <= 1.3))
	open, day := all(scaled.used)/all(peak.used), all(c.wholeDay(scaled))/all(c.wholeDay(peak))
	found := met(open <= .4)
	if open > .4 && day <= .4 {
		found = "met over 24 hours; **not met** while the shop is open"
	}
	say("| at most 40%% of the peak fleet's replica-seconds on the recorded day | %.0f%% over 24 hours; "+
		"%.0f%% while the shop is open (the oracle needs %.0f%%) | %s |",
		100*day, 100*open, 100*c.oracle()/all(peak.used), found)
	slower := scaled.quantile(99) / peak.quantile(99)
	say("| a p99 wait within 1.2 times the peak fleet's | %.2f times | %s |\n", slower, met(slower <= 1.2))
	say("The oracle has exactly as many ovens as it needs at each moment, and one replica of each other " +
		"role while the shop is")
	say("open. Its customers never wait for an oven, and its replicas start in no time.\n")
}

func tellClaims(say teller, lines []line) {
	say("## Claims about functions\n")
	say("Each figure is compared with one copy of the monolith in the same run. Less is always better. " +
		"Customers order and")
	say("read the menu, the fridge and the display all the time. Each has a connection of its own and " +
		"never retries. A few")
	say("lines before each handler report its version and contain the bug; they are the same in the " +
		"functions and in the")
	say("monolith.\n")
	say("| figure | functions | monolith | better | note |\n|---|--:|--:|---|---|")
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
	say("\nTable: [claims.csv](claims.csv). When a process ends, customers lose the sync calls that it " +
		"was running. Queued")
	say("calls and messages between steps are lost in neither. A monolith that crashed is restarted " +
		"after 100 ms, and")
	say("connections wait in its listener. Its new version starts beside the old one, which then drains, " +
		"as Hearth does it.")
}
