package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/spf13/cobra"
)

// upConfig holds the flags of hearth up.
type upConfig struct {
	serveConfig
	File    string
	Filter  string
	OnReady string
	NoBuild bool
}

func newUp() *cobra.Command {
	var c upConfig
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Build and run the functions of a stack file on this machine",
		Long: `Builds the functions of a stack file, starts Redis and the gateway, deploys the
functions, and runs until Ctrl-C. Then it drains and leaves nothing running.
State is kept in one directory: the next start resumes with everything that was
queued.

` + redisHelp,
		Example: `  hearth up
  hearth up --listen 127.0.0.1:9090 --state /var/lib/hearth
  REDIS_URL=redis://:password@10.0.0.5:6379 hearth up --on-ready ./smoke-test.sh`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Out, c.Err, c.LogLevel = cmd.OutOrStdout(), cmd.ErrOrStderr(), slog.LevelWarn
			return up(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	c.addFlags(f)
	addStackFlag(f, &c.File)
	f.StringVar(&c.Filter, "filter", "", "only functions whose name matches; * matches any text")
	f.StringVar(&c.OnReady, "on-ready", "",
		"shell command to run once the functions are ready, with OPENFAAS_URL and HEARTH_SECRETS (the "+
			"directory of secrets) set")
	c.Demo.addFlags(f)
	f.BoolVar(&c.NoBuild, "no-build", false, "deploy existing images without building")
	return cmd
}

// up runs until ctx ends.
func up(ctx context.Context, c upConfig) (err error) {
	if err := c.absolute(); err != nil {
		return err
	}
	if c.File, err = build.Find(c.File); err != nil {
		return err
	}
	if _, err := os.Stat(c.File); err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	if err := c.check(); err != nil {
		return err
	}
	return serve(ctx, c.serveConfig, func(ctx context.Context, n *node, out *console, ready func()) error {
		stack, err := openStack(c.File) // not earlier: serve sets REDIS_URL, which the file may use
		if err != nil {
			return err
		}
		if err := stack.Filter(c.Filter); err != nil {
			return err
		}
		if err := n.bringUp(ctx, c, out, stack); err != nil {
			return err
		}
		ready()
		return c.onReady(ctx, n)
	})
}

// bringUp builds and deploys the stack, creates missing secrets, and waits until the functions are ready. A
// function that cannot start is only reported: the others serve.
func (n *node) bringUp(ctx context.Context, c upConfig, out *console, stack *build.Stack) error {
	if !c.NoBuild {
		out.step("build", 0, "%s", strings.Join(stack.Names, ", "))
		if err := c.buildWhatCan(ctx, stack, out); err != nil {
			return err
		}
	}
	for namespace, names := range stack.Secrets(hearth.DefaultNamespace) {
		for _, name := range names {
			made, err := n.secrets.Generate(ctx, namespace, name)
			if err != nil {
				return err
			}
			if made {
				out.step("secret", 0, "%s: created in %s", name,
					relative(n.secrets.Files.Path(namespace, name)))
			}
		}
	}
	if err := n.deploy(ctx, stack, out); err != nil {
		return err
	}
	n.say(out)
	return n.sayLink(out)
}

// buildWhatCan builds the stack's functions. It drops those that fail, so that the others
// run, and returns an error if none is left.
func (c upConfig) buildWhatCan(ctx context.Context, stack *build.Stack, out *console) error {
	err := c.build(ctx, stack, c.State, out)
	failures := build.Failures(err)
	if err != nil && (ctx.Err() != nil || len(failures) == 0 || len(failures) == len(stack.Names)) {
		return err
	}
	for _, f := range failures {
		out.step("build", 0, "%s", out.paint(terminal.Red, f.Error()))
		stack.Names = slices.DeleteFunc(stack.Names, func(name string) bool { return name == f.Function })
	}
	if len(failures) > 0 {
		out.step("build", 0, "%s", out.paint(terminal.Red,
			fmt.Sprintf("%d of %d functions not built; the others start without them",
				len(failures), len(failures)+len(stack.Names))))
	}
	return nil
}

// say prints how to reach the gateway.
func (n *node) say(out *console) {
	out.step("gateway", 0, "%s", n.url())
	if admin := n.adminURL(); admin != "" {
		out.step("admin", 0, "%s", admin)
	}
	if !n.cfg.NoAuth {
		out.step("login", 0, "faas-cli login --gateway %s --password-stdin < %s", n.apiURL(),
			relative(filepath.Join(n.cfg.State, "basic-auth-password")))
	}
	out.step("logs", 0, "%s", relative(filepath.Join(n.cfg.State, "logs")))
}

// deploy deploys the stack over the gateway's API and waits until the functions are ready.
func (n *node) deploy(ctx context.Context, stack *build.Stack, out *console) error {
	began := time.Now()
	c := n.apiClient()
	list := c.deployStack(ctx, stack, out)
	refused := 0
	for _, d := range list {
		if d.refusal != nil {
			refused++
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d of %s refused", refused, cli.Count(len(list), "function"))
	}
	var ready []string
	c.awaitStack(ctx, list, out, func(d deployed, _ time.Duration) { ready = append(ready, d.Name) })
	if len(ready) > 0 {
		out.step("deploy", time.Since(began), "%s", strings.Join(ready, ", "))
	}
	return ctx.Err()
}

// apiClient returns a client for the API of this instance.
func (n *node) apiClient() *client {
	named := func() bool { return true }
	return &client{
		gateway:      n.apiURL(),
		state:        n.cfg.State,
		user:         defaultUser,
		http:         n.self,
		stateNamed:   named,
		gatewayNamed: named,
	}
}

// onReady runs the user's command.
func (c upConfig) onReady(ctx context.Context, n *node) error {
	if c.OnReady == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", c.OnReady)
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+n.url(), "HEARTH_SECRETS="+n.secrets.Files.Dir)
	// the user's own command may control the terminal
	cmd.Stdout, cmd.Stderr = terminal.NewWriter(c.Out, nil).Unwrap(), os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("--on-ready %q: %w", c.OnReady, err)
	}
	return nil
}
