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
		Short: "Take a queued call out of its queue, or break it off if it is under way",
		Long: `A call is named by the X-Call-Id of its 202. If several calls were queued with
the same X-Call-Id, all of them are cancelled; --message names one of them, by
the X-Message-Id of its 202.

A call in flight is broken off: its function sees that its caller is gone, and
may still have done its work. A cancelled call makes no callback, and its
Idempotency-Key may be used again.`,
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
		"the function that was called; faster than a search through all queues")
	cmd.Flags().StringVar(&message, "message", "", "only the call with this X-Message-Id; needs --function")
	return cmd
}
