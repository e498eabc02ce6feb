package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/hearth"
	sdk "github.com/openfaas/go-sdk"
	"github.com/spf13/cobra"
)

// upConfig are the flags of hearth up.
type upConfig struct {
	serveConfig
	File    string
	OnReady string
	NoBuild bool
}

func newUp() *cobra.Command {
	var c upConfig
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Build and run the functions of a stack.yml on this machine",
		Long: `Builds the functions of a stack.yml, starts Redis and the gateway, deploys, and
stays until Ctrl-C; then it drains and leaves nothing running. State is kept in
one directory, and a second start resumes with everything that was queued.

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
	f.StringVar(&c.OnReady, "on-ready", "",
		"shell command to run once all functions are ready; it is given OPENFAAS_URL, and HEARTH_SECRETS, "+
			"the directory of secrets")
	f.BoolVar(&c.NoBuild, "no-build", false, "deploy the images that were built before")
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
		stack, err := openStack(c.File) // only now: serve has set REDIS_URL, which the file may name
		if err != nil {
			return err
		}
		if err := n.bringUp(ctx, c, out, stack); err != nil {
			return err
		}
		ready()
		return c.onReady(ctx, n)
	})
}

// bringUp builds, makes the secrets that are missing, deploys, and waits until all is ready.
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
				out.step("secret", 0, "%s: made, in %s", name,
					relative(n.secrets.Files.Path(namespace, name)))
			}
		}
	}
	began := time.Now()
	if err := n.deploy(ctx, stack, out); err != nil {
		return err
	}
	if err := n.awaitReady(ctx, stack, out); err != nil {
		return err
	}
	out.step("deploy", time.Since(began), "%s", strings.Join(stack.Names, ", "))
	n.say(out)
	return nil
}

// buildWhatCan builds the stack's functions and removes those that cannot be built, so that the others
// run. It returns an error if none is left.
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

// say tells how to reach the gateway.
func (n *node) say(out *console) {
	out.step("gateway", 0, "%s", n.url())
	if admin := n.adminURL(); admin != "" {
		out.step("admin", 0, "%s/ui/", admin)
	}
	if !n.cfg.NoAuth {
		out.step("login", 0, "faas-cli login --gateway %s --password-stdin < %s", n.apiURL(),
			relative(filepath.Join(n.cfg.State, "basic-auth-password")))
	}
	out.step("logs", 0, "%s", relative(filepath.Join(n.cfg.State, "logs")))
}

// deploy deploys the stack as faas-cli does: over the gateway's API, updating first.
func (n *node) deploy(ctx context.Context, stack *build.Stack, out *console) error {
	gateway, err := url.Parse(n.apiURL())
	if err != nil {
		return err
	}
	client := sdk.NewClient(gateway, &sdk.BasicAuth{Username: n.credentials.User,
		Password: n.credentials.Password}, n.self)
	for _, name := range stack.Names {
		d, err := stack.Deployment(name)
		if err != nil {
			return err
		}
		status, err := client.Update(ctx, d)
		if status == http.StatusNotFound {
			_, err = client.Deploy(ctx, d)
		}
		if err != nil {
			return fmt.Errorf("deploy %s: %w", name, err)
		}
		for _, text := range hearth.Warnings(hearth.Function{FunctionDeployment: d},
			n.registry.Capabilities()) {
			out.step("warning", 0, "%s: %s", name, text)
		}
	}
	return nil
}

// awaitReady waits until each function of the stack has its replicas. One that cannot start is said, and not
// waited for: the others serve, and it can be deployed again.
func (n *node) awaitReady(ctx context.Context, stack *build.Stack, out *console) error {
	for _, name := range stack.Names {
		d, err := stack.Deployment(name)
		if err != nil {
			return err
		}
		fn, err := hearth.ParseName(name)
		if err != nil {
			return err
		}
		if d.Namespace != "" {
			fn.Namespace = d.Namespace
		}
		for {
			f, ok := n.registry.Function(fn)
			load, _ := n.router.Load(fn)
			// and those of an earlier spec are gone
			if !ok || load.Available >= f.Replicas && load.Known <= f.Replicas {
				break
			}
			if load.Failing != "" {
				out.step("deploy", 0, "%s", out.paint(terminal.Red, name+" cannot start: "+load.Failing))
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	return nil
}

// onReady runs the user's command.
func (c upConfig) onReady(ctx context.Context, n *node) error {
	if c.OnReady == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", c.OnReady)
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+n.url(), "HEARTH_SECRETS="+n.secrets.Files.Dir)
	// the user's own: it may use the terminal
	cmd.Stdout, cmd.Stderr = terminal.NewWriter(c.Out, nil).Unwrap(), os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("--on-ready %q: %w", c.OnReady, err)
	}
	return nil
}
