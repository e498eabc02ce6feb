package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/cli/terminal"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/hearthfaas/hearth/internal/redisserver"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// serveConfig are the flags of hearth serve, which hearth up has too.
type serveConfig struct {
	providerConfig
	State  string
	Listen string
	Admin  adminConfig
	Redis  string

	RedisAuth string // directory

	Fsync     string
	MaxMemory string
	Drain     time.Duration
	Backoff   string
	Queue     queueLimits
	Scaling   scalingConfig
	Prices    string
	TLSCert   string
	TLSKey    string
	NoAuth    bool
	Verbose   bool

	SharedRedis   bool
	AdoptRecords  bool
	CallbackAllow egress.AllowList

	Out      io.Writer  // for people
	Err      io.Writer  // for the log
	LogLevel slog.Level // of what Err is told; the state directory's log has more
}

const redisHelp = `Redis is --redis or REDIS_URL, if given, a server or a node of a cluster; else a private redis-server, whose data is in the state directory; else, where
there is none, one in memory: then queued calls do not outlive the process.`

func newServe() *cobra.Command {
	var c serveConfig
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway and the functions that are deployed to it",
		Long: `Starts Redis and the gateway, starts the functions that were deployed before, and runs until Ctrl-C or SIGTERM. Deploy with
hearth deploy or faas-cli. Services and containers run this; hearth up also builds and deploys a stack file.

` + redisHelp,
		Example: `  hearth serve --state /var/lib/hearth
  REDIS_URL=redis://redis:6379 hearth serve --listen 0.0.0.0:8080
  hearth serve --listen 0.0.0.0:8080 --admin-listen 127.0.0.1:8081 --allowed-host functions.example.com
  hearth serve --listen :8443 --tls-cert /etc/hearth/fullchain.pem --tls-key /etc/hearth/privkey.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Out, c.Err, c.LogLevel = cmd.OutOrStdout(), cmd.ErrOrStderr(), slog.LevelInfo
			if err := c.absolute(); err != nil {
				return err
			}
			if err := c.check(); err != nil {
				return err
			}
			return serve(cmd.Context(), c, func(_ context.Context, n *node, out *console, ready func()) error {
				n.say(out)
				ready()
				return nil
			})
		},
	}
	c.addFlags(cmd.Flags())
	return cmd
}

func (c *serveConfig) addFlags(f *pflag.FlagSet) {
	c.providerConfig.addFlags(f)
	f.StringVar(&c.State, "state", ".hearth", "directory for everything that is kept")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address of the gateway")
	c.Admin.addFlags(f)
	f.StringVar(&c.Redis, "redis", "", "URL of a Redis to use, instead of a private one (default $REDIS_URL)")
	f.StringVar(&c.RedisAuth, "redis-auth", os.Getenv("HEARTH_REDIS_AUTH"), "directory for the password of that Redis, which is made there, and a redis.conf with it for redis-server; for two containers that share it ($HEARTH_REDIS_AUTH)")
	f.StringVar(&c.Fsync, "fsync", "always", "when the private Redis writes to disk: always; or everysec, which may lose the last second's calls, 202 or not, when the machine or Redis dies")
	f.StringVar(&c.MaxMemory, "redis-memory", "1gb", "memory limit of the private Redis; at the limit new calls get 503 and accepted ones are kept")
	f.DurationVar(&c.Drain, "drain", 10*time.Second, "how long calls under way may take to end after Ctrl-C or SIGTERM")
	f.StringVar(&c.Backoff, "retry-backoff", string(hearth.BackoffEqual), "how the waits before retries, which double each time, are spread: equal, 50 to 100 % of each; full, 0 to 100 %; or exponential, all of it")
	c.Queue.addFlags(f)
	c.Scaling.addFlags(f)
	f.StringVar(&c.Prices, "prices", "", "YAML or JSON file with the prices of hearth bill (default those that AWS publishes for Lambda)")
	f.StringVar(&c.TLSCert, "tls-cert", "", "PEM file with a certificate and its chain: the gateway speaks https; it is read again when it changes")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM file with the certificate's private key")
	f.Var(&c.CallbackAllow, egress.Flag, "private address that callbacks may go to: an IP address, a range such as 10.1.0.0/16 or a host name, each with or without :PORT; repeat the flag, or separate by commas (default $"+callbackAllowEnv+")")
	f.BoolVar(&c.AdoptRecords, "adopt-records", false, "sign the records in Redis with this instance's secret-key, whoever wrote them; use it once, after the secret-key was lost or Redis was restored, and check hearth list afterwards")
	f.BoolVar(&c.SharedRedis, "shared-redis", false, "create no Redis users for functions: a function with the address of this Redis can read and write everything in it")
	f.BoolVar(&c.NoAuth, "no-auth", false, "let everybody on this machine operate the gateway; only with a loopback address")
	f.BoolVarP(&c.Verbose, "verbose", "v", false, "log each decision to the state directory's logs/hearth.log")
}

// serve runs a hearth until ctx ends. then is called when it serves, with what is to be done first, and calls ready in it.
func serve(ctx context.Context, c serveConfig, then func(ctx context.Context, n *node, out *console, ready func()) error) (err error) {
	began := time.Now()
	if err := c.allowCallbacks(); err != nil {
		return err
	}
	if err := c.Admin.fromEnvironment(); err != nil {
		return err
	}
	c.Admin.own(c.Listen, c.Admin.Listen)
	prices, err := c.prices()
	if err != nil {
		return err
	}
	out := newConsole(c.Out)
	lock, err := lockState(c.State)
	if err != nil {
		return err
	}
	defer lock.release()
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	log, closeLog, err := openLog(c.State, level, c.Err, c.LogLevel)
	if err != nil {
		return err
	}
	defer closeLog()
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return portTaken("--listen", c.Listen, err)
	}
	defer func() { _ = listener.Close() }()
	var admin net.Listener
	if c.Admin.Listen != "" {
		if admin, err = net.Listen("tcp", c.Admin.Listen); err != nil {
			return portTaken("--admin-listen", c.Admin.Listen, err)
		}
		defer func() { _ = admin.Close() }()
	}
	var cert *certificate
	if c.TLSCert != "" {
		if cert, err = loadCertificate(c.TLSCert, c.TLSKey, log); err != nil {
			return err
		}
	}
	held := holder{PID: os.Getpid(), Address: listener.Addr().String(), Since: time.Now().UTC().Truncate(time.Second)}
	if c.Admin.Only {
		held.API = urlOf(admin.Addr(), cert)
	}
	if err := lock.say(held); err != nil {
		return err
	}

	server, redisURL, err := c.startRedis(ctx, out, log)
	if err != nil {
		return err
	}
	if server != nil {
		defer func() { err = errors.Join(err, server.Close()) }()
	}
	n, err := startNode(ctx, nodeConfig{State: c.State, Provider: c.providerConfig, RedisURL: redisURL, RedisPatience: redisPatience, Listener: listener, AdminListener: admin, Admin: c.Admin, TLS: cert, NoAuth: c.NoAuth, Log: log,
		Backoff: hearth.Backoff(c.Backoff), Queue: c.Queue, Scaling: c.Scaling, Prices: prices, CallbackAllow: c.CallbackAllow, SharedRedis: c.SharedRedis, AdoptRecords: c.AdoptRecords})
	if err != nil {
		return err
	}
	logDurability(ctx, n.queue, server != nil, log)
	if server == nil || c.Provider != "docker" {
		if err := os.Setenv("REDIS_URL", n.redisForFunctions()); err != nil { // stack.yml gives it to the functions
			return errors.Join(err, n.close(ctx))
		}
	}
	defer func() {
		drain, cancel := context.WithTimeout(context.Background(), c.Drain)
		defer cancel()
		force(cancel)
		err = errors.Join(err, n.close(drain))
		out.say("%s", out.paint(terminal.Faint, "stopped"))
	}()
	ready := func() { out.say("%s  in %s", out.paint(terminal.Green, "ready"), seconds(time.Since(began))) }
	if err := then(ctx, n, out, ready); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	kept := "what is queued is kept in " + c.State
	switch {
	case server == nil:
		kept = "what is queued is kept in that Redis"
	case !server.Durable():
		kept = "what is queued ends with it"
	}
	out.say("%s", out.paint(terminal.Faint, "Ctrl-C ends it; "+kept))
	select {
	case <-ctx.Done():
		out.say("\n%s", out.paint(terminal.Faint, fmt.Sprintf("draining for at most %v; Ctrl-C again ends it at once", c.Drain)))
		return nil
	case err := <-n.served:
		return err
	}
}

// absolute makes all paths ones that hold wherever hearth goes.
func (c *serveConfig) absolute() (err error) {
	for _, path := range []*string{&c.State, &c.TLSCert, &c.TLSKey, &c.Prices, &c.RedisAuth} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}

// check refuses flags that make no sense together.
func (c serveConfig) check() error {
	if err := c.providerConfig.check(); err != nil {
		return err
	}
	if c.Fsync != "always" && c.Fsync != "everysec" {
		return fmt.Errorf("--fsync is %q, want always or everysec", c.Fsync)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key are two halves: give both, or none")
	}
	if err := checkListen("--listen", c.Listen, c.NoAuth); err != nil {
		return err
	}
	if err := c.Admin.check(c.NoAuth); err != nil {
		return err
	}
	if _, err := hearth.ParseBackoff(c.Backoff); err != nil {
		return fmt.Errorf("--retry-backoff: %w", err)
	}
	if err := c.Scaling.check(); err != nil {
		return err
	}
	return c.Queue.check()
}

// prices are those of the flag's file, if there is one.
func (c serveConfig) prices() (p meter.Prices, err error) {
	if c.Prices == "" {
		return p, nil
	}
	if p, err = meter.ReadPrices(c.Prices); err != nil {
		return p, fmt.Errorf("--prices: %w", err)
	}
	return p, nil
}

// callbackAllowEnv is what the flag defaults to: a container is given its environment more easily than flags.
const callbackAllowEnv = "HEARTH_CALLBACK_ALLOW"

// allowCallbacks takes from the environment what the flag does not say.
func (c *serveConfig) allowCallbacks() error {
	if len(c.CallbackAllow) > 0 {
		return nil
	}
	if err := c.CallbackAllow.Set(os.Getenv(callbackAllowEnv)); err != nil {
		return fmt.Errorf("%s: %w", callbackAllowEnv, err)
	}
	return nil
}

// checkListen returns an error if the address is invalid, or if it is reachable from other machines and there is no password.
func checkListen(flag, address string, noAuth bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s is %q, want an address such as 127.0.0.1:8080", flag, address)
	}
	if ip := net.ParseIP(host); noAuth && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--no-auth is only for loopback addresses, and %s is %s", flag, address)
	}
	return nil
}

func portTaken(flag, address string, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	who := portHolder(address)
	if who == "" {
		who = "another process"
	}
	return hearth.Errorf(hearth.Conflict, "%s is taken by %s: end that, or choose another address with %s", address, who, flag)
}

// force ends the draining when the user asks a second time.
func force(cancel func()) {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	go func() { <-again; cancel() }()
}

// startRedis finds a Redis by the rules of the help text. server is nil if somebody else runs it.
func (c serveConfig) startRedis(ctx context.Context, out *console, log *slog.Logger) (server *redisserver.Server, address string, err error) {
	began := time.Now()
	given := c.Redis
	if given == "" {
		given = os.Getenv("REDIS_URL")
	}
	if given, err = c.withPassword(given); err != nil {
		return nil, "", err
	}
	dir := filepath.Join(c.State, "redis")
	socket, err := shortPath(filepath.Join(dir, "redis.sock"))
	if err != nil {
		return nil, "", err
	}
	if given != "" && given != redisserver.SocketURL(socket) { // that is said for faas-cli, and may be in the environment here too
		u, err := url.Parse(given)
		if err != nil {
			return nil, "", errors.New("the Redis URL cannot be read")
		}
		out.step("redis", 0, "%s", u.Redacted())
		return nil, given, nil
	}
	password, err := makePassword(dir)
	if err != nil {
		return nil, "", err
	}
	server, err = redisserver.Start(ctx, redisserver.Config{Dir: dir, Socket: socket, Password: password, Fsync: c.Fsync, MaxMemory: c.MaxMemory, Log: log})
	if hearth.CodeOf(err) == hearth.NotFound {
		reason := hearth.MessageOf(err)
		if server, err = redisserver.StartEmbedded(randomText()); err != nil {
			return nil, "", err
		}
		out.step("redis", 0, "%s: %s, so queued work will not outlive this process", out.paint(terminal.Yellow, "in memory"), reason)
		return server, server.URL, nil
	}
	if err != nil {
		return nil, "", err
	}
	out.step("redis", time.Since(began), "%s", server.Description)
	if c.Provider == "docker" {
		out.step("redis", 0, "%s", out.paint(terminal.Yellow, "containers cannot reach it: for functions that need Redis, give one with --redis"))
	} else {
		out.step("redis", 0, "export REDIS_URL=%s   before you deploy with faas-cli", redisserver.SocketURL(socket))
	}
	return server, server.URL, nil
}
