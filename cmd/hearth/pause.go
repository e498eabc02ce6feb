package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/spf13/cobra"
)

func newQueuesPause(c *client) *cobra.Command {
	return c.pauseCommand("pause", "Stop the deliveries of a queue",
		`Pauses a queue in all instances, until you resume it. It still accepts messages,
but delivers none. What is in flight ends as usual. A function does not start,
or get more replicas, because of a paused queue.

The pause outlasts restarts and updates of the function. It ends when the
function is removed and its queue with it.`)
}

func newQueuesResume(c *client) *cobra.Command {
	return c.pauseCommand("resume", "Deliver the messages of a paused queue again",
		"Ends the pause of a queue. Its messages are delivered at once.")
}

// pauseCommand is the command pause or resume.
func (c *client) pauseCommand(name, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:   name + " QUEUE",
		Short: short,
		Long: long + `

QUEUE is FUNCTION:TOPIC, FUNCTION:calls or FUNCTION:callbacks.`,
		Example: fmt.Sprintf("  hearth queues %[1]s oven:bakery.dough\n"+
			"  hearth queues %[1]s report:calls --json", name),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			var q queue.Queue
			in := map[string]any{"queue": args[0]}
			if err := c.do(cmd.Context(), http.MethodPost, "/system/queues/"+name, in, &q); err != nil {
				return c.explainQueue(cmd.Context(), deadFilter{queue: args[0]}, err)
			}
			return c.print(cmd, q, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%sd %s: %d queued, %d in flight\n", name, q.Name, q.Queued,
					q.InFlight)
			})
		},
	}
}

// pausedText says since when a queue is paused, or is "".
func pausedText(q queue.Queue) string {
	switch {
	case !q.Paused:
		return ""
	case q.PausedAt == nil:
		return "paused"
	}
	return "paused since " + q.PausedAt.Local().Format("01-02 15:04:05")
}
