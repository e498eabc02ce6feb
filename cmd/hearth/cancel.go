package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

func newCancel() *cobra.Command {
	c := &client{}
	var function, message string
	cmd := &cobra.Command{
		Use:   "cancel CALL-ID",
		Short: "Cancel a queued call, or abort it if it is in flight",
		Long: `Cancels the calls with this X-Call-Id, which is in the 202 response to each
queued call. If several calls share the id, all are cancelled; --message selects
one by its X-Message-Id.

A call in flight is aborted: the function sees that its client disconnected, but
may have done its work already. A cancelled call makes no callback, and its
Idempotency-Key can be used again.`,
		Example: "  hearth cancel 5f1cfe93-8f3a-4b3e-9d3a-7e2f0b1c2d3e\n" +
			"  hearth cancel nightly-report --function report",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if message != "" && function == "" {
				return errors.New("--message needs --function: message ids are unique within a function only")
			}
			path, query := "/async-function/"+url.PathEscape(args[0]), url.Values{}
			for name, value := range map[string]string{"function": function, "message": message} {
				if value != "" {
					query.Set(name, value)
				}
			}
			if len(query) > 0 {
				path += "?" + query.Encode()
			}
			var out map[string]int
			if err := c.do(cmd.Context(), http.MethodDelete, path, nil, &out); err != nil {
				return c.explainQueue(cmd.Context(), deadFilter{function: function}, err)
			}
			return c.print(cmd, out, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "cancelled %s\n",
					cli.Count(out["cancelled"], "call"))
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&function, "function", "",
		"function that was called; faster than searching all queues")
	cmd.Flags().StringVar(&message, "message", "", "only the call with this X-Message-Id; needs --function")
	return cmd
}
