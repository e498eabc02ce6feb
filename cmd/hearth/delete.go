package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/openfaas/faas-provider/types"
	"github.com/spf13/cobra"
)

// deleted is the result of removing one function.
type deleted struct {
	Name      string        `json:"name"`
	Namespace string        `json:"namespace"`
	Draining  int           `json:"draining"` // replicas that finish their calls
	Queues    []queue.Queue `json:"queues"`   // not empty; they are kept
}

func newDelete() *cobra.Command {
	c := &client{}
	var namespace string
	cmd := &cobra.Command{
		Use:     "delete NAME[.NAMESPACE]...",
		Aliases: []string{"rm", "remove", "undeploy"},
		Short:   "Remove functions",
		Long: `Removes functions without confirmation. They take no new calls from then on; the
command does not wait for replicas that finish their calls.

Queued calls are kept and run when a function of that name is deployed again.
The command prints how many there are.`,
		Example:           "  hearth delete oven\n  hearth delete oven baker -n staging",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeFunction,
		RunE: func(cmd *cobra.Command, args []string) error {
			done := []deleted{}
			var failed error
			for _, arg := range args {
				n, err := nameOf(arg, namespace)
				if err == nil {
					err = c.do(cmd.Context(), http.MethodDelete, "/system/functions",
						types.DeleteFunctionRequest{FunctionName: n.Function, Namespace: n.Namespace}, nil)
				}
				if failed = c.explain(cmd.Context(), n, err); failed != nil {
					break
				}
				d := deleted{Name: n.Function, Namespace: n.Namespace, Queues: []queue.Queue{}}
				if f, err := c.function(cmd.Context(), n); err == nil && f.Terminating {
					d.Draining = f.Draining
				}
				queues, err := c.queuesOf(cmd.Context(), n)
				if failed = err; failed != nil {
					break
				}
				for _, q := range queues {
					if q.Queued+q.InFlight+q.Delayed+q.Dead > 0 {
						d.Queues = append(d.Queues, q)
					}
				}
				done = append(done, d)
			}
			if err := c.print(cmd, done, func(out io.Writer) { sayDeleted(out, done) }); err != nil {
				return err
			}
			return failed
		},
	}
	c.flags(cmd)
	withNamespace(cmd, c, &namespace)
	return cmd
}

func sayDeleted(out io.Writer, done []deleted) {
	for _, d := range done {
		if text := drainingText(d.Draining); text != "" {
			_, _ = fmt.Fprintf(out, "removed %s; %s\n", d.Name, text)
		} else {
			_, _ = fmt.Fprintf(out, "removed %s\n", d.Name)
		}
		for _, q := range d.Queues {
			var left []string
			if q.InFlight > 0 {
				left = append(left, cli.Count(q.InFlight, "call")+" in flight")
			}
			if n := q.Queued + q.Delayed; n > 0 {
				left = append(left, cli.Count(n, "call")+" for its next deployment")
			}
			if q.Dead > 0 {
				left = append(left, fmt.Sprintf("%s: hearth dead list --queue %s",
					cli.Count(q.Dead, "dead letter"), q.Name))
			}
			_, _ = fmt.Fprintf(out, "  %s: %s\n", q.Name, strings.Join(left, ", and "))
		}
	}
}
