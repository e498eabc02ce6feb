package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newCancel() *cobra.Command {
	c := &client{}
	var function string
	cmd := &cobra.Command{
		Use:   "cancel CALL-ID",
		Short: "Take a queued call out of its queue, or break it off if it is under way",
		Long: `A call is named by the X-Call-Id that its 202 brought. One under way is broken off: its function sees that its caller is gone,
and may have done what it does all the same. There is no callback of a call that was cancelled.`,
		Example: "  hearth cancel 5f1cfe93-8f3a-4b3e-9d3a-7e2f0b1c2d3e\n  hearth cancel nightly-report --function report",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/async-function/" + url.PathEscape(args[0])
			if function != "" {
				path += "?function=" + url.QueryEscape(function)
			}
			var out map[string]int
			if err := c.do(cmd.Context(), http.MethodDelete, path, nil, &out); err != nil {
				return err
			}
			return c.print(cmd, out, func(w io.Writer) { _, _ = fmt.Fprintf(w, "cancelled %d\n", out["cancelled"]) })
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&function, "function", "", "the function that was called: spares a look through all queues")
	return cmd
}
