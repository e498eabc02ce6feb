package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/spf13/cobra"
)

func newDead() *cobra.Command {
	c := &client{}
	list := newDeadList(c)
	cmd := &cobra.Command{
		Use:     "dead",
		Aliases: []string{"dead-letters", "dlq"},
		Short:   "Inspect, redrive and purge dead letters",
		Long: `A message that used up its attempts, or failed permanently, becomes a dead
letter: kept with the reason until you redrive or purge it. It keeps its place
in its queue, so redriving it cannot double it.

A dead letter is named by its queue and its id. A queue is called
FUNCTION:TOPIC, FUNCTION:calls or FUNCTION:callbacks.`,
		Example: "  hearth dead list\n  hearth dead redrive --all --function oven",
		Args:    cobra.NoArgs,
		RunE:    listIfPlural("dead-letters", list),
	}
	c.flags(cmd)
	c.redisFlag(cmd)
	cmd.AddCommand(list, newDeadShow(c), newDeadExport(c),
		newDeadEach(c, "redrive", "Queue dead letters again, with all their attempts", "redriven"),
		newDeadEach(c, "purge", "Delete dead letters for good", "purged"))
	return cmd
}

// deadFilter are the flags that say which dead letters are meant.
type deadFilter struct {
	queue, function, reason string
	status                  int
	older, newer            time.Duration
}

func (f *deadFilter) flags(cmd *cobra.Command, prefix string) {
	cmd.Flags().StringVar(&f.queue, "queue", "", prefix+"only of this queue")
	cmd.Flags().StringVar(&f.function, "function", "", prefix+"only of this function")
	cmd.Flags().StringVar(&f.reason, "reason", "", prefix+"only those whose last failure says this")
	cmd.Flags().IntVar(&f.status, "status", 0, prefix+"only those whose last answer had this status")
	cmd.Flags().DurationVar(&f.older, "older", 0, prefix+"only those dead for longer than this")
	cmd.Flags().DurationVar(&f.newer, "newer", 0, prefix+"only those dead for less than this")
}

// values are what the flags say, as the API names it.
func (f *deadFilter) values(now time.Time) map[string]string {
	v := map[string]string{}
	set := func(name, value string, given bool) {
		if given {
			v[name] = value
		}
	}
	set("queue", f.queue, f.queue != "")
	set("function", f.function, f.function != "")
	set("reason", f.reason, f.reason != "")
	set("status", strconv.Itoa(f.status), f.status != 0)
	set("before", now.Add(-f.older).Format(time.RFC3339Nano), f.older != 0)
	set("after", now.Add(-f.newer).Format(time.RFC3339Nano), f.newer != 0)
	return v
}

func (f *deadFilter) query() url.Values {
	query := url.Values{}
	for name, value := range f.values(time.Now()) {
		query.Set(name, value)
	}
	return query
}

func newDeadList(c *client) *cobra.Command {
	var filter deadFilter
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the oldest first",
		Example: "  hearth dead list\n  hearth dead list --function oven --json\n" +
			"  hearth dead list --status 500 --newer 1h",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := filter.query()
			query.Set("limit", strconv.Itoa(limit))
			list := []queue.DeadLetter{}
			if err := c.do(cmd.Context(), http.MethodGet, "/system/dead-letters?"+query.Encode(), nil,
				&list); err != nil {
				return c.explainQueue(cmd.Context(), filter, err)
			}
			return c.print(cmd, list, func(out io.Writer) {
				if len(list) == 0 {
					_, _ = fmt.Fprintln(out, "no dead letters")
					return
				}
				rows := [][]string{{"QUEUE", "ID", "DEAD SINCE", "ATTEMPTS", "REASON"}}
				for _, l := range list {
					rows = append(rows, []string{l.Queue, l.ID, l.Buried.Local().Format("01-02 15:04:05"),
						strconv.Itoa(l.Attempts), l.Reason})
				}
				terminal.Table{Rows: rows, Whole: []int{1, 2, 3}}.Print(out)
			})
		},
	}
	filter.flags(cmd, "")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	return cmd
}

func newDeadExport(c *client) *cobra.Command {
	var filter deadFilter
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write dead letters with their calls and attempts, a line of JSON for each",
		Long: `Each line is what hearth dead show --json prints, on one line; the body is
base64. An export that broke off ends with an error and the exit code 1.`,
		Example: "  hearth dead export > dead.ndjson\n" +
			"  hearth dead export --function oven --older 24h | gzip > old.ndjson.gz",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.stream(cmd.Context(), "/system/dead-letters/export?"+filter.query().Encode(),
				cmd.OutOrStdout())
		},
	}
	filter.flags(cmd, "")
	return cmd
}

func newDeadShow(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "show QUEUE ID",
		Short:   "Show one dead letter: the call, and each attempt",
		Example: "  hearth dead show oven:bakery.dough 1795437512656-0",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var l queue.DeadLetter
			if err := c.do(cmd.Context(), http.MethodGet,
				"/system/dead-letters/"+url.PathEscape(args[0])+"/"+url.PathEscape(args[1]),
				nil, &l); err != nil {
				return c.explainQueue(cmd.Context(), deadFilter{queue: args[0]}, err)
			}
			return c.print(cmd, l, func(out io.Writer) { showLetter(out, l) })
		},
	}
}

func showLetter(out io.Writer, l queue.DeadLetter) {
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(out, "%-10s %s\n", name, indented(value, 11))
		}
	}
	line("queue", l.Queue)
	line("id", l.ID)
	line("queued", l.Queued.Local().Format(time.DateTime))
	line("dead since", l.Buried.Local().Format(time.DateTime))
	line("reason", l.Reason)
	line("call id", l.CallID)
	target := l.Path
	if l.Query != "" {
		target += "?" + l.Query
	}
	line("call", strings.TrimSpace(l.Method+" "+target))
	line("callback", l.Callback)
	var names []string
	for name := range l.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		line("header", name+": "+strings.Join(l.Header[name], ", "))
	}
	body := string(l.Body)
	if !utf8.ValidString(body) {
		body = fmt.Sprintf("%d bytes that are not text; see them with --json", len(l.Body))
	}
	line("body", body)
	for _, f := range l.Failures {
		by := ""
		if f.Replica != "" {
			by = " by " + f.Replica
		}
		line("attempt", fmt.Sprintf("%d at %s%s: %s", f.Attempt,
			f.At.Local().Format(time.DateTime), by, f.Reason))
		line("", f.Body)
	}
}

// explainQueue adds suggestions to the error for an unknown queue. It returns other errors unchanged.
func (c *client) explainQueue(ctx context.Context, filter deadFilter, err error) error {
	if statusOf(err) != http.StatusNotFound {
		return err
	}
	if n, parseErr := hearth.ParseName(filter.function); filter.function != "" && parseErr == nil {
		return c.explain(ctx, n, err)
	}
	list, listErr := c.queues(ctx, "")
	if filter.queue == "" || listErr != nil || slices.ContainsFunc(list,
		func(q queue.Queue) bool { return q.Name == filter.queue }) {
		return err
	}
	var names []string
	for _, q := range list {
		names = append(names, q.Name)
	}
	return &refusal{http.StatusNotFound, fmt.Sprintf("there is no queue %s; %s", filter.queue,
		meant(filter.queue, names, "hearth queues lists them"))}
}

// newDeadEach makes redrive and purge, which mean dead letters in the same way.
func newDeadEach(c *client, name, short, done string) *cobra.Command {
	var filter deadFilter
	var all bool
	cmd := &cobra.Command{
		Use: name + " (QUEUE ID... | --all [--queue QUEUE | --function FUNCTION] [--reason TEXT] " +
			"[--status CODE] [--older DURATION] [--newer DURATION])",
		Short: short,
		Example: fmt.Sprintf("  hearth dead %[1]s oven:bakery.dough 1795437512656-0 1795437512699-3\n"+
			"  hearth dead %[1]s --all --function oven\n"+
			"  hearth dead %[1]s --all --status 502 --older 24h", name),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, meant := map[string]any{"all": all}, filter.values(time.Now())
			switch {
			case all && len(args) > 0:
				return &cli.ExitError{Code: cli.CodeUsage,
					Err: errors.New("give either --all, or a queue and ids")}
			case !all && len(args) < 2:
				return &cli.ExitError{Code: cli.CodeUsage, Err: errors.New("give a queue and ids, or --all")}
			case !all && len(meant) > 0:
				return &cli.ExitError{Code: cli.CodeUsage,
					Err: errors.New("flags that select dead letters need --all")}
			case !all:
				in["queue"], in["ids"] = args[0], args[1:]
			}
			for key, value := range meant {
				in[key] = value
			}
			if filter.status != 0 {
				in["status"] = filter.status
			}
			var out map[string]int
			if err := c.do(cmd.Context(), http.MethodPost, "/system/dead-letters/"+name, in,
				&out); err != nil {
				if !all {
					return c.explainQueue(cmd.Context(), deadFilter{queue: args[0]}, err)
				}
				return c.explainQueue(cmd.Context(), filter, err)
			}
			return c.print(cmd, out, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "%s %s\n", done,
					cli.Count(out[done], "dead letter"))
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all of them, or all that match the other flags")
	filter.flags(cmd, "with --all: ")
	return cmd
}
