package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/spf13/cobra"
)

func newQueues() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:     "queues",
		Aliases: []string{"queue"},
		Short:   "List queues and the number of messages in each state",
		Long: `Lists the queues of all functions and counts their messages.

  QUEUED     wait to be delivered
  RETRYING   the part of QUEUED that failed and waits for a retry
  IN FLIGHT  are being processed
  DELAYED    wait for the time given by X-Delay or X-Deliver-At
  DEAD       are dead letters (see hearth dead)
  NOTE       since when the queue is paused, and the last failed attempt while a
             message is retried`,
		Example: "  hearth queues\n  hearth queues --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := c.queues(cmd.Context(), "")
			if err != nil {
				return err
			}
			return c.print(cmd, list, func(out io.Writer) { showQueues(out, list) })
		},
	}
	c.flags(cmd)
	c.redisFlag(cmd)
	cmd.AddCommand(newQueuesPurge(c), newQueuesPause(c), newQueuesResume(c))
	return cmd
}

// queues returns the queues of a function, or all of them.
func (c *client) queues(ctx context.Context, function string) ([]queue.Queue, error) {
	path := "/system/queues"
	if function != "" {
		path += "?function=" + url.QueryEscape(function)
	}
	list := []queue.Queue{}
	err := c.do(ctx, http.MethodGet, path, nil, &list)
	return list, err
}

// queuesOf returns the queues of a function. A stock OpenFaaS gateway has none.
func (c *client) queuesOf(ctx context.Context, n hearth.Name) ([]queue.Queue, error) {
	list, err := c.queues(ctx, n.String())
	if statusOf(err) == http.StatusNotFound {
		return []queue.Queue{}, nil
	}
	return list, err
}

// failureText describes the last failed attempt.
func failureText(f *dispatch.Failure) string {
	return fmt.Sprintf("attempt %d failed: %s", f.Attempt, f.Reason)
}

func showQueues(out io.Writer, list []queue.Queue) {
	rows := [][]string{{"QUEUE", "QUEUED", "RETRYING", "IN FLIGHT", "DELAYED", "DEAD", "NOTE"}}
	for _, q := range list {
		var notes []string
		if q.Paused {
			notes = append(notes, pausedText(q))
		}
		if !q.Deployed {
			notes = append(notes, "function not deployed")
		} else if q.LastError != nil {
			notes = append(notes, oneLine(failureText(q.LastError)))
		}
		rows = append(rows, []string{q.Name, strconv.Itoa(q.Queued), strconv.Itoa(q.Retrying),
			strconv.Itoa(q.InFlight), strconv.Itoa(q.Delayed), strconv.Itoa(q.Dead),
			strings.Join(notes, "; ")})
	}
	terminal.Table{Rows: rows, Whole: []int{1, 2, 3, 4, 5}}.Print(out)
}
