package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/bakery"
)

// report is the result of a replay.
type report struct {
	Orders    int       `json:"orders"` // that arrived
	Served    int       `json:"served"`
	Refused   int       `json:"refused"` // by the cashier, or because the cookie left the menu
	Failed    int       `json:"failed"`  // by a connection error or a 5xx
	Open      int       `json:"open"`    // not ended within --patience
	Skipped   skipped   `json:"skipped"` // items of the day that are not on the menu
	Malformed []badLine `json:"malformed,omitempty"`
	Waits     waits     `json:"waits"` // from arrival to served

	Trays    map[string]int `json:"trays"`    // by state: open trays now, ended ones of this replay
	Leftover map[string]int `json:"leftover"` // pieces on display at the end, by cookie
	Audit    bakery.Audit   `json:"audit"`

	Refusals map[string]int `json:"refusals,omitempty"` // by reason
	Failures map[string]int `json:"failures,omitempty"` // likewise
	// real time from the first order to the end of the last
	Seconds float64 `json:"seconds"`
}

type skipped struct {
	Pieces int            `json:"pieces"`
	Items  map[string]int `json:"items"`
}

// waits are quantiles over all served orders.
type waits struct {
	BakeryMinutes quantiles `json:"bakery_minutes"`
	WallMS        quantiles `json:"wall_ms"`
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// quantilesOf returns quantiles of a sorted list by nearest rank, in the given unit.
func quantilesOf(sorted []time.Duration, unit time.Duration) quantiles {
	if len(sorted) == 0 {
		return quantiles{}
	}
	at := func(p int) float64 {
		rank := (len(sorted)*p + 99) / 100
		return round(float64(sorted[max(rank, 1)-1]) / float64(unit))
	}
	return quantiles{at(50), at(95), at(99), at(100)}
}

func round(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }

func (r *run) report(ctx context.Context) (*report, error) {
	audit, err := r.c.audit(ctx)
	if err != nil {
		return nil, err
	}
	shelves, err := r.c.display(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := &report{
		Trays:    map[string]int{},
		Leftover: map[string]int{},
		Refusals: map[string]int{},
		Failures: map[string]int{},
		Audit:    audit,
	}
	var all []time.Duration
	end := r.began
	for _, p := range r.placed {
		rep.Orders++
		switch p.state {
		case bakery.Served:
			rep.Served++
			all = append(all, p.wait)
			if at := p.due.Add(p.wait); at.After(end) {
				end = at
			}
		case bakery.Refused, bakery.Cancelled:
			rep.Refused++
			rep.Refusals[p.refusal]++
		case failed:
			rep.Failed++
			rep.Failures[p.refusal]++
		default:
			rep.Open++
		}
	}
	slices.Sort(all)
	rep.Seconds = round(end.Sub(r.began).Seconds())
	rep.Waits.WallMS = quantilesOf(all, time.Millisecond)
	rep.Waits.BakeryMinutes = quantilesOf(all, time.Duration(float64(time.Minute)/r.cfg.speed))
	for state, n := range audit.Trays {
		switch state {
		case "sold", "withdrawn", "spoiled":
			n -= r.before.Trays[state]
		}
		rep.Trays[state] = n
	}
	for _, s := range shelves {
		rep.Leftover[s.Cookie] = s.Pieces
	}
	return rep, nil
}

// writeOrders writes the orders as CSV in the order of arrival. wait_ms is empty if an order was not served.
func (r *run) writeOrders(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := csv.NewWriter(f)
	_ = out.Write([]string{"came_unix_ms", "wait_ms", "state", "shop", "transaction"})
	for i, p := range r.placed {
		wait := ""
		if p.state == bakery.Served {
			wait = strconv.FormatInt(p.wait.Milliseconds(), 10)
		}
		_ = out.Write([]string{strconv.FormatInt(p.due.UnixMilli(), 10), wait, p.state,
			strconv.Itoa(r.arrivals[i].shop), r.arrivals[i].sale.transaction})
	}
	out.Flush()
	return errors.Join(out.Error(), f.Close())
}

// show prints the report for people.
func (r *report) show(out io.Writer) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	line("orders    %d: %d served, %d refused, %d failed, %d open, in %.1f s", r.Orders, r.Served, r.Refused,
		r.Failed, r.Open, r.Seconds)
	for _, reason := range sortedKeys(r.Refusals) {
		line("          %d refused: %s", r.Refusals[reason], reason)
	}
	for _, reason := range sortedKeys(r.Failures) {
		line("          %d failed: %s", r.Failures[reason], reason)
	}
	m, w := r.Waits.BakeryMinutes, r.Waits.WallMS
	line("waits     p50 %.1f  p95 %.1f  p99 %.1f  max %.1f bakery minutes", m.P50, m.P95, m.P99, m.Max)
	line("          p50 %.0f  p95 %.0f  p99 %.0f  max %.0f ms of real time", w.P50, w.P95, w.P99, w.Max)
	line("trays     %s", counts(r.Trays))
	left := 0
	for _, n := range r.Leftover {
		left += n
	}
	line("leftover  %d pieces on display: %s", left, counts(r.Leftover))
	line("skipped   %d pieces that are not on the menu: %s", r.Skipped.Pieces, counts(r.Skipped.Items))
	for _, bad := range r.Malformed {
		line("line %-4d cannot be read: %s", bad.Line, bad.Reason)
	}
	showAudit(out, r.Audit)
}

// counts lists numbers by name, the largest first.
func counts(m map[string]int) string {
	names := sortedKeys(m)
	slices.SortStableFunc(names, func(a, b string) int { return m[b] - m[a] })
	text := ""
	for _, name := range names {
		if m[name] == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", m[name], name)
	}
	if text == "" {
		return "none"
	}
	return text
}
