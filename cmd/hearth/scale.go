package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

func newScale() *cobra.Command {
	c := &client{}
	var namespace string
	cmd := &cobra.Command{
		Use:               "scale NAME[.NAMESPACE] REPLICAS",
		Short:             "Set how many replicas a function has; with 0 it sleeps until it is called",
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
				return fmt.Errorf("%q replicas: want a whole number", args[1])
			}
			in := map[string]any{"serviceName": n.Function, "namespace": n.Namespace, "replicas": replicas}
			if err := c.do(cmd.Context(), http.MethodPost, "/system/scale-function/"+url.PathEscape(n.Function), in, nil); err != nil {
				return c.explain(cmd.Context(), n, err)
			}
			return c.print(cmd, in, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s has %d replicas\n", n.Function, replicas) })
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &namespace)
	return cmd
}
