package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

func newList() *cobra.Command {
	c := &client{}
	var namespace string
	var all, quiet bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls", "functions", "ps"},
		Short:   "List functions and their status",
		Long: `Lists the functions of a namespace, or of all namespaces.

  REPLICAS     ready replicas / wanted replicas; 0/0 is scaled to zero
  RESTARTS     crashes of replicas since this instance started
  INVOCATIONS  calls since the deployment or the start of this instance
  NOTE         why it cannot start, was rolled back or is terminating

A removed function is listed as terminating until its replicas have finished
their calls. On a terminal, long cells are shortened to fit; a pipe gets full
text.`,
		Example: "  hearth list\n  hearth list --all-namespaces\n" +
			"  hearth list --json | jq -r '.[] | select(.failing) | .name'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.knowsNamespace(cmd.Context(), namespace); err != nil {
				return err
			}
			namespaces := []string{namespace}
			if all {
				var err error
				if namespaces, err = c.namespaces(cmd.Context()); err != nil {
					return err
				}
			}
			list := []function{}
			for _, namespace := range namespaces {
				some, err := c.functions(cmd.Context(), namespace)
				if err != nil {
					return err
				}
				list = append(list, some...)
			}
			return c.print(cmd, list, func(out io.Writer) {
				listFunctions(out, list, all, quiet)
				if !quiet {
					c.hintOfRecords(cmd.Context(), out)
				}
			})
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &namespace)
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "list the functions of all namespaces")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print names only")
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	return cmd
}

func listFunctions(out io.Writer, list []function, all, quiet bool) {
	if quiet {
		for _, f := range list {
			_, _ = fmt.Fprintln(out, hearth.Name{Function: f.Name,
				Namespace: firstOf(f.Namespace, hearth.DefaultNamespace)}.Short())
		}
		return
	}
	if len(list) == 0 {
		_, _ = fmt.Fprintln(out, "no functions")
		return
	}
	rows := [][]string{{"FUNCTION", "REPLICAS", "RESTARTS", "INVOCATIONS", "IMAGE", "NOTE"}}
	if all {
		rows[0] = append([]string{"NAMESPACE"}, rows[0]...)
	}
	for _, f := range list {
		note := ""
		switch {
		case f.Terminating:
			note = strings.TrimSuffix("terminating: "+drainingText(f.Draining), ": ")
		case f.Failing != "":
			note = "cannot start: " + f.Failing
		case f.Rollback != nil:
			note = "rolled back: " + f.Rollback.Reason
		}
		row := []string{f.Name, fmt.Sprintf("%d/%d", f.AvailableReplicas, f.Replicas), fmt.Sprint(f.Restarts),
			fmt.Sprintf("%.0f", f.InvocationCount), f.Image, oneLine(note)}
		if all {
			row = append([]string{f.Namespace}, row...)
		}
		rows = append(rows, row)
	}
	table(out, rows)
}
