/*
Command sim puts functions before the autoscaler in virtual time, and tells what its decisions cost and how
long calls waited. The autoscaler is the real one, windows, decision and all; calls, replicas, queues and the
router are simulated. So a day takes seconds, and the same seed gives the same figures.

	make sim
	make sim ARGS='-only burst -seed 7'

It has three parts: a recorded day of sales in many shops, a rush, and a fleet of 10,000 functions whose calls
follow published figures of a large cloud. Functions do not share machines, and machine capacity is not
simulated, so all replicas are equally fast. A simulation runs until every call has been served.
*/
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// options are the flags.
type options struct {
	seed   uint64
	file   string
	day    string
	shops  int
	sample int
}

// A table is what one part has found.
type table struct {
	Title string     `json:"title"`
	Notes []string   `json:"notes"`
	Head  []string   `json:"columns"`
	Rows  [][]string `json:"rows"`
}

func main() {
	var o options
	var only string
	var asJSON bool
	flag.Uint64Var(&o.seed, "seed", 1, "seed of all that is drawn")
	flag.StringVar(&o.file, "file", "../cmd/bakery/testdata/made-up-days.csv",
		"the till's file of the recorded day")
	flag.StringVar(&o.day, "day", "2024-03-02", "its day")
	flag.IntVar(&o.shops, "shops", 40, "shops that sell that day at once")
	flag.IntVar(&o.sample, "sample", 100,
		"of the fleet's functions with few calls, one in so many is simulated, and stands for all")
	flag.StringVar(&only, "only", "", "one part: day, burst or fleet")
	flag.BoolVar(&asJSON, "json", false, "print JSON")
	flag.Parse()
	var tables []table
	for _, part := range []struct {
		name string
		run  func(options) ([]table, error)
	}{{"day", dayTables}, {"burst", burstTables}, {"fleet", fleetTables}} {
		if only != "" && only != part.name {
			continue
		}
		t, err := part.run(o)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sim:", err)
			os.Exit(1)
		}
		tables = append(tables, t...)
	}
	if asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		_ = out.Encode(tables)
		return
	}
	for _, t := range tables {
		t.show()
	}
}

func (t table) show() {
	fmt.Println(t.Title)
	for _, n := range t.Notes {
		fmt.Println("  " + n)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(t.Head, "\t"))
	for _, r := range t.Rows {
		_, _ = fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush()
	fmt.Println()
}

// A setting is what may be chosen: the windows by an operator, the rest by a function's labels.
type setting struct {
	stable, panics   time.Duration
	proportion, down string
}

// settings are the defaults, and what else is tried: one thing changed at a time.
func settings() []setting {
	const s = time.Second
	all := []setting{{30 * s, s, "1", ""}}
	for _, w := range []time.Duration{5 * s, 10 * s, 60 * s, 120 * s} {
		all = append(all, setting{w, s, "1", ""})
	}
	for _, w := range []time.Duration{s / 2, 2 * s, 5 * s, 10 * s} {
		all = append(all, setting{30 * s, w, "1", ""})
	}
	for _, p := range []string{"0.5", "0.7", "0.9"} {
		all = append(all, setting{30 * s, s, p, ""})
	}
	for _, d := range []string{"10s", "1m", "5m"} {
		all = append(all, setting{30 * s, s, "1", d})
	}
	return all
}

func (s setting) apply(to spec) spec {
	to.stable, to.panics = s.stable, s.panics
	to = to.with("target-proportion", s.proportion)
	if s.down != "" {
		to = to.with("down.window", s.down)
	}
	return to
}

// settingColumns name what cells gives.
var settingColumns = []string{"window", "panic", "proportion", "down"}

func (s setting) cells() []string {
	return []string{seconds(s.stable), seconds(s.panics), s.proportion, s.down}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%g s", d.Seconds()) }

func millis(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < 10*time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// cold are the starts that the README has measured: of a process, of a frozen container, and of one that is
// made anew. That of a pod of Kubernetes is assumed: Hearth has no provider for it.
func cold(kind string, rnd *rand.Rand) delay {
	const ms = time.Millisecond
	switch kind {
	case "process":
		return delay{5500 * time.Microsecond, 9700 * time.Microsecond, rnd}
	case "frozen":
		return delay{9 * ms, 12 * ms, rnd}
	case "pod":
		return delay{2 * time.Second, 5 * time.Second, rnd}
	}
	return delay{243 * ms, 298 * ms, rnd}
}
