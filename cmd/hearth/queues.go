package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

// queue is a queue and how many of its messages are in each state.
type queue struct {
	Name     string  `json:"queue"`
	Function string  `json:"function"` // with its namespace
	Deployed bool    `json:"deployed"`
	Queued   int     `json:"queued"`   // to be delivered, those included that wait for a retry
	Retrying int     `json:"retrying"` // of these, those that failed and wait for their next attempt
	InFlight int     `json:"in_flight"`
	Delayed  int     `json:"delayed"` // until their time
	Dead     int     `json:"dead"`
	Oldest   float64 `json:"oldest_seconds"` // how long the first queued one has waited

	// LastError is the last failed attempt of a message that is tried again.
	LastError *dispatch.Failure `json:"last_error"`
}

func newQueues() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:     "queues",
		Aliases: []string{"queue"},
		Short:   "List the queues and how many messages each has",
		Long: `Lists the queues. QUEUED messages wait to be delivered; RETRYING says how many
of them failed and wait for their next attempt. IN FLIGHT ones are being worked
on. DELAYED ones wait for their time, as X-Delay says. DEAD ones are dead
letters: see hearth dead. While a message is retried, the reason of the last
failed attempt is shown beside its queue.`,
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
	cmd.AddCommand(newQueuesPurge(c))
	return cmd
}

// queues returns the queues of a function, or all of them.
func (c *client) queues(ctx context.Context, function string) ([]queue, error) {
	path := "/system/queues"
	if function != "" {
		path += "?function=" + url.QueryEscape(function)
	}
	var told []gateway.Queue
	if err := c.do(ctx, http.MethodGet, path, nil, &told); err != nil {
		return nil, err
	}
	list := []queue{}
	for _, q := range told {
		list = append(list, queue{
			Name:      q.Name,
			Function:  q.Function,
			Deployed:  q.Deployed,
			Queued:    q.Queued(),
			Retrying:  q.Due,
			InFlight:  q.Leased,
			Delayed:   q.Delayed,
			Dead:      q.Dead,
			Oldest:    q.Oldest,
			LastError: q.LastError,
		})
	}
	return list, nil
}

// queuesOf are the queues of a function; none if the gateway knows no queues, as OpenFaaS's does not.
func (c *client) queuesOf(ctx context.Context, n hearth.Name) ([]queue, error) {
	list, err := c.queues(ctx, n.String())
	if statusOf(err) == http.StatusNotFound {
		return []queue{}, nil
	}
	return list, err
}

// failureText describes the last failed attempt.
func failureText(f *dispatch.Failure) string {
	return fmt.Sprintf("attempt %d failed: %s", f.Attempt, f.Reason)
}

func showQueues(out io.Writer, list []queue) {
	rows := [][]string{{"QUEUE", "QUEUED", "RETRYING", "IN FLIGHT", "DELAYED", "DEAD", ""}}
	for _, q := range list {
		note := ""
		if !q.Deployed {
			note = "function not deployed"
		} else if q.LastError != nil {
			note = oneLine(failureText(q.LastError))
		}
		rows = append(rows, []string{q.Name, strconv.Itoa(q.Queued), strconv.Itoa(q.Retrying),
			strconv.Itoa(q.InFlight), strconv.Itoa(q.Delayed), strconv.Itoa(q.Dead), note})
	}
	terminal.Table{Rows: rows, Whole: []int{1, 2, 3, 4, 5}}.Print(out)
}
