package main

import (
	"io"
	"net/http"
	"strconv"

	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/spf13/cobra"
)

func newQueues() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:     "queues",
		Short:   "List the queues, and what is in them",
		Example: "  hearth queues\n  hearth queues --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []gateway.Queue
			if err := c.do(cmd.Context(), http.MethodGet, "/system/queues", nil, &list); err != nil {
				return err
			}
			return c.print(cmd, list, func(out io.Writer) {
				rows := [][]string{{"QUEUE", "WAITING", "LEASED", "DUE", "DEAD", ""}}
				for _, q := range list {
					note := ""
					if !q.Deployed {
						note = "its function is not deployed"
					}
					rows = append(rows, []string{q.Name, strconv.Itoa(q.Waiting), strconv.Itoa(q.Leased), strconv.Itoa(q.Due), strconv.Itoa(q.Dead), note})
				}
				table(out, rows)
			})
		},
	}
	c.flags(cmd)
	c.redisFlag(cmd)
	return cmd
}
