package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	sdk "github.com/openfaas/go-sdk"
	"github.com/spf13/cobra"
)

// upConfig are the flags of hearth up.
type upConfig struct {
	File      string
	State     string
	Listen    string
	Redis     string
	Fsync     string
	MaxMemory string
	OnReady   string
	Drain     time.Duration
	Plain     bool
	NoAuth    bool
	NoBuild   bool
	Verbose   bool

	Out io.Writer
}

func newUp() *cobra.Command {
	var c upConfig
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Build and run the functions of a stack.yml on this machine",
		Long: `Builds the functions of a stack.yml, starts Redis and the gateway, deploys, and stays until Ctrl-C; then it drains and leaves
nothing running. State is kept in one directory, and a second start resumes with everything that was queued.

Redis is --redis or REDIS_URL, if given; else a private redis-server, whose data is in the state directory; else, where
there is none, one in memory: then queued calls do not outlive the process.`,
		Example: `  hearth up
  hearth up --listen 127.0.0.1:9090 --state /var/lib/hearth
  REDIS_URL=redis://:password@10.0.0.5:6379 hearth up --on-ready ./smoke-test.sh`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Out = cmd.OutOrStdout()
			return up(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&c.File, "file", "f", "stack.yml", "the stack file")
	f.StringVar(&c.State, "state", ".hearth", "directory for everything that is kept")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address of the gateway")
	f.StringVar(&c.Redis, "redis", "", "URL of a Redis to use, instead of a private one (default $REDIS_URL)")
	f.StringVar(&c.Fsync, "fsync", "always", "when the private Redis writes to disk: always; or everysec, which may lose the last second's calls, 202 or not, when the machine or Redis dies")
	f.StringVar(&c.MaxMemory, "redis-memory", "1gb", "most memory of the private Redis; when it is full, new calls get 503 and none is lost")
	f.StringVar(&c.OnReady, "on-ready", "", "shell command to run once all functions are ready; it is given OPENFAAS_URL")
	f.DurationVar(&c.Drain, "drain", 10*time.Second, "how long calls under way may take to end after Ctrl-C")
	f.BoolVar(&c.Plain, "plain", false, "stand in for a stock OpenFaaS gateway: no topics, no retries, one replica")
	f.BoolVar(&c.NoAuth, "no-auth", false, "let everybody on this machine operate the gateway; only with a loopback address")
	f.BoolVar(&c.NoBuild, "no-build", false, "deploy the images that were built before")
	f.BoolVarP(&c.Verbose, "verbose", "v", false, "log each decision to the state directory's logs/hearth.log")
	return cmd
}

// up runs until ctx ends.
func up(ctx context.Context, c upConfig) (err error) {
	began := time.Now()
	out := newConsole(c.Out)
	if c.State, err = filepath.Abs(c.State); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	if _, err := os.Stat(c.File); err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	if err := os.Chdir(filepath.Dir(c.File)); err != nil { // what stack.yml names is beside it
		return err
	}
	c.File = filepath.Base(c.File)

	lock, err := lockState(c.State)
	if err != nil {
		return err
	}
	defer lock.release()
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	log, logFile, err := openLog(c.State, level, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return portTaken(c.Listen, err)
	}
	defer func() { _ = listener.Close() }()
	if err := lock.say(listener.Addr().String()); err != nil {
		return err
	}

	server, redisURL, err := c.startRedis(ctx, out, log)
	if err != nil {
		return err
	}
	if server != nil {
		defer func() { err = errors.Join(err, server.Close()) }()
	}
	if err := os.Setenv("REDIS_URL", redisURL); err != nil { // stack.yml gives it to the functions
		return err
	}
	stack, err := build.Read(c.File)
	if err != nil {
		return err
	}
	n, err := startNode(ctx, nodeConfig{State: c.State, RedisURL: redisURL, Listener: listener, Plain: c.Plain, NoAuth: c.NoAuth, Log: log})
	if err != nil {
		return err
	}
	defer func() {
		drain, cancel := context.WithTimeout(context.Background(), c.Drain)
		defer cancel()
		force(cancel)
		err = errors.Join(err, n.close(drain))
		out.say("%s", out.paint("2", "stopped"))
	}()
	if err := n.bringUp(ctx, c, out, stack); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	out.say("%s  in %s", out.paint("32", "ready"), seconds(time.Since(began)))
	if err := c.onReady(ctx, n.url()); err != nil && ctx.Err() == nil {
		return err
	}
	kept := "what is queued is kept in " + c.State
	if server != nil && !server.Durable() {
		kept = "what is queued ends with it"
	}
	out.say("%s", out.paint("2", "Ctrl-C ends it; "+kept))
	select {
	case <-ctx.Done():
		out.say("\n%s", out.paint("2", fmt.Sprintf("draining for at most %v; Ctrl-C again ends it at once", c.Drain)))
		return nil
	case err := <-n.served:
		return err
	}
}

// check refuses flags that make no sense together.
func (c upConfig) check() error {
	if c.Fsync != "always" && c.Fsync != "everysec" {
		return fmt.Errorf("--fsync is %q, want always or everysec", c.Fsync)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen is %q, want an address such as 127.0.0.1:8080", c.Listen)
	}
	if ip := net.ParseIP(host); c.NoAuth && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--no-auth is only for loopback addresses, and --listen is %s", c.Listen)
	}
	return nil
}

func portTaken(address string, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	who := portHolder(address)
	if who == "" {
		who = "another process"
	}
	return hearth.Errorf(hearth.Conflict, "%s is taken by %s: end that, or choose another address with --listen", address, who)
}

// force ends the draining when the user asks a second time.
func force(cancel func()) {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	go func() { <-again; cancel() }()
}

// startRedis finds a Redis by the rules of the help text. server is nil if somebody else runs it.
func (c upConfig) startRedis(ctx context.Context, out *console, log *slog.Logger) (server *redis.Server, address string, err error) {
	began := time.Now()
	given := c.Redis
	if given == "" {
		given = os.Getenv("REDIS_URL")
	}
	dir := filepath.Join(c.State, "redis")
	socket := shortPath(filepath.Join(dir, "redis.sock"))
	if given != "" && given != redis.PrivateURL(socket) { // that is said for faas-cli, and may be in the environment here too
		u, err := url.Parse(given)
		if err != nil {
			return nil, "", errors.New("the Redis URL cannot be read")
		}
		out.step("redis", 0, "%s", u.Redacted())
		return nil, given, nil
	}
	server, err = redis.StartServer(ctx, redis.ServerConfig{Dir: dir, Socket: socket, Fsync: c.Fsync, MaxMemory: c.MaxMemory, Log: log})
	if hearth.CodeOf(err) == hearth.NotFound {
		reason := hearth.MessageOf(err)
		if server, err = redis.StartEmbedded(randomText()); err != nil {
			return nil, "", err
		}
		out.step("redis", 0, "%s: %s, so queued work will not outlive this process", out.paint("33", "in memory"), reason)
		return server, server.URL, nil
	}
	if err != nil {
		return nil, "", err
	}
	out.step("redis", time.Since(began), "%s", server.Description)
	out.step("redis", 0, "export REDIS_URL=%s   before you deploy with faas-cli", server.URL)
	return server, server.URL, nil
}

// bringUp builds, makes the secrets that are missing, deploys, and waits until all is ready.
func (n *node) bringUp(ctx context.Context, c upConfig, out *console, stack *build.Stack) error {
	if !c.NoBuild {
		out.step("build", 0, "%s", strings.Join(stack.Names, ", "))
		if err := stack.Build(ctx, filepath.Join(c.State, "build"), n.images, out); err != nil {
			return err
		}
	}
	for namespace, names := range stack.Secrets(hearth.DefaultNamespace) {
		for _, name := range names {
			made, err := n.secrets.Generate(namespace, name)
			if err != nil {
				return err
			}
			if made {
				out.step("secret", 0, "%s: made, in %s", name, relative(n.secrets.Path(namespace, name)))
			}
		}
	}
	began := time.Now()
	if err := n.deploy(ctx, stack); err != nil {
		return err
	}
	if err := n.awaitReady(ctx, stack, out); err != nil {
		return err
	}
	out.step("deploy", time.Since(began), "%s", strings.Join(stack.Names, ", "))
	out.step("gateway", 0, "%s", n.url())
	if !c.NoAuth {
		out.step("login", 0, "faas-cli login --gateway %s --password-stdin < %s", n.url(), relative(filepath.Join(c.State, "basic-auth-password")))
	}
	out.step("logs", 0, "%s", relative(filepath.Join(c.State, "logs")))
	return nil
}

// deploy deploys the stack as faas-cli does: over the gateway's API, updating first.
func (n *node) deploy(ctx context.Context, stack *build.Stack) error {
	gateway, err := url.Parse(n.url())
	if err != nil {
		return err
	}
	client := sdk.NewClient(gateway, &sdk.BasicAuth{Username: n.credentials.User, Password: n.credentials.Password}, http.DefaultClient)
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
	}
	return nil
}

// awaitReady waits until each function of the stack has its replicas. One that cannot start is said, and not waited for: the
// others serve, and it can be deployed again.
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
			if !ok || load.Available >= f.Replicas {
				break
			}
			if load.Failing != "" {
				out.step("deploy", 0, "%s", out.paint("31", name+" cannot start: "+load.Failing))
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
func (c upConfig) onReady(ctx context.Context, gateway string) error {
	if c.OnReady == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", c.OnReady)
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+gateway)
	cmd.Stdout, cmd.Stderr = c.Out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("--on-ready %q: %w", c.OnReady, err)
	}
	return nil
}
