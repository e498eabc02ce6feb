package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/spf13/cobra"
)

func newBill() *cobra.Command {
	c := &client{}
	var namespace, from, to, by string
	var asCSV, wide bool
	cmd := &cobra.Command{
		Use:     "bill [FUNCTION[.NAMESPACE]]",
		Aliases: []string{"usage"},
		Short:   "Show what functions used and what it costs",
		Long: `Shows what functions used and what it costs.

  CALLS     invocations
  BUSY      time that calls were in flight, summed over calls
  REPLICAS  time that replicas lived, summed over replicas
  GB-S      busy time multiplied by the memory limit
  COLD      cold starts
  WAIT      mean time that queued calls waited

--wide adds failed cold starts, how long cold starts delayed calls (p50, p99)
and the longest wait. Prices come from hearth serve --prices, by default those
of AWS Lambda. Usage is counted in whole hours, in UTC.`,
		Example: `  hearth bill
  hearth bill oven --by day --from 168h
  hearth bill --from 2026-11-01 --to 2026-12-01 --csv > november.csv`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completeFunctions,
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			query := url.Values{"by": {by}}
			if len(args) > 0 {
				n, err := nameOf(args[0], namespace)
				if err != nil {
					return err
				}
				query.Set("function", n.String())
			} else if namespace != "" {
				query.Set("namespace", namespace)
			}
			if from == "" {
				from = now.UTC().Format("2006-01") + "-01"
			}
			for name, text := range map[string]string{"from": from, "to": to} {
				at, err := moment(text, now)
				if err != nil {
					return fmt.Errorf("--%s: %w", name, err)
				}
				if at != "" {
					query.Set(name, at)
				}
			}
			var report meter.Report
			if err := c.do(cmd.Context(), http.MethodGet, "/system/usage?"+query.Encode(), nil,
				&report); err != nil {
				return err
			}
			if err := c.billed(cmd.Context(), query, report); err != nil {
				return err
			}
			if asCSV {
				return billCSV(cmd.OutOrStdout(), report)
			}
			return c.print(cmd, report, func(out io.Writer) { bill(out, report, wide) })
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &namespace)
	f := cmd.Flags()
	f.Lookup("namespace").Usage = "namespace (default all; for a FUNCTION " + hearth.DefaultNamespace + ")"
	f.StringVar(&from, "from", "",
		"start: a day (2026-11-05), a time (2026-11-05T18:00:00Z) or how long ago (24h) (default the "+
			"first of this month)")
	f.StringVar(&to, "to", "", "end, in the same formats (default now)")
	f.StringVar(&by, "by", meter.ByTotal, "one row per function and hour, day or total")
	f.BoolVar(&asCSV, "csv", false,
		"print CSV, in seconds, GB-seconds, milliseconds and the currency of the prices")
	f.BoolVarP(&wide, "wide", "w", false, "print more columns; needs more than 80 characters")
	cmd.MarkFlagsMutuallyExclusive("csv", "json")
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{meter.ByHour, meter.ByDay,
		meter.ByTotal}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// billed returns an error if nothing was used because the function or namespace does not
// exist. A removed function still has a bill.
func (c *client) billed(ctx context.Context, query url.Values, report meter.Report) error {
	if len(report.Rows) > 0 {
		return nil
	}
	if function := query.Get("function"); function != "" {
		n, err := hearth.ParseName(function)
		if err == nil {
			_, err = c.function(ctx, n)
		}
		return err
	}
	return c.knowsNamespace(ctx, query.Get("namespace"))
}

// moment converts a day, a time or a duration before now to a time that the API accepts.
func moment(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format(time.RFC3339), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if _, err := time.Parse(layout, text); err == nil {
			return text, nil
		}
	}
	return "", hearth.Errorf(hearth.Invalid,
		"want a day such as 2026-11-05, a time such as 2026-11-05T18:00:00Z, or how long ago, such as 24h; "+
			"not %q", text)
}

// bill prints the report as a table.
func bill(out io.Writer, r meter.Report, wide bool) {
	const layout = "2006-01-02 15:04"
	_, _ = fmt.Fprintf(out, "%s to %s UTC\n\n", r.From.Format(layout), r.To.Format(layout))
	if len(r.Rows) == 0 {
		_, _ = fmt.Fprintln(out, "no usage in this period")
		return
	}
	table := terminal.Table{Rows: [][]string{{"FUNCTION", "CALLS", "BUSY", "REPLICAS", "GB-S", "COLD", "WAIT",
		r.Prices.Currency}}}
	if wide {
		table.Rows[0] = append(table.Rows[0], "FAILED", "COLD P50", "COLD P99", "LONGEST WAIT")
	}
	for i := 1; i < len(table.Rows[0]); i++ {
		table.Whole = append(table.Whole, i)
	}
	period := map[string]string{meter.ByDay: time.DateOnly, meter.ByHour: layout}[r.By]
	for i, row := range r.Rows {
		if period != "" && (i == 0 || !row.Start.Equal(r.Rows[i-1].Start)) {
			table.Rows = append(table.Rows, []string{row.Start.Format(period)})
		}
		name := row.Function
		if n, err := hearth.ParseName(row.Function); err == nil {
			name = n.Short()
		}
		if row.MemoryAssumed {
			name += " *"
		}
		table.Rows = append(table.Rows, billRow(name, row, wide))
	}
	if period != "" {
		table.Rows = append(table.Rows, []string{"whole period"})
	}
	table.Rows = append(table.Rows, billRow("total", r.Total, wide))
	table.Print(out)
	_, _ = fmt.Fprintf(out, "\nprices: %s", r.Prices.Name)
	if r.Prices.AsOf != "" {
		_, _ = fmt.Fprintf(out, ", as of %s", r.Prices.AsOf)
	}
	if r.Prices.Source != "" {
		_, _ = fmt.Fprintf(out, ", %s", r.Prices.Source)
	}
	_, _ = fmt.Fprintln(out)
	if r.Total.MemoryAssumed {
		_, _ = fmt.Fprintf(out, "* has no memory limit and counts as %d MB\n", r.DefaultMemory)
	}
}

func billRow(name string, r meter.Row, wide bool) []string {
	ms := func(n uint64) string { return seconds(time.Duration(n) * time.Millisecond) }
	wait, longest := "-", "-"
	if r.QueueWait.Count > 0 {
		wait, longest = ms(uint64(r.QueueWait.Mean)), ms(r.QueueWait.Longest)
	}
	row := []string{name, strconv.FormatUint(r.Calls, 10), amount(r.BusySeconds), amount(r.ReplicaSeconds),
		brief(r.GBSeconds, 3),
		strconv.FormatUint(r.ColdStarts.Count, 10), wait, brief(r.Cost.Total, 6)}
	if !wide {
		return row
	}
	p50, p99 := "-", "-"
	if r.ColdStarts.Count > r.ColdStarts.Failed {
		p50, p99 = ms(r.ColdStarts.P50), ms(r.ColdStarts.P99)
	}
	return append(row, strconv.FormatUint(r.ColdStarts.Failed, 10), p50, p99, longest)
}

// brief formats a number with the given decimals, or with two if it is large, so
// that a table fits 80 columns.
func brief(v float64, decimals int) string {
	if v >= 100 {
		decimals = 2
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// amount formats seconds for people.
func amount(s float64) string {
	if s < 3600 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}

// billCSV writes the rows as RFC 4180 CSV, without the total.
func billCSV(out io.Writer, r meter.Report) error {
	w := csv.NewWriter(out)
	_ = w.Write([]string{"start", "function", "calls", "busy_seconds", "replica_seconds", "gb_seconds",
		"replica_gb_seconds", "memory_assumed", "cold_starts", "cold_starts_failed",
		"cold_p50_ms", "cold_p99_ms", "queued", "queue_wait_mean_ms", "queue_wait_max_ms", "cost_calls",
		"cost_busy", "cost_replicas", "cost_total", "currency"})
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	whole := func(v uint64) string { return strconv.FormatUint(v, 10) }
	for _, row := range r.Rows {
		_ = w.Write([]string{row.Start.Format(time.RFC3339), row.Function, whole(row.Calls),
			number(row.BusySeconds), number(row.ReplicaSeconds), number(row.GBSeconds),
			number(row.ReplicaGBSeconds),
			strconv.FormatBool(row.MemoryAssumed), whole(row.ColdStarts.Count), whole(row.ColdStarts.Failed),
			whole(row.ColdStarts.P50), whole(row.ColdStarts.P99),
			whole(row.QueueWait.Count), number(row.QueueWait.Mean), whole(row.QueueWait.Longest),
			number(row.Cost.Calls), number(row.Cost.Busy), number(row.Cost.Replicas),
			number(row.Cost.Total), r.Prices.Currency})
	}
	w.Flush()
	return w.Error()
}
