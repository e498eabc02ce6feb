package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// result is what was measured.
type result struct {
	Machine    string `json:"machine"`
	Durability string `json:"durability"`
	Clients    int    `json:"clients"`

	Calls     []calls `json:"calls"`
	Many      *many   `json:"many,omitempty"`
	Queues    []queue `json:"queues"`
	Orders    int     `json:"orders"`       // through the chain, each of exactly one tray
	OrderRate float64 `json:"orders_per_s"` // of them a second, from the first call to the last cookie
	HopMS     float64 `json:"hop_ms"`       // that one hand-over takes, with nothing else to do

	Cold    quantiles `json:"cold_start"`
	Colds   int       `json:"cold_starts"`
	RestMiB float64   `json:"rest_mib"` // resident memory of hearth
	LoadMiB float64   `json:"load_mib"` // the most there was

	Docker *containers `json:"docker,omitempty"` // nil without an engine
}

type quantiles struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

func (r *result) show(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...any) {
		for _, c := range cells {
			_, _ = fmt.Fprintf(w, "%v\t", c)
		}
		_, _ = fmt.Fprintln(w)
	}
	per := func(f float64) string { return fmt.Sprintf("%.0f/s", f) }
	millis := func(f float64) string { return fmt.Sprintf("%.2f ms", f) }
	row("machine", r.Machine)
	row("durability", r.Durability)
	row()
	row(fmt.Sprintf("%d clients", r.Clients), "rate", "p50", "p99")
	for _, s := range r.Calls {
		size := sized(s.Bytes)
		row("function, called directly", per(s.Direct.PerSecond), millis(s.Direct.P50),
			millis(s.Direct.P99), size)
		row("function, through the gateway", per(s.Gateway.PerSecond), millis(s.Gateway.P50),
			millis(s.Gateway.P99), fmt.Sprintf("%s, %.2f of direct; hearth uses %.0f µs of a core", size,
				s.Gateway.PerSecond/s.Direct.PerSecond, s.Cost.Hearth))
	}
	if r.Many != nil {
		row("calls of many functions", per(r.Many.Sync.PerSecond), millis(r.Many.Sync.P50),
			millis(r.Many.Sync.P99), fmt.Sprintf("1 KiB there and back, %d functions in no order",
				r.Many.Functions))
	}
	if r.Colds > 0 && len(r.Calls) > 0 {
		row("cold start of a process", "", millis(r.Cold.P50), millis(r.Cold.P99),
			fmt.Sprintf("of %d", r.Colds))
	}
	for _, q := range r.Queues {
		note := "fsync " + q.Fsync
		if !q.Recorded {
			note += ", no record of calls"
		}
		row("queued calls accepted", per(q.Accepted.PerSecond), millis(q.Accepted.P50),
			millis(q.Accepted.P99), fmt.Sprintf("%s, while %.0f/s are executed", note, q.During))
		executed := note
		if q.Call > 0 {
			executed += fmt.Sprintf("; %.0f bytes a call in Redis, with its headers", q.Call)
		}
		row("queued calls executed", per(q.Executed), "", "", executed)
		row("one queued call, all in all", "", "", "",
			fmt.Sprintf("%s; hearth uses %.0f µs of a core, the thread of Redis that runs scripts %.0f µs",
				note, q.Cost.Hearth, q.Cost.Redis))
		row("from a queued call to its callback", "", millis(q.Done.P50), millis(q.Done.P99), note+", 200/s")
		row(fmt.Sprintf("backlog of %d", q.Backlog), per(float64(q.Backlog)/q.DrainSec), "", "",
			fmt.Sprintf("%s; the first tenth %.0f/s, the last %.0f/s; %.0f bytes an entry", note, q.Deep,
				q.Shallow, q.Bytes))
	}
	if r.Orders > 0 {
		row("orders through four functions", per(r.OrderRate), "", "",
			fmt.Sprintf("%d orders, each exactly one tray; %d ovens", r.Orders, ovens))
		row("one hand-over, at rest", "", millis(r.HopMS))
	}
	if d := r.Docker; d != nil {
		row("function as a container, through the gateway", per(d.Sync.PerSecond), millis(d.Sync.P50),
			millis(d.Sync.P99))
		wakes := fmt.Sprintf("of %d", d.Wakes)
		row("wake of a container: frozen", "", millis(d.Frozen.P50), millis(d.Frozen.P99), wakes)
		row("... prepared", "", millis(d.Created.P50), millis(d.Created.P99), wakes)
		row("... nothing kept", "", millis(d.Nothing.P50), millis(d.Nothing.P99), wakes)
	}
	row()
	if r.RestMiB > 0 {
		row("memory of hearth", fmt.Sprintf("%.1f MiB at rest", r.RestMiB),
			fmt.Sprintf("%.1f MiB at most", r.LoadMiB))
	}
	if m := r.Many; m != nil {
		row("... with many functions", fmt.Sprintf("%.1f MiB at rest", m.RestMiB),
			fmt.Sprintf("%.1f MiB at most", m.LoadMiB), "", fmt.Sprintf("%d functions", m.Functions))
	}
	if d := r.Docker; d != nil {
		row("", fmt.Sprintf("%.1f MiB with %d functions asleep as frozen containers, which use %s each",
			d.AsleepMiB, d.Asleep, d.FrozenUses))
	}
	_ = w.Flush()
}

// sized is the size of a body, as people say it.
func sized(bytes int) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB there and back", bytes>>20)
	case bytes >= 1<<10:
		return fmt.Sprintf("%d KiB there and back", bytes>>10)
	}
	return fmt.Sprintf("%d bytes there and back", bytes)
}
