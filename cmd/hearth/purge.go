package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/spf13/cobra"
)

func newQueuesPurge(c *client) *cobra.Command {
	var queued, delayed, yes bool
	cmd := &cobra.Command{
		Use:   "purge NAME",
		Short: "Delete the queued and delayed calls of a function",
		Long: `Deletes calls that are not in flight, and asks for confirmation first. NAME is a
function, or one of its queues: FUNCTION:calls or FUNCTION:callbacks. --queued
or --delayed limits it to calls in that state. Purged calls make no callbacks,
and their Idempotency-Keys can be used again.

Calls in flight continue (see hearth cancel) and dead letters stay (see hearth
dead purge). Messages of topics cannot be purged: other functions may share
them.`,
		Example: "  hearth queues purge report\n  hearth queues purge report --delayed --yes\n" +
			"  hearth queues purge report:callbacks --yes",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !strings.Contains(name, ":") {
				name += ":calls"
			}
			if !queued && !delayed {
				queued, delayed = true, true
			}
			if !yes {
				if err := c.confirmPurge(cmd, name, queued, delayed); err != nil {
					return err
				}
			}
			var out redis.Cleared
			in := map[string]any{"queue": name, "queued": queued, "delayed": delayed}
			if err := c.do(cmd.Context(), http.MethodPost, "/system/queues/purge", in, &out); err != nil {
				return c.explainQueue(cmd.Context(), deadFilter{queue: name}, err)
			}
			return c.print(cmd, out, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "purged %d queued and %d delayed\n", out.Queued, out.Delayed)
			})
		},
	}
	cmd.Flags().BoolVar(&queued, "queued", false, "only queued calls, including those that wait for a retry")
	cmd.Flags().BoolVar(&delayed, "delayed", false, "only delayed calls")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask for confirmation")
	return cmd
}

// confirmPurge shows how many calls would be purged and asks for confirmation.
func (c *client) confirmPurge(cmd *cobra.Command, name string, queued, delayed bool) error {
	var list []queue.Queue
	if err := c.do(cmd.Context(), http.MethodGet, "/system/queues?queue="+url.QueryEscape(name), nil,
		&list); err != nil {
		return c.explainQueue(cmd.Context(), deadFilter{queue: name}, err)
	}
	var parts []string
	if queued {
		parts = append(parts, fmt.Sprintf("%d queued", list[0].Queued))
	}
	if delayed {
		parts = append(parts, fmt.Sprintf("%d delayed", list[0].Delayed))
	}
	return confirm(cmd, fmt.Sprintf("purge %s of %s permanently?", strings.Join(parts, " and "), name))
}

// confirm asks a question and returns an error unless the answer is yes. It does not read the answer from a
// pipe: a script must use --yes.
func confirm(cmd *cobra.Command, question string) error {
	in := cmd.InOrStdin()
	if _, ok := in.(*os.File); ok && !isTerminal(in) {
		return errors.New("nothing was purged: standard input is not a terminal, so confirm with --yes")
	}
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), question, " [y/N] ")
	answer, err := bufio.NewReader(cli.Input(cmd.Context(), in)).ReadString('\n')
	if text := strings.ToLower(strings.TrimSpace(answer)); text == "y" || text == "yes" {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return errors.New("nothing was purged: answer y, or use --yes")
}
