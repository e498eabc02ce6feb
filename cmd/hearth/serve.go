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

// serveConfig holds the flags of hearth serve, which hearth up has too.
type serveConfig struct {
	providerConfig
	State   string
	Listen  string
	Admin   adminConfig
	Console consoleConfig
	Demo    demoConfig
	Redis   string

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
	LogLevel slog.Level // of records for Err; the log in the state directory has more
}

const redisHelp = `Redis is --redis or REDIS_URL: a server, or a node of a cluster. Without these,
hearth starts a private redis-server with its data in the state directory. If
redis-server is not installed, it uses a Redis in memory, and queued calls end
with the process.`

func newServe() *cobra.Command {
	var c serveConfig
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway and the functions that are deployed to it",
		Long: `Starts Redis, the gateway and the functions that were deployed before, and runs
until Ctrl-C or SIGTERM. Deploy with hearth deploy or faas-cli. Use this command
in services and containers; hearth up also builds and deploys a stack file.

` + redisHelp,
		Example: `  hearth serve --state /var/lib/hearth
  REDIS_URL=redis://redis:6379 hearth serve --listen 0.0.0.0:8080
  hearth serve --listen 0.0.0.0:8080 --admin-listen 127.0.0.1:8082 \
    --allowed-host functions.example.com
  hearth serve --listen :8443 --tls-cert /etc/hearth/fullchain.pem \
    --tls-key /etc/hearth/privkey.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Out, c.Err, c.LogLevel = cmd.OutOrStdout(), cmd.ErrOrStderr(), slog.LevelInfo
			if err := c.absolute(); err != nil {
				return err
			}
			if err := c.check(); err != nil {
				return err
			}
			return serve(cmd.Context(), c, func(_ context.Context, n *node, out *console,
				ready func()) error {
				n.say(out)
				n.sayConsole(out)
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
	f.StringVar(&c.State, "state", ".hearth", "state directory")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address of the gateway")
	c.Admin.addFlags(f)
	c.Console.addFlags(f)
	f.StringVar(&c.Redis, "redis", "", "URL of Redis (default $REDIS_URL, else a private Redis)")
	f.StringVar(&c.RedisAuth, "redis-auth", os.Getenv("HEARTH_REDIS_AUTH"),
		"directory in which to create the password of that Redis and a redis.conf for it, to share with a "+
			"Redis container ($HEARTH_REDIS_AUTH)")
	f.StringVar(&c.Fsync, "fsync", "always",
		"when the private Redis writes to disk: always, or everysec, which may lose the calls of the last "+
			"second in a crash")
	f.StringVar(&c.MaxMemory, "redis-memory", "1gb",
		"memory limit of the private Redis; at the limit new calls get 503 and accepted ones are kept")
	f.DurationVar(&c.Drain, "drain", 10*time.Second,
		"how long calls in flight may take after Ctrl-C or SIGTERM")
	f.StringVar(&c.Backoff, "retry-backoff", string(hearth.BackoffEqual),
		"jitter of the retry delay, which doubles each time: equal (50 to 100 %), full (0 to 100 %) or "+
			"exponential (none)")
	c.Queue.addFlags(f)
	c.Scaling.addFlags(f)
	f.StringVar(&c.Prices, "prices", "",
		"YAML or JSON file with prices for hearth bill (default those of AWS Lambda)")
	f.StringVar(&c.TLSCert, "tls-cert", "",
		"PEM file with a certificate and its chain, to serve HTTPS; changes are picked up")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM file with the certificate's private key")
	f.Var(&c.CallbackAllow, egress.Flag,
		"private address that callbacks may use: an IP address, a range such as 10.1.0.0/16 or a host "+
			"name, each with or without :PORT; repeatable, or separated by commas (default "+
			"$"+callbackAllowEnv+")")
	f.BoolVar(&c.AdoptRecords, "adopt-records", false,
		"sign all records in Redis with this instance's secret-key; use it once after the secret-key was "+
			"lost or Redis was restored, and check hearth list afterwards")
	f.BoolVar(&c.SharedRedis, "shared-redis", false,
		"do not create Redis users for functions; a function with REDIS_URL can then read and write "+
			"everything in Redis")
	f.BoolVar(&c.NoAuth, "no-auth", false, "require no password; only with a loopback address")
	f.BoolVarP(&c.Verbose, "verbose", "v", false,
		"log every decision to logs/hearth.log in the state directory")
}

// serve runs an instance until ctx ends. Once it serves, it calls then, which
// calls ready when its own work is done.
func serve(ctx context.Context, c serveConfig, then func(ctx context.Context, n *node, out *console,
	ready func()) error) (err error) {
	began := time.Now()
	if err := c.allowCallbacks(); err != nil {
		return err
	}
	if err := c.Admin.fromEnvironment(); err != nil {
		return err
	}
	c.Admin.own(c.Listen, c.Admin.Listen, c.Console.Listen)
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
	defer func() {
		closeLog()
		removeEmptyLog(c.State)
	}()
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
	console, err := c.Console.listen(out)
	if err != nil {
		return err
	}
	if console != nil {
		defer func() { _ = console.Close() }()
	}
	var cert *certificate
	if c.TLSCert != "" {
		if cert, err = loadCertificate(c.TLSCert, c.TLSKey, log); err != nil {
			return err
		}
	}
	held := holder{PID: os.Getpid(), Address: listener.Addr().String(),
		Since: time.Now().UTC().Truncate(time.Second)}
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
	n, err := startNode(ctx, nodeConfig{
		State:         c.State,
		Provider:      c.providerConfig,
		RedisURL:      redisURL,
		RedisPatience: redisPatience,
		Listener:      listener,
		AdminListener: admin,

		ConsoleListener: console,
		Demo:            c.Demo,
		RedisServer:     server,

		Admin:         c.Admin,
		TLS:           cert,
		NoAuth:        c.NoAuth,
		Log:           log,
		Backoff:       hearth.Backoff(c.Backoff),
		Queue:         c.Queue,
		Scaling:       c.Scaling,
		Prices:        prices,
		CallbackAllow: c.CallbackAllow,
		SharedRedis:   c.SharedRedis,
		AdoptRecords:  c.AdoptRecords,
	})
	if err != nil {
		return err
	}
	logDurability(ctx, n.queue, server != nil, log)
	if server == nil || c.Provider != "docker" {
		// stack files pass it to functions
		if err := os.Setenv("REDIS_URL", n.redisForFunctions()); err != nil {
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
	kept := "queued calls are kept in " + c.State
	switch {
	case server == nil:
		kept = "queued calls are kept in that Redis"
	case !server.Durable():
		kept = "queued calls end with it"
	}
	out.say("%s", out.paint(terminal.Faint, "press Ctrl-C to stop; "+kept))
	select {
	case <-ctx.Done():
		out.say("\n%s", out.paint(terminal.Faint, fmt.Sprintf("draining for up to %v; press Ctrl-C again "+
			"to stop at once", c.Drain)))
		return nil
	case err := <-n.served:
		return err
	}
}

// absolute makes paths absolute before the working directory changes.
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

// check validates flags and their combinations.
func (c serveConfig) check() error {
	if err := c.providerConfig.check(); err != nil {
		return err
	}
	if c.Fsync != "always" && c.Fsync != "everysec" {
		return fmt.Errorf("--fsync is %q, want always or everysec", c.Fsync)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key must be used together")
	}
	if err := checkListen("--listen", c.Listen, c.NoAuth); err != nil {
		return err
	}
	if err := c.Admin.check(c.NoAuth); err != nil {
		return err
	}
	if err := c.Console.check(c.NoAuth); err != nil {
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

// prices returns the prices of --prices, or none.
func (c serveConfig) prices() (p meter.Prices, err error) {
	if c.Prices == "" {
		return p, nil
	}
	if p, err = meter.ReadPrices(c.Prices); err != nil {
		return p, fmt.Errorf("--prices: %w", err)
	}
	return p, nil
}

// callbackAllowEnv is the default of --callback-allow, since containers take
// variables more easily than flags.
const callbackAllowEnv = "HEARTH_CALLBACK_ALLOW"

// allowCallbacks applies the environment variable if the flag was not given.
func (c *serveConfig) allowCallbacks() error {
	if len(c.CallbackAllow) > 0 {
		return nil
	}
	if err := c.CallbackAllow.Set(os.Getenv(callbackAllowEnv)); err != nil {
		return fmt.Errorf("%s: %w", callbackAllowEnv, err)
	}
	return nil
}

// checkListen returns an error if the address is invalid, or if it is reachable from
// other machines and there is no password.
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
	return hearth.Errorf(hearth.Conflict,
		"%s is in use by %s; stop that process, or choose another address with %s", address, who, flag)
}

// force ends the drain on a second signal.
func force(cancel func()) {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	go func() { <-again; cancel() }()
}

// startRedis finds or starts Redis as redisHelp describes. server is nil if the Redis is not ours.
func (c serveConfig) startRedis(ctx context.Context, out *console,
	log *slog.Logger) (server *redisserver.Server, address string, err error) {
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
	// the environment may have the URL that we print for faas-cli
	if given != "" && given != redisserver.SocketURL(socket) {
		u, err := url.Parse(given)
		if err != nil {
			return nil, "", errors.New("the Redis URL is invalid")
		}
		out.step("redis", 0, "%s", u.Redacted())
		return nil, given, nil
	}
	password, err := makePassword(dir)
	if err != nil {
		return nil, "", err
	}
	server, err = redisserver.Start(ctx, redisserver.Config{
		Dir:       dir,
		Socket:    socket,
		Password:  password,
		Fsync:     c.Fsync,
		MaxMemory: c.MaxMemory,
		Log:       log,
	})
	if hearth.CodeOf(err) == hearth.NotFound {
		reason := hearth.MessageOf(err)
		if server, err = redisserver.StartEmbedded(randomText()); err != nil {
			return nil, "", err
		}
		out.step("redis", 0, "%s: %s, so queued calls end with this process",
			out.paint(terminal.Yellow, "in memory"), reason)
		return server, server.URL, nil
	}
	if err != nil {
		return nil, "", err
	}
	out.step("redis", time.Since(began), "%s", server.Description)
	if c.Provider == "docker" {
		out.step("redis", 0, "%s", out.paint(terminal.Yellow,
			"containers cannot reach it; if functions need Redis, use --redis"))
	} else {
		out.step("redis", 0, "export REDIS_URL=%s   before you deploy with faas-cli",
			redisserver.SocketURL(socket))
	}
	return server, server.URL, nil
}
