package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/forwarded"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/history"
	"github.com/hearthfaas/hearth/internal/inbound"
	"github.com/hearthfaas/hearth/internal/live"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/hearthfaas/hearth/internal/origin"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/registry"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/hearthfaas/hearth/internal/tracing"
)

// Config is what a Gateway works with, and its limits. Router and Metrics are required. Without the other
// parts, a gateway only answers calls of functions, as tests need.
type Config struct {
	Registry *registry.Registry
	Router   *router.Router
	Queue    *redis.Client
	Queues   *queue.Admin
	Dispatch *dispatch.Dispatcher
	Cron     *cron.Scheduler
	Provider hearth.Provider
	Secrets  *secrets.Vault
	Logs     *logs.Dir    // output of functions
	Log      *slog.Logger // defaults to nothing

	Credentials Credentials
	Version     string

	// Origin decides which requests to the management API are answered.
	Origin origin.Guard
	// Admin is the URL of the admin address, which ServeAdmin serves, as seen from this machine. Defaults to
	// none.
	Admin string
	// Console is the console of this instance. Defaults to none.
	Console Console
	// AdminOnly leaves the management API and the metrics to the admin address.
	AdminOnly bool
	// Proxies are trusted when they name their clients. Defaults to none.
	Proxies forwarded.Proxies
	// TLS configures both addresses. Defaults to plain HTTP.
	TLS *tls.Config
	// MaxConnections limits the connections of the gateway's address. Defaults to what the limit of open
	// files allows.
	MaxConnections int

	// Usage reports what functions used.
	Usage func(context.Context, meter.Query) (meter.Report, error)
	// Live has what is going on, for GET /system/events.
	Live *live.Live
	// History has what went on, for GET /system/history.
	History *history.History
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Served is called after each request of the management API, with the pattern of its path. Defaults to
	// nothing.
	Served func(method, pattern string, status int, took time.Duration)
	// Tracer makes the spans of calls. Defaults to none.
	Tracer *tracing.Tracer
	// Calls answers questions about calls. Defaults to nothing: then there is no record.
	Calls *calls.Index
	// SyncCalls remembers sync calls, which needs a Tracer. Defaults to nobody.
	SyncCalls *calls.Ring

	// Rate returns how often one caller may call a function. Defaults to no limit.
	Rate func(hearth.Name) hearth.Rate
	// MaxDelay is the longest delay of a queued call. Defaults to DefaultMaxDelay.
	MaxDelay time.Duration
	// QueueLimit limits the queue of a function whose annotations set no limit. Defaults to
	// hearth.DefaultQueueLimit.
	QueueLimit hearth.QueueLimit
}

// Limits of the HTTP servers and their requests.
const (
	maxHeader         = 64 << 10
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second // for a whole request; calls set their own for the body
	maxAdmin          = 128              // connections of the admin address
	idleTimeout       = 2 * time.Minute
	maxSystemBody     = 1 << 20 // bytes of the body of a management request
	maxAsyncBody      = 1 << 20 // bytes of the body of a queued call
	maxEditBody       = 8 << 20 // of the request that edits it: JSON makes up to six bytes of one
)

// DefaultMaxDelay is the longest delay of a queued call, by default.
const DefaultMaxDelay = 24 * time.Hour

// A Gateway serves HTTP at one or two addresses.
type Gateway struct {
	cfg      Config
	server   *http.Server
	admin    *http.Server
	console  *http.Server
	draining atomic.Bool
	guard    *guard
	rates    rates
	sockets  sync.WaitGroup // calls that switched to another protocol, which net/http does not wait for

	ending    chan struct{}      // closed when the drain begins; for answers that do not end by themselves
	end       func()             // closes it
	abort     context.CancelFunc // ends all calls, when the drain has taken too long
	aborted   atomic.Bool        // abort was called
	followers atomic.Int64       // of logs
}

// New makes a gateway. It returns an error of code Invalid for a config that lacks something. It serves
// nothing yet.
func New(cfg Config) (*Gateway, error) {
	switch {
	case cfg.Router == nil:
		return nil, hearth.Errorf(hearth.Invalid, "gateway: the router is missing")
	case cfg.Metrics == nil:
		return nil, hearth.Errorf(hearth.Invalid, "gateway: the handler of metrics is missing")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rate == nil {
		cfg.Rate = func(hearth.Name) hearth.Rate { return hearth.Rate{} }
	}
	if cfg.MaxDelay == 0 {
		cfg.MaxDelay = DefaultMaxDelay
	}
	if cfg.QueueLimit == (hearth.QueueLimit{}) {
		cfg.QueueLimit = hearth.DefaultQueueLimit
	}
	g := &Gateway{cfg: cfg, guard: &guard{
		credentials: cfg.Credentials,
		origin:      cfg.Origin,
		proxies:     cfg.Proxies,
		log:         cfg.Log,
	}}
	g.ending = make(chan struct{})
	g.end = sync.OnceFunc(func() { close(g.ending) })
	calls, cancel := context.WithCancel(context.Background())
	g.abort = func() { g.aborted.Store(true); cancel() }
	g.server, g.admin = g.serve(calls, g.routes()), g.serve(calls, g.adminRoutes())
	g.console = g.serve(calls, nil)
	return g, nil
}

// serve returns an HTTP server with the gateway's limits. The end of calls ends its requests.
func (g *Gateway) serve(calls context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           inbound.Serve(h),
		BaseContext:       func(net.Listener) context.Context { return calls },
		ConnContext:       inbound.Context,
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(g.cfg.Log.Handler(), slog.LevelDebug),
	}
}

// Serve serves the gateway's address on a listener until Shutdown.
func (g *Gateway) Serve(l net.Listener) error {
	return untilClosed(g.server.Serve(g.limited(l, g.cfg.MaxConnections)))
}

// ServeAdmin serves the admin address on a listener until Shutdown. Its connections are counted apart, so
// that the operator gets in when the gateway's address is full.
func (g *Gateway) ServeAdmin(l net.Listener) error {
	return untilClosed(g.admin.Serve(g.limited(l, min(maxAdmin, max(inbound.Most()/4, 1)))))
}

// ServeConsole serves the console on a listener until Shutdown, with the limits of the admin address.
func (g *Gateway) ServeConsole(l net.Listener, h http.Handler) error {
	g.console.Handler = inbound.Serve(h)
	return untilClosed(g.console.Serve(g.limited(l, min(maxAdmin, max(inbound.Most()/4, 1)))))
}

// limited limits the connections of a listener, and adds TLS if it is configured.
func (g *Gateway) limited(l net.Listener, most int) net.Listener {
	l = inbound.Listen(l, inbound.Config{Max: most, Plain: g.cfg.TLS == nil, Log: g.cfg.Log,
		Exempt: func(a netip.Addr) bool { return a.IsLoopback() || g.cfg.Proxies.Trust(a) }})
	if g.cfg.TLS != nil {
		l = tls.NewListener(l, g.cfg.TLS)
	}
	return l
}

func untilClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown takes no new calls, and waits for those in flight until ctx ends. Then it ends them with an error.
func (g *Gateway) Shutdown(ctx context.Context) {
	g.draining.Store(true)
	g.end()
	defer g.abort()
	var operator sync.WaitGroup
	operator.Go(func() { end(ctx, g.admin) })
	operator.Go(func() { end(ctx, g.console) })
	defer operator.Wait()
	if g.server.Shutdown(ctx) == nil && g.socketsEnd(ctx) {
		return
	}
	g.abort()
	g.sockets.Wait()
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	end(last, g.server)
}

// end shuts a server down. When ctx ends, it closes the connections that are left.
func end(ctx context.Context, s *http.Server) {
	if err := s.Shutdown(ctx); err != nil {
		_ = s.Close()
	}
}

// socketsEnd waits for the calls that switched to another protocol, and reports whether all ended before ctx
// did.
func (g *Gateway) socketsEnd(ctx context.Context) bool {
	ended := make(chan struct{})
	go func() { g.sockets.Wait(); close(ended) }()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

func (g *Gateway) healthz(w http.ResponseWriter, _ *http.Request) {
	if g.draining.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// infoTimeout is how long GET /system/info waits for Redis.
const infoTimeout = time.Second

// info answers what OpenFaaS's clients ask for, and in the field hearth what else an operator should know.
func (g *Gateway) info(w http.ResponseWriter, r *http.Request) error {
	type version struct {
		SHA     string `json:"sha"`
		Release string `json:"release"`
	}
	ctx, cancel := context.WithTimeout(r.Context(), infoTimeout)
	defer cancel()
	provider, orchestration := g.cfg.Provider.Info()
	v := version{Release: g.cfg.Version}
	return writeJSON(w, http.StatusOK, map[string]any{
		"provider": map[string]any{"provider": provider, "orchestration": orchestration, "version": v},
		"version":  v,
		"arch":     runtime.GOARCH,
		"hearth":   map[string]any{"redis": g.cfg.Queue.Durability(ctx)},
	})
}

// statusOf returns the HTTP status of an error.
func statusOf(err error) int { return hearth.CodeOf(err).Status() }

// plainErrors answers errors as text, which faas-cli shows to its user.
func plainErrors(log *slog.Logger, h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, mostOf(r))
		if err := h(w, r); err != nil {
			if statusOf(err) >= http.StatusInternalServerError {
				log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", cause(err))
			}
			http.Error(w, hearth.MessageOf(err), statusOf(err))
		}
	})
}

// problems answers errors of calls as RFC 9457 says, and marks them as the platform's.
func (g *Gateway) problems(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		if errors.Is(err, context.Canceled) {
			if !g.aborted.Load() {
				// The caller is gone, or has closed its half: there is no answer to give.
				panic(http.ErrAbortHandler)
			}
			err = hearth.Errorf(hearth.BadGateway, "this instance is stopping: the call may have run")
		}
		p := chain.Problem{Status: statusOf(err), Detail: hearth.MessageOf(err), Internal: "proxy"}
		p.Title = http.StatusText(p.Status)
		switch p.Status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			p.RetryAfter = "1"
		case http.StatusNotFound, http.StatusBadRequest, http.StatusConflict,
			http.StatusRequestEntityTooLarge:
			p.Internal = "" // a retry would not help
		}
		if p.Status >= http.StatusInternalServerError {
			g.cfg.Log.Warn("call failed", "path", r.URL.Path, "status", p.Status, "error", cause(err))
		}
		p.Write(w)
	})
}

// cause returns the part of an error that goes into the log and not to the client.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
