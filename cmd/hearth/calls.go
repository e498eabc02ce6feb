package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

func newCalls() *cobra.Command {
	c := &client{}
	list := newCallsList(c)
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "List, show and replay recorded calls",
		Long: `Hearth records what became of each call: queued calls, messages of topics,
scheduled invocations and callbacks for 24 hours (--record-age of the instance),
and the last 10,000 sync calls of the instance that you ask.

A call is identified by its call id, the header X-Call-Id of its answer.`,
		Example: "  hearth calls list --function oven --in-state dead\n  hearth calls show CALL-ID",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return list.RunE(cmd, args) },
	}
	c.flags(cmd)
	cmd.AddCommand(list, newCallsShow(c), newCallsReplay(c))
	return cmd
}

// callFilter holds the flags that select calls.
type callFilter struct {
	function, callID, traceID string
	states, kinds             []string
	status, limit             int
	since                     time.Duration
	slower                    time.Duration
}

func (f *callFilter) query() url.Values {
	query := url.Values{}
	set := func(name, value string, given bool) {
		if given {
			query.Set(name, value)
		}
	}
	set("function", f.function, f.function != "")
	set("call_id", f.callID, f.callID != "")
	set("trace_id", f.traceID, f.traceID != "")
	set("state", strings.Join(f.states, ","), len(f.states) > 0)
	set("kind", strings.Join(f.kinds, ","), len(f.kinds) > 0)
	set("status", strconv.Itoa(f.status), f.status != 0)
	set("after", time.Now().Add(-f.since).UTC().Format(time.RFC3339Nano), f.since != 0)
	set("min_ms", strconv.FormatFloat(float64(f.slower.Microseconds())/1000, 'f', -1, 64), f.slower != 0)
	return query
}

func words[T ~string](list []T) string {
	var text []string
	for _, w := range list {
		text = append(text, string(w))
	}
	return strings.Join(text, ", ")
}

func newCallsList(c *client) *cobra.Command {
	var filter callFilter
	var follow bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List calls, newest first",
		Example: "  hearth calls list\n  hearth calls list --function oven --in-state retrying,dead\n" +
			"  hearth calls list --slower 1s --since 1h --json\n  hearth calls list --follow",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow {
				return c.followCalls(cmd, filter)
			}
			list, err := c.callList(cmd.Context(), filter.query(), filter.limit)
			if err != nil {
				return err
			}
			return c.print(cmd, list, func(out io.Writer) {
				if len(list) == 0 {
					_, _ = fmt.Fprintln(out, "no calls")
					return
				}
				showCalls(out, list)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&filter.function, "function", "", "only calls of this function")
	f.StringSliceVar(&filter.states, "in-state", nil, "only calls in these states: "+words(calls.States))
	f.StringSliceVar(&filter.kinds, "kind", nil, "only calls of these kinds: "+words(calls.Kinds))
	f.IntVar(&filter.status, "status", 0, "only calls whose last answer had this status")
	f.StringVar(&filter.callID, "call-id", "", "only calls with this call id")
	f.StringVar(&filter.traceID, "trace-id", "", "only calls with this trace id")
	f.DurationVar(&filter.since, "since", 0, "only calls that began less than this ago")
	f.DurationVar(&filter.slower, "slower", 0, "only calls that ran for at least this long")
	f.IntVar(&filter.limit, "limit", calls.DefaultLimit, "maximum number to list")
	f.BoolVar(&follow, "follow", false, "list calls as they come, until Ctrl-C")
	return cmd
}

// callList returns the newest calls that match, at most so many.
func (c *client) callList(ctx context.Context, query url.Values, limit int) ([]*calls.Call, error) {
	if limit < 1 {
		return nil, fmt.Errorf("--limit is %d, want at least 1", limit)
	}
	list := []*calls.Call{}
	for {
		query.Set("limit", strconv.Itoa(min(limit-len(list), calls.MaxLimit)))
		var page calls.Page
		if err := c.do(ctx, http.MethodGet, "/system/calls?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		if list = append(list, page.Calls...); page.Next == "" || len(list) >= limit {
			return list, nil
		}
		query.Set("cursor", page.Next)
	}
}

func showCalls(out io.Writer, list []*calls.Call) {
	rows := [][]string{{"TIME", "FUNCTION", "KIND", "STATE", "STATUS", "RUN", "CALL ID"}}
	for _, call := range list {
		rows = append(rows, callRow(call))
	}
	terminal.Table{Rows: rows, Whole: []int{0, 2, 3, 4, 5, 6}}.Print(out)
}

func callRow(call *calls.Call) []string {
	status, run := "", ""
	if call.Status != 0 {
		status = strconv.Itoa(call.Status)
	}
	if call.Measured() {
		run = milliseconds(call.Run)
	}
	return []string{
		began(call).Local().Format("15:04:05"),
		hearth.Name{Function: call.Function, Namespace: call.Namespace}.Short(),
		string(call.Kind),
		string(call.State),
		status,
		run,
		call.CallID,
	}
}

// began returns when a call was queued, or when a sync call began.
func began(call *calls.Call) time.Time {
	switch {
	case call.QueuedAt != nil:
		return *call.QueuedAt
	case call.StartedAt != nil:
		return *call.StartedAt
	}
	return time.Time{}
}

// milliseconds returns a duration for people.
func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

const (
	followEvery = time.Second
	followMost  = 500 // new calls that one look lists
)

// followCalls lists calls as they come: each when it is first seen, and again when its state has changed.
func (c *client) followCalls(cmd *cobra.Command, filter callFilter) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	seen := map[string]calls.State{}
	from := time.Now()
	for {
		query := filter.query()
		query.Set("after", from.Add(-time.Minute).UTC().Format(time.RFC3339Nano))
		list, err := c.callList(ctx, query, followMost)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		now := map[string]calls.State{}
		for _, call := range slices.Backward(list) {
			now[call.ID] = call.State
			if was, ok := seen[call.ID]; ok && was == call.State || !ok && began(call).Before(from) {
				continue
			}
			if c.json {
				text, err := json.Marshal(call)
				if err != nil {
					return err
				}
				_, _ = fmt.Fprintf(out, "%s\n", text)
				continue
			}
			var row []any
			for _, cell := range callRow(call) {
				row = append(row, cell)
			}
			_, _ = fmt.Fprintf(out, "%s  %-12s %-9s %-10s %3s %8s  %s\n", row...)
		}
		seen = now
		if passed := time.Since(from); passed > 2*time.Minute { // long before, nothing changes any more
			from = from.Add(passed - time.Minute)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
	}
}

func newCallsShow(c *client) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show CALL-ID",
		Short: "Show a call, its attempts and what it caused",
		Example: "  hearth calls show 019adf2e-7c55-7a0b-9d3e-1f7f0d3b2f4a\n" +
			"  hearth calls show CALL-ID --json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var story calls.Story
			path := "/async-function/" + url.PathEscape(args[0])
			if err := c.do(cmd.Context(), http.MethodGet, path, nil, &story); err != nil {
				return err
			}
			var journey calls.Journey
			if story.TraceID != "" {
				path := "/system/traces/" + url.PathEscape(story.TraceID)
				if err := c.do(cmd.Context(), http.MethodGet, path, nil, &journey); err != nil {
					return err
				}
			}
			return c.print(cmd, story, func(out io.Writer) { showStory(out, story, journey) })
		},
	}
	return cmd
}

func showStory(out io.Writer, s calls.Story, j calls.Journey) {
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(out, "%-12s %s\n", name, value)
		}
	}
	when := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Local().Format("2006-01-02 15:04:05.000")
	}
	line("call id", s.CallID)
	line("trace id", s.TraceID)
	line("function", s.Function+"."+s.Namespace)
	line("kind", string(s.Kind))
	line("queue", s.Queue)
	line("state", string(s.State))
	line("why", s.Why)
	line("request", s.Method+" "+s.Path)
	line("queued", when(s.QueuedAt))
	line("started", when(s.StartedAt))
	line("ended", when(s.EndedAt))
	if s.Kind != calls.Sync {
		line("queue wait", milliseconds(s.QueueWait))
	}
	if s.ColdStart > 0 {
		line("cold start", milliseconds(s.ColdStart))
	}
	if s.Measured() {
		line("run", milliseconds(s.Run))
	}
	for i, a := range s.Attempts {
		text := fmt.Sprintf("%d at %s", a.Attempt, a.At.Local().Format("15:04:05.000"))
		if a.Status != 0 {
			text += fmt.Sprintf(", %d %s", a.Status, http.StatusText(a.Status))
		}
		if a.Replica != "" {
			text += ", replica " + a.Replica
		}
		if a.Reason != "" {
			text += ": " + oneLine(a.Reason)
		}
		if i == 0 {
			line("attempts", text)
		} else {
			line("", text)
		}
	}
	if len(j.Hops) > 1 {
		_, _ = fmt.Fprintln(out)
		showJourney(out, j)
	}
}

// showJourney draws a journey as a tree, with the parts of each hop.
func showJourney(out io.Writer, j calls.Journey) {
	rows := [][]string{{"HOP", "STATE", "AFTER", "QUEUE WAIT", "COLD START", "RUN", "COMMIT"}}
	known := map[string]bool{}
	for _, h := range j.Hops {
		known[h.Span] = h.Span != ""
	}
	start := began(j.Hops[0].Call)
	part := func(ms *float64) string {
		if ms == nil {
			return ""
		}
		return milliseconds(*ms)
	}
	var add func(parent string, depth int)
	add = func(parent string, depth int) {
		for _, h := range j.Hops {
			if top := h.Parent == "" || !known[h.Parent]; top != (depth == 0) || !top && h.Parent != parent {
				continue
			}
			name := strings.Repeat("  ", depth) + h.Function
			switch h.Kind {
			case calls.Topic:
				name += " (" + h.Topic + ")"
			case calls.Callback:
				name += " (callback)"
			}
			after := began(h.Call).Sub(start)
			rows = append(rows, []string{
				name,
				string(h.State),
				milliseconds(float64(after.Milliseconds())),
				part(h.Phases.QueueWait),
				part(h.Phases.ColdStart),
				part(h.Phases.Run),
				part(h.Phases.Commit),
			})
			if h.Span != "" && depth < 20 {
				add(h.Span, depth+1)
			}
		}
	}
	add("", 0)
	terminal.Table{Rows: rows, Whole: []int{1, 2, 3, 4, 5, 6}}.Print(out)
}

func newCallsReplay(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "replay CALL-ID",
		Short: "Queue a recorded call again, as a new call",
		Long: `Makes a new call with the body of a recorded one. The call must have ended, and
must be of the function's own queue. Its body is recorded if the function has
the annotation com.hearth.record: bodies. Redrive dead letters with hearth dead.`,
		Example: "  hearth calls replay 019adf2e-7c55-7a0b-9d3e-1f7f0d3b2f4a",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var made struct {
				CallID   string `json:"call_id"`
				Function string `json:"function"`
				Replays  string `json:"replays"`
			}
			in := map[string]string{"id": args[0]}
			if err := c.do(cmd.Context(), http.MethodPost, "/system/calls/replay", in, &made); err != nil {
				return err
			}
			return c.print(cmd, made, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "queued a new call of %s: %s\n", made.Function, made.CallID)
			})
		},
	}
}
