package main

import (
	"context"
	"errors"
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

// pollInterval is how often a function that was deployed is looked at.
const pollInterval = 200 * time.Millisecond

// deployed is how the deployment of a function ended.
type deployed struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Ready     bool   `json:"ready"`
	Reason    string `json:"reason"` // why it is not

	Warnings []string `json:"warnings"` // what of its spec has no effect, or another than one may expect
}

func newDeploy() *cobra.Command {
	c := &client{}
	var file, filter string
	var noWait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Deploy the functions of a stack file to a gateway, and wait until they are ready",
		Long: `Deploys the functions of a stack file, and updates those that exist, as faas-cli
deploy does. Their images must exist already, from hearth build or a registry.
Then it waits until each function has its replicas. The exit code is 1 if one is
refused, cannot start, is rolled back or is not ready in time.

The gateway is --gateway, else OPENFAAS_URL, else provider.gateway of the stack
file, else the one on this machine. A gateway that only the stack file names
gets the credentials that faas-cli login has stored for it; others only if it is
on this machine.`,
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
			list := c.deployStack(ctx, stack, steps, !noWait)
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
	f.StringVar(&filter, "filter", "", "only functions whose name matches; * is any text")
	f.BoolVar(&noWait, "no-wait", false, "do not wait until they are ready")
	f.DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait, for all of them")
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

// absolute keeps the meaning of paths from before the directory is changed.
func (c *client) absolute() (err error) {
	if c.password != "" {
		if c.password, err = filepath.Abs(c.password); err != nil {
			return err
		}
	}
	c.state, err = filepath.Abs(c.state)
	return err
}

// deployStack deploys all functions, and then waits for those that were taken.
func (c *client) deployStack(ctx context.Context, stack *build.Stack, out *console, wait bool) []deployed {
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
			d.Reason = err.Error()
			out.step("deploy", 0, "%s", out.paint(terminal.Red, name+" is refused: "+d.Reason))
		} else if !wait {
			out.step("deploy", 0, "%s", name)
		}
		list = append(list, d)
	}
	if !wait {
		return list
	}
	began := time.Now()
	for i := range list {
		d := &list[i]
		if d.Reason != "" {
			continue
		}
		if err := c.awaitReady(ctx, hearth.Name{Function: d.Name, Namespace: d.Namespace}); err != nil {
			d.Reason = err.Error()
			out.step("deploy", time.Since(began), "%s", out.paint(terminal.Red, d.Name+" "+d.Reason))
			continue
		}
		d.Ready = true
		out.step("ready", time.Since(began), "%s", d.Name)
	}
	return list
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

// warningsOf returns the texts of an answer's Warning headers, such as 299 hearth "a text".
func warningsOf(h http.Header) (list []string) {
	for _, value := range h.Values("Warning") {
		if _, text, ok := strings.Cut(value, " \""); ok {
			list = append(list, strings.NewReplacer(`\\`, `\`, `\"`,
				`"`).Replace(strings.TrimSuffix(text, `"`)))
		}
	}
	return list
}

// awaitReady waits until a function has its replicas, and none of another version. The gateway answers
// when something has changed; one that knows no states, such as a stock one, is asked every
// pollInterval. After an update it looks twice: while one is rolled back, the replicas are gone a
// moment before the status has the reason.
func (c *client) awaitReady(ctx context.Context, n hearth.Name) error {
	var f function
	var known string
	updated := false
	for {
		now, err := c.changedFunction(ctx, n, known)
		switch {
		case ctx.Err() != nil:
			return errors.New(strings.TrimSpace("is not ready in time: " +
				fmt.Sprintf("%d of %d replicas are. %s", f.AvailableReplicas, f.Replicas, f.Failing)))
		case err != nil:
			return err
		case now.Rollback != nil:
			return fmt.Errorf("was rolled back: %s", now.Rollback.Reason)
		// else the ones before serve, and a rollback follows
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
