package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is the result of a run.
type report struct {
	Seed     uint64  `json:"seed"`
	Duration float64 `json:"duration_s"` // of the faults
	Settled  float64 `json:"settled_s"`  // from the end of the faults until nothing was in flight
	Hearths  int     `json:"hearths"`
	// calls count for the last fault that began before them
	Kinds    []row    `json:"faults"`
	Total    row      `json:"total"`
	Orders   int      `json:"orders"` // that were accepted
	Redriven int      `json:"redriven"`
	Refused  int      `json:"refused"`
	RanStill int      `json:"refused_and_ran"` // refused and ran: a connection broke meanwhile
	Unknown  int      `json:"unknown"`         // without a response
	Taken    int      `json:"taken_back"`      // delayed and cancelled
	Wrong    []string `json:"wrong"`
	Notes    []string `json:"notes"`
	Memory   []sample `json:"memory,omitempty"` // of a soak

	// Of deliveries that an instance held when it was killed: from its death until another instance had them,
	// and from its restart until it had them itself.
	Takeover  takeoverRow `json:"takeover"`
	Restarted takeoverRow `json:"restarted"`

	Schedule []happening `json:"schedule"`
}

// A row has the figures of one kind of fault.
type row struct {
	Fault      string  `json:"fault"`
	Times      int     `json:"times"`
	Accepted   int     `json:"accepted"`
	Done       int     `json:"done"`
	Retried    int     `json:"retried"` // further executions of the probe's calls and messages
	Buried     int     `json:"buried"`  // dead letters, which were redriven
	Lost       int     `json:"lost"`
	Doubled    int     `json:"doubled"`      // effects
	Unanswered float64 `json:"unanswered_s"` // the longest time without a successful response
	Stalled    float64 `json:"stalled_s"`    // the longest time without a completed call
	P50        float64 `json:"p50_ms"`       // from accepted to completed
	P99        float64 `json:"p99_ms"`

	took []time.Duration
}

func (r *row) count(c *call) {
	if c.Outcome != accepted || c.Kind == withdrawn {
		return
	}
	r.Accepted++
	if c.Doings > 0 {
		r.Done++
		r.took = append(r.took, max(0, c.Done.Sub(later(c.Answered, c.NotUntil))))
	} else {
		r.Lost++
	}
	r.Retried += max(0, c.Begun-1)
	if c.Kind == message {
		r.Doubled += max(0, c.Doings-1)
	}
	r.Doubled += max(0, len(c.CallIDs)-1)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// end computes the quantiles.
func (r *row) end() {
	slices.Sort(r.took)
	at := func(percent int) float64 {
		if len(r.took) == 0 {
			return 0
		}
		return float64(r.took[max(0, (len(r.took)*percent+99)/100-1)].Milliseconds())
	}
	r.P50, r.P99 = at(50), at(99)
}

// report summarises the book by kinds of faults.
func (b *book) report(c config, began, ended time.Time) *report {
	rep := &report{
		Seed:     c.Seed,
		Duration: c.Duration.Seconds(),
		Hearths:  c.Hearths,
		Redriven: b.redriven,
		Wrong:    append([]string{}, b.wrong...),
		Notes:    append([]string{}, b.notes...),
		Schedule: b.happened,
		Total:    row{Fault: "all"},

		Takeover:  takeoverTimes(b.takeovers, false),
		Restarted: takeoverTimes(b.takeovers, true),
	}
	rows := map[string]*row{calm: {Fault: calm}}
	for _, h := range b.happened {
		if h.Skipped {
			continue
		}
		if rows[h.Kind] == nil {
			rows[h.Kind] = &row{Fault: h.Kind}
		}
		rows[h.Kind].Times++
		rep.Total.Times++
	}
	var done []time.Time
	for _, call := range b.calls {
		rows[during(b.happened, call.Asked)].count(call)
		rep.Total.count(call)
		if !call.Done.IsZero() {
			done = append(done, call.Done)
		}
		switch call.Outcome {
		case accepted:
			if call.Kind == order || call.Kind == asyncOrder {
				rep.Orders++
			}
		case taken:
			rep.Taken++
		case refused:
			rep.Refused++
			if call.Begun+call.Doings > 0 {
				rep.RanStill++
			}
		default:
			rep.Unknown++
		}
	}
	for _, at := range b.buried {
		rows[during(b.happened, at)].Buried++
		rep.Total.Buried++
	}
	pauses(b.happened, b.answered, began, ended, func(kind string, seconds float64) {
		rows[kind].Unanswered = max(rows[kind].Unanswered, seconds)
		rep.Total.Unanswered = max(rep.Total.Unanswered, seconds)
	})
	pauses(b.happened, done, began, ended, func(kind string, seconds float64) {
		rows[kind].Stalled = max(rows[kind].Stalled, seconds)
		rep.Total.Stalled = max(rep.Total.Stalled, seconds)
	})
	for _, name := range append([]string{calm}, kindNames()...) {
		if r := rows[name]; r != nil {
			r.end()
			rep.Kinds = append(rep.Kinds, *r)
		}
	}
	rep.Total.end()
	return rep
}

// pauses attributes the longest times between successes to faults.
func pauses(all []happening, at []time.Time, began, ended time.Time,
	tell func(kind string, seconds float64)) {
	slices.SortFunc(at, time.Time.Compare)
	last := began
	for _, t := range append(at, ended) {
		if t.After(ended) {
			t = ended
		}
		if t.After(last) {
			tell(blame(all, last, t), t.Sub(last).Round(ms).Seconds())
			last = t
		}
	}
}

func (r *report) show(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(cells ...any) {
		for _, c := range cells {
			_, _ = fmt.Fprintf(w, "%v\t", c)
		}
		_, _ = fmt.Fprintln(w)
	}
	line("fault", "times", "accepted", "done", "retried", "buried", "lost", "doubled", "unanswered",
		"stalled", "p50", "p99")
	for _, k := range append(r.Kinds, r.Total) {
		line(k.Fault, k.Times, k.Accepted, k.Done, k.Retried, k.Buried, k.Lost, k.Doubled,
			fmt.Sprintf("%.1f s", k.Unanswered), fmt.Sprintf("%.1f s", k.Stalled),
			fmt.Sprintf("%.0f ms", k.P50), fmt.Sprintf("%.0f ms", k.P99))
	}
	_ = w.Flush()
	_, _ = fmt.Fprintf(out, "\n%d of them were orders. %d calls were refused (%d of these ran because a "+
		"connection broke); %d got no response. %d delayed calls were cancelled. Dead letters redriven: "+
		"%d.\n",
		r.Orders, r.Refused, r.RanStill, r.Unknown, r.Taken, r.Redriven)
	_, _ = fmt.Fprintf(out, "Seed %d, %.0f s of faults, settled %.1f s later.\n", r.Seed,
		r.Duration, r.Settled)
	_, _ = fmt.Fprintf(out, "Takeover by another instance, from the death of the one before: %v.\n",
		r.Takeover)
	_, _ = fmt.Fprintf(out, "Takeover by the same instance, from its restart on the same state: %v.\n",
		r.Restarted)
	for _, line := range memory(r.Memory) {
		_, _ = fmt.Fprintln(out, line)
	}
	for _, n := range summed(r.Notes) {
		_, _ = fmt.Fprintf(out, "note: %s\n", n)
	}
	if len(r.Wrong) == 0 {
		_, _ = fmt.Fprintln(out, "Nothing was lost, and nothing happened twice.")
		return
	}
	_, _ = fmt.Fprintf(out, "\nWRONG: %d\n%s\n", len(r.Wrong),
		strings.Join(r.Wrong[:min(len(r.Wrong), 40)], "\n"))
}

// summed returns the distinct notes and their counts.
func summed(notes []string) (lines []string) {
	times := map[string]int{}
	for _, n := range notes {
		if times[n]++; times[n] == 1 {
			lines = append(lines, n)
		}
	}
	for i, n := range lines {
		if times[n] > 1 {
			lines[i] = fmt.Sprintf("%s (%d times)", n, times[n])
		}
	}
	return lines
}
