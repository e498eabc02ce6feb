package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/openfaas/faas-provider/types"
	"github.com/spf13/cobra"
)

// description is the output of hearth describe.
type description struct {
	function
	State    string        `json:"state"` // ready, starting, updating, asleep, failing or terminating
	URL      string        `json:"url"`
	AsyncURL string        `json:"async_url"`
	Queues   []queue.Queue `json:"queues"`
	Today    *meter.Row    `json:"today"` // usage since midnight UTC
}

func newDescribe() *cobra.Command {
	c := &client{}
	var namespace string
	cmd := &cobra.Command{
		Use:     "describe NAME[.NAMESPACE]",
		Aliases: []string{"inspect"},
		Short:   "Show everything about a function",
		Long: `Shows the spec and the status of a function: replicas, queues, usage, why it
cannot start, and what it was rolled back from. Only the names of secrets are
shown.`,
		Example:           "  hearth describe oven\n  hearth describe oven.staging --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeFunctions,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := nameOf(args[0], namespace)
			if err != nil {
				return err
			}
			f, err := c.function(cmd.Context(), n)
			if err != nil {
				return err
			}
			queues, err := c.queuesOf(cmd.Context(), n)
			if err != nil {
				return err
			}
			base := strings.TrimSuffix(c.gateway, "/")
			today, err := c.today(cmd.Context(), n)
			if err != nil {
				return err
			}
			d := description{
				function: f,
				Today:    today,
				State:    f.state(),
				Queues:   queues,
				URL:      base + "/function/" + n.Short(),
				AsyncURL: base + "/async-function/" + n.Short(),
			}
			return c.print(cmd, d, func(out io.Writer) { describe(out, d) })
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &namespace)
	return cmd
}

// today is a function's usage since midnight UTC. It is nil if the gateway does
// not meter, such as a stock one.
func (c *client) today(ctx context.Context, n hearth.Name) (*meter.Row, error) {
	query := url.Values{"function": {n.String()}, "from": {time.Now().UTC().Format(time.DateOnly)}}
	var report meter.Report
	err := c.do(ctx, http.MethodGet, "/system/usage?"+query.Encode(), nil, &report)
	if statusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	return &report.Total, err
}

// coldStartsText summarises cold starts. It is "" if there were none.
func coldStartsText(c meter.ColdStarts) string {
	if c.Count == 0 && c.Failed == 0 {
		return ""
	}
	return fmt.Sprintf("%d, %d failed, held for p50 %d ms, p99 %d ms", c.Count, c.Failed, c.P50, c.P99)
}

func describe(out io.Writer, d description) {
	console := newConsole(out)
	line := func(name, value string) {
		if value != "" {
			console.say("%s %s", console.paint(terminal.Cyan, fmt.Sprintf("%-12s", name)),
				indented(value, 13))
		}
	}
	each := func(name string, values map[string]string) {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			line(name, key+"="+values[key])
		}
	}
	line("name", d.Name)
	line("namespace", d.Namespace)
	state := console.paint(map[string]string{"ready": terminal.Green,
		"failing": terminal.Red}[d.State], d.State)
	console.say("%s %s", console.paint(terminal.Cyan, "status      "), state)
	line("failing", d.Failing)
	if r := d.Rollback; r != nil {
		line("rolled back", fmt.Sprintf("from %s at %s: %s", r.Image,
			r.At.Local().Format(time.DateTime), r.Reason))
	}
	for _, text := range d.Warnings {
		line("warning", text)
	}
	line("replicas", fmt.Sprintf("%d of %d ready", d.AvailableReplicas, d.Replicas))
	line("draining", drainingText(d.Draining))
	if e := d.LastExit; e != nil {
		line("restarts", fmt.Sprintf("%d, the last at %s: %s", d.Restarts,
			e.At.Local().Format(time.DateTime), e.Reason))
	}
	line("invocations", fmt.Sprintf("%.0f", d.InvocationCount))
	if u := d.Usage; u != nil {
		line("usage", fmt.Sprintf("CPU %.0fm, memory %.1f MiB", u.CPU, u.TotalMemoryBytes/(1<<20)))
	}
	if t := d.Today; t != nil {
		line("today", fmt.Sprintf("%s, busy %s, replicas %s, %.3f GB-s", cli.Count(t.Calls, "call"),
			amount(t.BusySeconds), amount(t.ReplicaSeconds), t.GBSeconds))
		line("cold starts", coldStartsText(t.ColdStarts))
	}
	for _, q := range d.Queues {
		line("queue", fmt.Sprintf("%s: %d queued (%d retrying), %d in flight, %d delayed, %d dead", q.Name,
			q.Queued, q.Retrying, q.InFlight, q.Delayed, q.Dead))
		line("", pausedText(q))
		if q.LastError != nil {
			line("", failureText(q.LastError))
		}
	}
	line("image", d.Image)
	line("process", d.EnvProcess)
	if !d.CreatedAt.IsZero() {
		line("created", d.CreatedAt.Local().Format(time.DateTime))
	}
	line("url", d.URL)
	line("async url", d.AsyncURL)
	each("label", valueOf(d.Labels))
	each("annotation", valueOf(d.Annotations))
	each("env", d.EnvVars)
	for _, name := range d.Secrets {
		line("secret", name)
	}
	line("limits", resourcesText(d.Limits))
	line("requests", resourcesText(d.Requests))
	line("enforced", d.Enforced)
	line("constraints", strings.Join(d.Constraints, ", "))
	if d.ReadOnlyRootFilesystem {
		line("root", "read only")
	}
}

func valueOf(m *map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	return *m
}

func resourcesText(r *types.FunctionResources) string {
	if r == nil {
		return ""
	}
	var parts []string
	for _, p := range [][2]string{{"CPU", r.CPU}, {"memory", r.Memory}, {"nvidia.com/gpu", r.NvidiaGPU},
		{"amd.com/gpu", r.AmdGPU}, {"intel.com/gpu", r.IntelGPU}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	return strings.Join(parts, ", ")
}

// indented indents the continuation lines of a value, so that none looks like a field of its own.
func indented(value string, columns int) string {
	return strings.ReplaceAll(value, "\n", "\n"+strings.Repeat(" ", columns))
}

// oneLine replaces line breaks with spaces, so that a message stays in its table row.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
