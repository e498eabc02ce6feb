package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/spf13/cobra"
)

// pollInterval is how often to poll a gateway that cannot report changes.
const pollInterval = 200 * time.Millisecond

// deployed is the result of deploying one function.
type deployed struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Ready     bool   `json:"ready"`
	Reason    string `json:"reason"` // why it is not ready

	Warnings []string `json:"warnings"` // parts of the spec with no effect, or an unexpected one

	refusal error // why the gateway did not accept it
}

func newDeploy() *cobra.Command {
	c := &client{}
	var file, filter string
	var noWait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Deploy the functions of a stack file and wait until they are ready",
		Long: `Deploys the functions of a stack file, and updates existing ones, as faas-cli
deploy does. Their images must exist already: run hearth build first, or push
them to a registry. The command waits until every function has its replicas. The
exit code is 1 if a function is refused, cannot start, is rolled back or is not
ready in time.

The gateway is --gateway, else OPENFAAS_URL, else provider.gateway of the stack
file, else http://127.0.0.1:8080. A gateway that only the stack file names
receives the credentials that faas-cli login stored for it; those of the default
state directory are sent to this machine only.`,
		Example: `  hearth deploy
  hearth deploy -f bakery/stack.yml --filter 'o*'
  TAG=1.2.0 hearth deploy --gateway https://hearth.example.com --timeout 10m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.absolute(); err != nil {
				return err
			}
			stack, err := openStack(file)
			if err != nil {
				return err
			}
			if err := stack.Filter(filter); err != nil {
				return err
			}
			if err := c.gatewayOf(stack); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			steps := newConsole(cmd.OutOrStdout())
			if c.json {
				steps = newConsole(io.Discard)
			}
			list := c.deployStack(ctx, stack, steps)
			if noWait {
				for _, d := range list {
					if d.refusal == nil {
						steps.step("deploy", 0, "%s", d.Name)
					}
				}
			} else {
				c.awaitStack(ctx, list, steps, func(d deployed, took time.Duration) {
					steps.step("ready", took, "%s", d.Name)
				})
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if c.json {
				if err := c.print(cmd, list, nil); err != nil {
					return err
				}
			}
			failed := 0
			for _, d := range list {
				if d.Reason != "" {
					failed++
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %s failed", failed, cli.Count(len(list), "function"))
			}
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	addStackFlag(f, &file)
	f.StringVar(&filter, "filter", "", "only functions whose name matches; * matches any text")
	f.BoolVar(&noWait, "no-wait", false, "do not wait until the functions are ready")
	f.DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for all functions")
	return cmd
}

// gatewayOf uses the gateway of the stack file if neither the flag nor the environment names one.
func (c *client) gatewayOf(stack *build.Stack) error {
	given := stack.Gateway()
	if given == "" || c.gatewayNamed() {
		return nil
	}
	gateway, err := cli.GatewayURL(given)
	if err != nil {
		return fmt.Errorf("provider.gateway of the stack file: %w", err)
	}
	c.gateway = gateway
	return nil
}

// absolute makes paths absolute before the working directory changes.
func (c *client) absolute() (err error) {
	if c.password != "" {
		if c.password, err = filepath.Abs(c.password); err != nil {
			return err
		}
	}
	c.state, err = filepath.Abs(c.state)
	return err
}

// deployStack deploys the functions of a stack. It prints warnings and refusals.
func (c *client) deployStack(ctx context.Context, stack *build.Stack, out *console) []deployed {
	list := []deployed{}
	for _, name := range stack.Names {
		d := deployed{Name: name, Namespace: hearth.DefaultNamespace}
		f, err := stack.Deployment(name)
		if err == nil {
			d.Namespace = firstOf(f.Namespace, hearth.DefaultNamespace)
			d.Warnings, err = c.deploy(ctx, f)
		}
		for _, text := range d.Warnings {
			out.step("warning", 0, "%s: %s", name, text)
		}
		if err != nil {
			d.Reason, d.refusal = err.Error(), err
			out.step("deploy", 0, "%s", out.paint(terminal.Red, name+" is refused: "+d.Reason))
		}
		list = append(list, d)
	}
	return list
}

// awaitStack waits until the accepted functions are ready, and calls ready for each. It prints the others.
func (c *client) awaitStack(ctx context.Context, list []deployed, out *console,
	ready func(d deployed, took time.Duration)) {
	began := time.Now()
	for i := range list {
		d := &list[i]
		if d.refusal != nil {
			continue
		}
		if err := c.awaitReady(ctx, hearth.Name{Function: d.Name, Namespace: d.Namespace}); err != nil {
			d.Reason = err.Error()
			out.step("deploy", time.Since(began), "%s", out.paint(terminal.Red, d.Name+" "+d.Reason))
			continue
		}
		d.Ready = true
		ready(*d, time.Since(began))
	}
}

// deploy updates a function, or creates it. It returns the gateway's warnings.
func (c *client) deploy(ctx context.Context, d types.FunctionDeployment) (warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	res, err := c.send(ctx, http.MethodPut, "/system/functions", d)
	if statusOf(err) == http.StatusNotFound {
		res, err = c.send(ctx, http.MethodPost, "/system/functions", d)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	return warningsOf(res.Header), nil
}

// warningsOf returns the texts of the Warning headers, such as 299 hearth "a text".
func warningsOf(h http.Header) (list []string) {
	for _, value := range h.Values("Warning") {
		if _, text, ok := strings.Cut(value, " \""); ok {
			list = append(list, strings.NewReplacer(`\\`, `\`, `\"`,
				`"`).Replace(strings.TrimSuffix(text, `"`)))
		}
	}
	return list
}

// awaitReady waits until a function has its replicas, and none of an earlier revision. The gateway responds
// when the state changes; a stock gateway cannot, and is polled. After an update the state is read twice: a
// rollback removes the replicas a moment before the status has its reason.
func (c *client) awaitReady(ctx context.Context, n hearth.Name) error {
	var f function
	var known string
	updated := false
	for {
		now, err := c.changedFunction(ctx, n, known)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("did not become ready in time: %d of %d replicas are ready%s",
				f.AvailableReplicas, f.Replicas, prefixed("; ", f.Failing))
		case err != nil:
			return err
		case now.Rollback != nil:
			return fmt.Errorf("was rolled back: %s", now.Rollback.Reason)
		// while the earlier revision still serves, a rollback follows
		case now.Failing != "" && now.AvailableReplicas == 0:
			return fmt.Errorf("cannot start: %s", now.Failing)
		case now.AvailableReplicas >= now.Replicas && !now.Updating && !updated:
			return nil
		}
		pause := time.Duration(0)
		if known = now.ETag; known == "" || updated && !now.Updating {
			known, pause = "", pollInterval
		}
		f, updated = now, now.Updating
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// prefixed is the text with a prefix, or "" if there is no text.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
