package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

// ranNow is the output of hearth schedules run.
type ranNow struct {
	Function  string `json:"function"`
	Namespace string `json:"namespace"`
	CallID    string `json:"call_id"`
}

func newSchedules() *cobra.Command {
	c := &client{}
	list := newSchedulesList(c)
	cmd := &cobra.Command{
		Use:     "schedules",
		Aliases: []string{"schedule"},
		Short:   "List, run, pause and resume schedules",
		Long: `A function with the topic cron-function is called at the times of its
annotation "schedule".`,
		Example: "  hearth schedules\n  hearth schedules run report",
		Args:    cobra.NoArgs,
		RunE:    listIfPlural("schedules", list),
	}
	c.flags(cmd)
	cmd.AddCommand(list, newSchedulesRun(c),
		newSchedulesPause(c, "pause", "Stop the ticks of a schedule",
			`Stops the ticks of a function's schedule in all instances, until you resume it.
An update of the function does not end the pause; its removal does.`),
		newSchedulesPause(c, "resume", "Queue the ticks of a paused schedule again",
			`Ends the pause of a function's schedule. If ticks were due meanwhile, the newest
of them is queued at once.`))
	return cmd
}

func newSchedulesList(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the schedules with their next tick and last run",
		Example: "  hearth schedules list\n  hearth schedules list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := []cron.Schedule{}
			if err := c.do(cmd.Context(), http.MethodGet, "/system/schedules", nil, &list); err != nil {
				return err
			}
			return c.print(cmd, list, func(out io.Writer) { showSchedules(out, list) })
		},
	}
}

func showSchedules(out io.Writer, list []cron.Schedule) {
	if len(list) == 0 {
		_, _ = fmt.Fprintln(out, "no schedules")
		return
	}
	rows := [][]string{{"FUNCTION", "SCHEDULE", "NEXT", "LAST", "STATE"}}
	for _, s := range list {
		next, last, state := "", "", ""
		if s.Paused {
			next = "paused"
		} else if len(s.Next) > 0 {
			next = s.Next[0].Local().Format(time.DateTime)
		}
		if s.Last != nil {
			last, state = s.Last.At.Local().Format(time.DateTime), s.Last.State
		}
		name := hearth.Name{Function: s.Function, Namespace: s.Namespace}.Short()
		rows = append(rows, []string{name, s.Schedule, next, last, state})
	}
	terminal.Table{Rows: rows, Whole: []int{2, 3, 4}}.Print(out)
}

func newSchedulesRun(c *client) *cobra.Command {
	var namespace string
	cmd := &cobra.Command{
		Use:   "run NAME[.NAMESPACE]",
		Short: "Queue a scheduled invocation at once",
		Long: `Queues one scheduled invocation now, also while the schedule is paused. The
ticks of the schedule stay as they are.`,
		Example:           "  hearth schedules run report\n  hearth schedules run report.staging --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeFunctions,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := nameOf(args[0], namespace)
			if err != nil {
				return err
			}
			var out ranNow
			if err := c.doSchedule(cmd, "run", n, &out); err != nil {
				return err
			}
			return c.print(cmd, out, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "queued a scheduled invocation of %s as call %s\n", n.Short(),
					out.CallID)
			})
		},
	}
	withNamespace(cmd, c, &namespace)
	return cmd
}

func newSchedulesPause(c *client, name, short, long string) *cobra.Command {
	var namespace string
	cmd := &cobra.Command{
		Use:   name + " NAME[.NAMESPACE]",
		Short: short,
		Long:  long,
		Example: fmt.Sprintf("  hearth schedules %[1]s report\n"+
			"  hearth schedules %[1]s report.staging --json", name),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeFunctions,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := nameOf(args[0], namespace)
			if err != nil {
				return err
			}
			var s cron.Schedule
			if err := c.doSchedule(cmd, name, n, &s); err != nil {
				return err
			}
			return c.print(cmd, s, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "%sd the schedule of %s: %s\n", name, n.Short(), s.Schedule)
			})
		},
	}
	withNamespace(cmd, c, &namespace)
	return cmd
}

// doSchedule does something with the schedule of a function.
func (c *client) doSchedule(cmd *cobra.Command, what string, n hearth.Name, out any) error {
	in := map[string]string{"function": n.Function, "namespace": n.Namespace}
	err := c.do(cmd.Context(), http.MethodPost, "/system/schedules/"+what, in, out)
	if statusOf(err) == http.StatusNotFound {
		if _, unknown := c.function(cmd.Context(), n); unknown != nil {
			return c.explain(cmd.Context(), n, unknown)
		}
	}
	return err
}
