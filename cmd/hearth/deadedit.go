package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/spf13/cobra"
)

func newDeadEdit(c *client) *cobra.Command {
	var body, contentType string
	cmd := &cobra.Command{
		Use:   "edit QUEUE ID --body (TEXT | @FILE | -)",
		Short: "Change the body of a dead letter and queue it again",
		Long: `Replaces the body of a dead letter, and queues it with all its attempts, in one
step. --body is the new body, @ and the name of a file that contains it, or -
for standard input.

The edited message is a new one, with a new id. It keeps the call id, trace,
headers, callback, Idempotency-Key and failures. If the queue is that of a topic
with several subscribers, the others do not get it. The same edit can be
repeated after a lost response: it happens once.`,
		Example: "  hearth dead edit oven:calls 1795437512656-0 --body '{\"tray\":\"t1\"}'\n" +
			"  hearth dead edit oven:bakery.dough 1795437512656-0 --body @body.json",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("body") {
				return &cli.ExitError{Code: cli.CodeUsage, Err: errors.New("--body is missing")}
			}
			content, err := readBody(cmd, body)
			if err != nil {
				return err
			}
			in := map[string]any{"queue": args[0], "id": args[1], "body_base64": content}
			if contentType != "" {
				in["content_type"] = contentType
			}
			var out queue.Edited
			err = c.do(cmd.Context(), http.MethodPost, "/system/dead-letters/edit", in, &out)
			if err != nil {
				return c.explainQueue(cmd.Context(), deadFilter{queue: args[0]}, err)
			}
			return c.print(cmd, out, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "edited dead letter %s, which is queued again as %s\n", out.Was, out.ID)
			})
		},
	}
	cmd.Flags().StringVar(&body, "body", "", "new body: text, @FILE, or - for standard input")
	cmd.Flags().StringVar(&contentType, "content-type", "", "new content type (default as before)")
	return cmd
}

// readBody reads the value of --body: text, @FILE, or - for standard input.
func readBody(cmd *cobra.Command, value string) ([]byte, error) {
	content := []byte(value)
	var err error
	if name, ok := strings.CutPrefix(value, "@"); ok {
		content, err = os.ReadFile(name)
	} else if value == "-" {
		content, err = io.ReadAll(cli.Input(cmd.Context(), cmd.InOrStdin()))
	}
	if err != nil {
		return nil, fmt.Errorf("--body: %w", err)
	}
	return content, nil
}
