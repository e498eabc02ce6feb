package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/spf13/cobra"
)

func newRecords() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "records",
		Short: "List and remove rejected records in Redis",
		Long: `Lists records in Redis that Hearth rejects, with the reason and what to do. A
record is rejected if it is invalid, not signed with this instance's secret-key,
changed or moved by others, or older than a version seen before. Usually there
are none.`,
		Example: "  hearth records\n  hearth records remove function oven.openfaas-fn\n" +
			"  hearth records remove --all",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.records(cmd.Context())
			if err != nil {
				return err
			}
			return c.print(cmd, list, func(out io.Writer) { listRecords(out, list) })
		},
	}
	c.flags(cmd)
	cmd.AddCommand(newRecordsRemove(c))
	return cmd
}

func newRecordsRemove(c *client) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "remove KIND NAME",
		Short: "Remove rejected records",
		Long: `Removes rejected records: one by kind and name, all of a kind, or all with
--all. Records signed with another secret-key may belong to another instance, so
they are removed by name only.`,
		Example: "  hearth records remove function oven.openfaas-fn\n  hearth records remove usage\n" +
			"  hearth records remove --all",
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return fmt.Errorf("name the kind and name of a record, or use --all; hearth records lists " +
					"them")
			}
			list, err := c.records(cmd.Context())
			if err != nil {
				return err
			}
			removed := []redis.BadRecord{}
			for _, r := range list {
				named := len(args) == 2 && r.Kind == args[0] && r.Name == args[1]
				if !named && (r.OtherKey || len(args) == 2 || len(args) == 1 && r.Kind != args[0]) {
					continue
				}
				path := "/system/records?" + url.Values{"kind": {r.Kind}, "name": {r.Name}}.Encode()
				if err := c.do(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil &&
					statusOf(err) != http.StatusNotFound {
					return err
				}
				removed = append(removed, r)
			}
			if len(removed) == 0 && len(args) > 0 {
				return fmt.Errorf("there is no such rejected record; hearth records lists them")
			}
			return c.print(cmd, removed, func(out io.Writer) {
				for _, r := range removed {
					_, _ = fmt.Fprintf(out, "removed %s %s\n", r.Kind, printable(r.Name))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false,
		"remove all rejected records, except those signed with another secret-key")
	return cmd
}

func (c *client) records(ctx context.Context) ([]redis.BadRecord, error) {
	list := []redis.BadRecord{}
	return list, c.do(ctx, http.MethodGet, "/system/records", nil, &list)
}

func listRecords(out io.Writer, list []redis.BadRecord) {
	if len(list) == 0 {
		_, _ = fmt.Fprintln(out, "no rejected records")
		return
	}
	for _, r := range list {
		_, _ = fmt.Fprintf(out, "%s %s\n  rejected: %s\n  to do: %s\n", r.Kind, printable(r.Name),
			printable(r.Reason), printable(r.Fix))
	}
}

// printable quotes text of others if it has unprintable characters.
func printable(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return text
	}
	return strconv.QuoteToASCII(text)
}

// hintOfRecords prints a hint if there are rejected records.
func (c *client) hintOfRecords(ctx context.Context, out io.Writer) {
	if list, err := c.records(ctx); err == nil && len(list) > 0 { // other gateways have none
		_, _ = fmt.Fprintf(out, "%d records in Redis are rejected; hearth records shows why\n",
			len(list))
	}
}
