package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hearthfaas/hearth/cli"
	"github.com/spf13/cobra"
)

// scaled is the JSON output of hearth scale.
type scaled struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Replicas  uint64 `json:"replicas"`
}

func newScale() *cobra.Command {
	c := &client{}
	var namespace string
	cmd := &cobra.Command{
		Use:               "scale NAME[.NAMESPACE] REPLICAS",
		Short:             "Set the number of replicas of a function",
		Example:           "  hearth scale oven 4\n  hearth scale oven.staging 0",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: c.completeFunctions,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := nameOf(args[0], namespace)
			if err != nil {
				return err
			}
			replicas, err := strconv.ParseUint(args[1], 10, 20)
			if err != nil {
				return &cli.ExitError{Code: cli.CodeUsage,
					Err: fmt.Errorf("REPLICAS is %q, want a whole number from 0", args[1])}
			}
			in := map[string]any{"serviceName": n.Function, "namespace": n.Namespace, "replicas": replicas}
			done := scaled{n.Function, n.Namespace, replicas}
			if err := c.do(cmd.Context(), http.MethodPost,
				"/system/scale-function/"+url.PathEscape(n.Function), in, nil); err != nil {
				return c.explain(cmd.Context(), n, err)
			}
			return c.print(cmd, done, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s has %s\n", n.Function, cli.Count(replicas, "replica"))
			})
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &namespace)
	return cmd
}
