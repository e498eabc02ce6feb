package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/cli"
	"github.com/hearthfaas/hearth/internal/connector"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/metrics"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/serverlog"
	"github.com/hearthfaas/hearth/internal/tracing"
	sdk "github.com/openfaas/go-sdk"
	"github.com/spf13/cobra"
)

func newConnector() *cobra.Command {
	var (
		gatewayURL, redisURL, secrets, instance, backoff, metricsAt string
		cfg                                                         connector.Config
		drain                                                       time.Duration
	)
	cmd := &cobra.Command{
		Use:   "connector",
		Short: "Deliver topics to functions behind any OpenFaaS gateway",
		Long: `Delivers the messages of Redis topics to functions of any OpenFaaS gateway, such
as faasd, that have the annotation "topic". Retries, dead letters and the
exactly-once hand-over work as in Hearth.

With --async it posts to /async-function/, and the function's commit settles the
message. A call that the gateway's queue loses is then delivered again.

It reads the environment variables of OpenFaaS's connectors: gateway_url,
basic_auth, secret_mount_path, asynchronous_invocation and rebuild_interval.
REDIS_URL is the URL of Redis.`,
		Example: `  hearth connector --redis redis://127.0.0.1:6379
  hearth connector --gateway http://gateway:8080 --secrets /run/secrets --async`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limited := serverlog.Limit(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			defer limited.Close()
			cfg.Log = slog.New(limited)
			redis.LogTo(cfg.Log)
			var err error
			if cfg.Backoff, err = hearth.ParseBackoff(backoff); err != nil {
				return fmt.Errorf("--retry-backoff: %w", err)
			}
			return runConnector(cmd.Context(), cfg, gatewayURL, redisURL, secrets, instance, metricsAt, drain)
		},
	}
	f := cmd.Flags()
	f.StringVar(&gatewayURL, "gateway", firstOf(os.Getenv("gateway_url"), os.Getenv("OPENFAAS_URL"),
		cli.DefaultGateway), "gateway URL ($gateway_url, $OPENFAAS_URL)")
	f.StringVar(&redisURL, "redis", "", "URL of Redis (default $REDIS_URL)")
	f.StringVar(&secrets, "secrets", secretsFromEnv(),
		"directory that contains basic-auth-user and basic-auth-password ($secret_mount_path, if "+
			"$basic_auth is true)")
	f.StringVar(&instance, "instance", "",
		"name of this connector, unique and the same after a restart (default the host name)")
	f.BoolVar(&cfg.Async, "async", os.Getenv("asynchronous_invocation") == "true", "post to /async-function/")
	f.DurationVar(&cfg.AckWait, "ack-wait", 0,
		"with --async: how long after a function's timeout to wait for its commit (default 1m)")
	f.StringVar(&backoff, "retry-backoff", string(hearth.BackoffEqual),
		"jitter of the retry delay, which doubles each time: equal, full or exponential (none)")
	f.DurationVar(&cfg.Rebuild, "rebuild", durationOr(os.Getenv("rebuild_interval"), 10*time.Second),
		"how often to list functions ($rebuild_interval)")
	f.StringVar(&metricsAt, "metrics", "",
		"address for GET /metrics without a password, such as 127.0.0.1:8081 (default none)")
	f.DurationVar(&drain, "drain", 30*time.Second,
		"how long calls in flight may take after Ctrl-C or SIGTERM")
	return cmd
}

func runConnector(ctx context.Context, cfg connector.Config, gatewayURL, redisURL, secrets, instance,
	metricsAt string, drain time.Duration) error {
	var err error
	if gatewayURL, err = cli.GatewayURL(gatewayURL); err != nil {
		return fmt.Errorf("--gateway or gateway_url: %w", err)
	}
	if cfg.Gateway, err = url.Parse(gatewayURL); err != nil {
		return fmt.Errorf("--gateway or gateway_url: %w", err)
	}
	if redisURL = firstOf(redisURL, os.Getenv("REDIS_URL")); redisURL == "" {
		return errors.New("no Redis is configured; use --redis or REDIS_URL")
	}
	if secrets != "" {
		auth := &sdk.BasicAuth{}
		for name, to := range map[string]*string{"basic-auth-user": &auth.Username,
			"basic-auth-password": &auth.Password} {
			text, err := os.ReadFile(filepath.Join(secrets, name))
			if err != nil {
				return fmt.Errorf("read the gateway's credentials: %w", err)
			}
			*to = strings.TrimSpace(string(text))
		}
		cfg.Auth = auth
	}
	host, _ := os.Hostname()
	cfg.Instance = strings.ReplaceAll(firstOf(instance, "connector@"+host), ":", "_")
	if cfg.Queue, err = openRedis(ctx, redisURL, redisPatience, cfg.Log); err != nil {
		return err
	}
	defer func() { _ = cfg.Queue.Close() }()
	if cfg.Tracer, err = tracing.Open(ctx, cfg.Log, versionText(), cfg.Instance); err != nil {
		return err
	}
	defer cfg.Tracer.Close()
	cfg.Metrics = metrics.New(versionText())
	c, err := connector.New(cfg)
	if err != nil {
		return err
	}
	if metricsAt != "" {
		queues := queue.New(queue.Config{Redis: cfg.Queue, Deployed: c.Known})
		stop, err := serveMetrics(metricsAt, cfg.Metrics, queues.List, cfg.Log)
		if err != nil {
			return err
		}
		defer stop()
	}
	cfg.Log.Info("connecting to gateway", "gateway", cfg.Gateway.Redacted(), "async", cfg.Async)
	if err := c.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	over, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return c.Stop(over)
}

// serveMetrics serves GET /metrics until stop is called.
func serveMetrics(address string, m *metrics.Metrics, queues func(context.Context) ([]queue.Queue, error),
	log *slog.Logger) (stop func(), err error) {
	m.Show(metrics.State{Queues: queues})
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	log.Info("serving metrics", "url", "http://"+listener.Addr().String()+"/metrics")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }, nil
}

func secretsFromEnv() string {
	if os.Getenv("basic_auth") != "true" && os.Getenv("basic_auth") != "1" {
		return ""
	}
	return firstOf(os.Getenv("secret_mount_path"), "/run/secrets")
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func durationOr(text string, fallback time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d
	}
	return fallback
}
