package main

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// writeCSV writes a table; its first row are the headers.
func (l *lab) writeCSV(name string, rows [][]string) error {
	f, err := os.Create(filepath.Join(l.out, name))
	if err != nil {
		return err
	}
	out := csv.NewWriter(f)
	_ = out.WriteAll(rows)
	return errors.Join(out.Error(), f.Close())
}

// decimal is a number with at most so many digits behind the point.
func decimal(v float64, digits int) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// roleOrCopy are the columns of replica-seconds.
var roleOrCopy = append(append([]string(nil), roles...), wholeCopy)

// writeDay writes what a comparison found as tables.
func (l *lab) writeDay(c *comparison) error {
	ways := [][]string{{"way", "kind", "orders", "served", "wait_p50_ms", "wait_p99_ms",
		"wait_max_ms", "most_ovens"}}
	for _, role := range roleOrCopy {
		ways[0] = append(ways[0], "replica_seconds_"+role)
	}
	ways[0] = append(ways[0], "replica_seconds", "replica_seconds_24h", "dollars_24h",
		"busy_seconds", "calls")
	for _, p := range c.Plays {
		row := []string{p.Name, p.Kind, strconv.Itoa(p.Orders), strconv.Itoa(p.Served),
			decimal(p.quantile(50), 0), decimal(p.quantile(99), 0), decimal(p.quantile(100), 0),
			decimal(max(p.most("oven"), p.most(wholeCopy)), 0)}
		for _, role := range roleOrCopy {
			row = append(row, decimal(p.used[role], 1))
		}
		day := all(c.wholeDay(p))
		ways = append(ways, append(row, decimal(all(p.used), 1), decimal(day, 1), decimal(l.dollars(day), 4),
			decimal(all(p.busy), 1), decimal(all(p.calls), 0)))
	}
	backlog, replicas := [][]string{{"minute"}}, [][]string{{"minute", "way", "role", "replicas"}}
	var of []series
	for _, p := range c.Plays {
		backlog[0], of = append(backlog[0], p.Name), append(of, c.backlog(p))
	}
	for i := 0; i < len(of[0].values); i += int(250 * time.Millisecond / step) {
		row := []string{decimal(l.minutes(time.Duration(i)*step), 1)}
		for _, s := range of {
			row = append(row, decimal(s.values[i], 0))
		}
		backlog = append(backlog, row)
	}
	for _, p := range c.Plays {
		if p.Kind != kindScaled {
			continue
		}
		for _, s := range p.samples {
			for _, role := range roles {
				replicas = append(replicas, []string{decimal(l.minutes(s.at.Sub(p.began)), 1), p.Name, role,
					decimal(s.replicas[role], 0)})
			}
		}
	}
	return errors.Join(l.writeCSV("ways.csv", ways), l.writeCSV("backlog.csv", backlog),
		l.writeCSV("replicas.csv", replicas))
}

func (l *lab) writeBurst(b *burst) error {
	rows := [][]string{{"second", "bakery", "orders", "wait_p99_ms"}}
	for _, p := range b.Plays {
		for at := time.Duration(0); at < b.Ended; at += time.Second {
			n := 0
			for _, w := range p.waits {
				if w.came >= at && w.came < at+time.Second {
					n++
				}
			}
			rows = append(rows, []string{decimal(at.Seconds(), 0), p.Name, strconv.Itoa(n),
				decimal(quantile(p.waits, at, at+time.Second, 99), 0)})
		}
	}
	return l.writeCSV("burst.csv", rows)
}

func (l *lab) writeClaims(lines []line) error {
	rows := [][]string{{"claim", "figure", "unit", "functions", "monolith", "better", "note"}}
	for _, c := range lines {
		rows = append(rows, []string{c.Claim, c.Figure, c.Unit, decimal(c.Hearth, 3), decimal(c.Monolith, 3),
			c.winner(), c.Note})
	}
	return l.writeCSV("claims.csv", rows)
}
