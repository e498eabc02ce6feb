package main

import (
	"context"
	"encoding/json"
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
		Short:   "Inspect, redrive, edit and purge dead letters",
		Long: `A message that used up its attempts, or failed permanently, becomes a dead
letter. It is kept with the reason until you redrive or purge it. It keeps its
id in its queue, so a redrive cannot duplicate it.

A dead letter is identified by its queue and its id. A queue is named
FUNCTION:TOPIC, FUNCTION:calls or FUNCTION:callbacks.`,
		Example: "  hearth dead list\n  hearth dead redrive --all --function oven",
		Args:    cobra.NoArgs,
		RunE:    listIfPlural("dead-letters", list),
	}
	c.flags(cmd)
	c.redisFlag(cmd)
	cmd.AddCommand(list, newDeadShow(c), newDeadExport(c),
		newDeadRedrive(c), newDeadEdit(c), newDeadPurge(c))
	return cmd
}

// deadFilter holds the flags that select dead letters.
type deadFilter struct {
	queue, function, reason string
	status                  int
	older, newer            time.Duration
}

func (f *deadFilter) flags(cmd *cobra.Command, prefix string) {
	cmd.Flags().StringVar(&f.queue, "queue", "", prefix+"only this queue")
	cmd.Flags().StringVar(&f.function, "function", "", prefix+"only this function")
	cmd.Flags().StringVar(&f.reason, "reason", "", prefix+"only those whose reason contains this text")
	cmd.Flags().IntVar(&f.status, "status", 0, prefix+"only those whose last response had this status")
	cmd.Flags().DurationVar(&f.older, "older", 0, prefix+"only those dead for longer than this")
	cmd.Flags().DurationVar(&f.newer, "newer", 0, prefix+"only those dead for less than this")
}

// values returns the selection in the API's names.
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
		Short: "List dead letters, oldest first",
		Example: "  hearth dead list\n  hearth dead list --function oven --json\n" +
			"  hearth dead list --status 500 --newer 1h",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.deadLetters(cmd.Context(), filter, limit)
			if err != nil {
				return err
			}
			return c.print(cmd, list, func(out io.Writer) {
				if len(list) == 0 {
					_, _ = fmt.Fprintln(out, "no dead letters")
					return
				}
				rows := [][]string{{"QUEUE", "ID", "DEAD SINCE", "ATTEMPTS", "REASON"}}
				for _, l := range list {
					since := l.DeadSince.Local().Format("01-02 15:04:05")
					rows = append(rows, []string{l.Queue, l.ID, since, strconv.Itoa(l.Attempts), l.Reason})
				}
				terminal.Table{Rows: rows, Whole: []int{1, 2, 3}}.Print(out)
			})
		},
	}
	filter.flags(cmd, "")
	cmd.Flags().IntVar(&limit, "limit", 100, "maximum number to list, up to 1000")
	return cmd
}

// deadLetters lists selected dead letters, oldest first.
func (c *client) deadLetters(ctx context.Context, filter deadFilter, limit int) ([]deadSummary, error) {
	query := filter.query()
	query.Set("limit", strconv.Itoa(limit))
	var letters []queue.DeadLetter
	err := c.do(ctx, http.MethodGet, "/system/dead-letters?"+query.Encode(), nil, &letters)
	if err != nil {
		return nil, c.explainQueue(ctx, filter, err)
	}
	list := []deadSummary{}
	for _, l := range letters {
		list = append(list, summaryOf(l))
	}
	return list, nil
}

func newDeadExport(c *client) *cobra.Command {
	var filter deadFilter
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Export dead letters with their calls and attempts as JSON lines",
		Long: `Prints one line of JSON for each dead letter, with the fields of hearth dead
show --json; the body is base64. An incomplete export ends with an error and
exit code 1.`,
		Example: "  hearth dead export > dead.ndjson\n" +
			"  hearth dead export --function oven --older 24h | gzip > old.ndjson.gz",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.exportDead(cmd.Context(), filter, cmd.OutOrStdout())
		},
	}
	filter.flags(cmd, "")
	return cmd
}

// exportDead prints dead letters as they arrive. A response that ends early is an error.
func (c *client) exportDead(ctx context.Context, filter deadFilter, out io.Writer) error {
	res, err := c.send(ctx, http.MethodGet, "/system/dead-letters/export?"+filter.query().Encode(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	for lines := json.NewDecoder(res.Body); ; {
		var l queue.DeadLetter
		switch err := lines.Decode(&l); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the export is incomplete: %w", err)
		}
		if err := cli.WriteJSONLine(out, detailOf(l)); err != nil {
			return err
		}
	}
}

func newDeadShow(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "show QUEUE ID",
		Short:   "Show a dead letter: its call and each attempt",
		Example: "  hearth dead show oven:bakery.dough 1795437512656-0",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var l queue.DeadLetter
			path := "/system/dead-letters/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1])
			if err := c.do(cmd.Context(), http.MethodGet, path, nil, &l); err != nil {
				return c.explainQueue(cmd.Context(), deadFilter{queue: args[0]}, err)
			}
			return c.print(cmd, detailOf(l), func(out io.Writer) { showLetter(out, detailOf(l)) })
		},
	}
}

func showLetter(out io.Writer, l deadDetail) {
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(out, "%-10s %s\n", name, indented(value, 11))
		}
	}
	line("queue", l.Queue)
	line("id", l.ID)
	line("queued", l.Queued.Local().Format(time.DateTime))
	line("dead since", l.DeadSince.Local().Format(time.DateTime))
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
		body = fmt.Sprintf("%d bytes of binary data; --json prints them", len(l.Body))
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

func newDeadRedrive(c *client) *cobra.Command {
	e := deadEach{client: c, name: "redrive", done: "redriven"}
	return e.command("Queue dead letters again, with all their attempts")
}

func newDeadPurge(c *client) *cobra.Command {
	e := deadEach{client: c, name: "purge", done: "purged"}
	cmd := e.command("Delete dead letters permanently")
	cmd.Long = `Deletes dead letters permanently. --all asks for confirmation first; without a
terminal it needs --yes.`
	cmd.Flags().BoolVarP(&e.yes, "yes", "y", false, "do not ask for confirmation")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if e.all && len(args) == 0 && !e.yes {
			if err := e.confirm(cmd); err != nil {
				return err
			}
		}
		return run(cmd, args)
	}
	return cmd
}

// deadEach is the command redrive or purge, which select dead letters in the same way.
type deadEach struct {
	client     *client
	name, done string
	filter     deadFilter
	all, yes   bool
}

func (e *deadEach) command(short string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   e.name + " (QUEUE ID... | --all)",
		Short: short,
		Example: fmt.Sprintf("  hearth dead %[1]s oven:bakery.dough 1795437512656-0\n"+
			"  hearth dead %[1]s --all --function oven\n"+
			"  hearth dead %[1]s --all --status 502 --older 24h", e.name),
		RunE: e.run,
	}
	cmd.Flags().BoolVar(&e.all, "all", false, "all dead letters, or all that match the other flags")
	e.filter.flags(cmd, "with --all: ")
	return cmd
}

func (e *deadEach) run(cmd *cobra.Command, args []string) error {
	in, err := e.selection(args)
	if err != nil {
		return &cli.ExitError{Code: cli.CodeUsage, Err: err}
	}
	var out map[string]int
	if err := e.client.do(cmd.Context(), http.MethodPost, "/system/dead-letters/"+e.name, in,
		&out); err != nil {
		filter := e.filter
		if !e.all {
			filter = deadFilter{queue: args[0]}
		}
		return e.client.explainQueue(cmd.Context(), filter, err)
	}
	return e.client.print(cmd, out, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s %s\n", e.done, cli.Count(out[e.done], "dead letter"))
	})
}

// selection is the request body for the dead letters that the command line selects.
func (e *deadEach) selection(args []string) (map[string]any, error) {
	in, filter := map[string]any{"all": e.all}, e.filter.values(time.Now())
	switch {
	case e.all && len(args) > 0:
		return nil, errors.New("use either --all, or a queue and ids")
	case !e.all && len(args) < 2:
		return nil, errors.New("name a queue and ids, or use --all")
	case !e.all && len(filter) > 0:
		return nil, errors.New("flags that select dead letters need --all")
	case !e.all:
		in["queue"], in["ids"] = args[0], args[1:]
	}
	for key, value := range filter {
		in[key] = value
	}
	if e.filter.status != 0 {
		in["status"] = e.filter.status
	}
	return in, nil
}

// confirm shows how many dead letters would be purged and asks for confirmation.
func (e *deadEach) confirm(cmd *cobra.Command) error {
	const limit = 1000 // the most that the API lists
	list, err := e.client.deadLetters(cmd.Context(), e.filter, limit)
	if err != nil || len(list) == 0 {
		return err
	}
	count := cli.Count(len(list), "dead letter")
	if len(list) == limit {
		count = fmt.Sprintf("%d or more dead letters", limit)
	}
	return confirm(cmd, fmt.Sprintf("purge %s permanently?", count))
}
