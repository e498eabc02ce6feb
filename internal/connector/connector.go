/*
Package connector delivers the messages of topics to functions behind any OpenFaaS gateway, with the
dispatcher that Hearth's own gateway has. It finds subscribers as OpenFaaS's connectors do: it asks the
gateway for functions with the annotation topic, see https://docs.openfaas.com/reference/triggers/.

It lists functions once per Config.Rebuild, and never because a call failed. A call that the gateway itself
answered, not the function, is no attempt: its message is retried until it is too old.

It does not deploy, scale or count functions. It does not make async calls, callbacks or scheduled
invocations.
*/
package connector

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/metrics"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/tracing"
	sdk "github.com/openfaas/go-sdk"
)

// Config is what a connector works with.
type Config struct {
	// Gateway is the URL of the gateway. Required.
	Gateway *url.URL
	// Queue is the Redis that has the topics. Required.
	Queue *redis.Client
	// Instance names this connector in leases. It must be the same after a restart, and no other may have it.
	// Required.
	Instance string

	// Auth authenticates to the gateway's management API. Defaults to none.
	Auth sdk.ClientAuth
	// Log gets what the connector does. Defaults to nothing.
	Log *slog.Logger
	// Tracer makes the spans of deliveries. Defaults to none.
	Tracer *tracing.Tracer
	// Metrics counts deliveries and their outcomes. Defaults to metrics that nobody sees.
	Metrics *metrics.Metrics

	// Async posts to /async-function/, and leaves it to the functions' commits to settle messages. A call
	// that the gateway's queue loses is delivered again after AckWait.
	Async bool
	// AckWait is how much longer than a function's timeout a delivery may wait for its commit, with Async:
	// the call is queued first. Without it the lease is renewed while the call runs. Defaults to 1 minute.
	AckWait time.Duration

	// Backoff is how the waits before retries are spread. Defaults to hearth.BackoffEqual.
	Backoff hearth.Backoff

	// Rebuild is how often the functions of the gateway are listed. Defaults to 10 s.
	Rebuild time.Duration
}

// A Connector delivers the messages of topics through a gateway.
type Connector struct {
	cfg      Config
	client   *sdk.Client
	dispatch *dispatch.Dispatcher

	// Of the goroutine that lists functions:
	serves    map[hearth.Name]bool       // the dispatcher knows the function as it was last listed
	reclaimed map[wire.Subscription]bool // the leases of an earlier run were ended
	counted   map[hearth.Name]func()     // ends the metrics of a function
	invalid   map[string]string          // why a function is not served, as it was last logged

	mu        sync.Mutex
	functions map[hearth.Name]subscriber
	warned    map[hearth.Name]time.Time // when it was last logged that a function was not reached
	end       context.CancelFunc        // ends the listing; nil before Start
	ended     chan struct{}             // closed when the listing has ended
}

// warnEvery is how often it is logged that a function was not reached.
const warnEvery = time.Minute

// New makes a connector. It returns an error of code Invalid for a config that lacks something. It does
// nothing before Start.
func New(cfg Config) (*Connector, error) {
	switch {
	case cfg.Gateway == nil:
		return nil, hearth.Errorf(hearth.Invalid, "connector: the gateway's URL is missing")
	case cfg.Queue == nil:
		return nil, hearth.Errorf(hearth.Invalid, "connector: Redis is missing")
	case cfg.Instance == "":
		return nil, hearth.Errorf(hearth.Invalid, "connector: the name of the instance is missing")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Rebuild = cmp.Or(cfg.Rebuild, 10*time.Second)
	cfg.AckWait = cmp.Or(cfg.AckWait, time.Minute)
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New("")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 256, 256
	client := &http.Client{
		Transport:     &checked{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c := &Connector{
		cfg:       cfg,
		client:    sdk.NewClient(cfg.Gateway, cfg.Auth, client),
		functions: map[hearth.Name]subscriber{},
		serves:    map[hearth.Name]bool{},
		reclaimed: map[wire.Subscription]bool{},
		counted:   map[hearth.Name]func(){},
		warned:    map[hearth.Name]time.Time{},
		invalid:   map[string]string{},
	}
	var err error
	c.dispatch, err = dispatch.New(dispatch.Config{
		Queue:      cfg.Queue,
		Log:        cfg.Log,
		Instance:   cfg.Instance,
		Connector:  "hearth-connector",
		Tracer:     cfg.Tracer,
		Delivered:  cfg.Metrics.Delivered,
		Backoff:    cfg.Backoff,
		CommitWait: cfg.AckWait,
	}, c)
	return c, err
}

// Start begins to list functions and to deliver messages, until Stop. The end of ctx ends the listing only. A
// second Start does nothing.
func (c *Connector) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return nil
	}
	if err := c.dispatch.Start(ctx); err != nil {
		return err
	}
	ctx, c.end = context.WithCancel(ctx)
	c.ended = make(chan struct{})
	go func() {
		defer close(c.ended)
		c.list(ctx)
	}()
	return nil
}

// Stop stops the deliveries, and waits for the calls in flight until ctx ends. It may be called before Start,
// and twice.
func (c *Connector) Stop(ctx context.Context) error {
	c.mu.Lock()
	end, ended := c.end, c.ended
	c.mu.Unlock()
	if end == nil {
		return nil
	}
	end()
	<-ended
	_ = c.dispatch.Stop(ctx) // it gives back what does not end in time
	return nil
}

// Known reports whether the gateway had a function when it was last asked.
func (c *Connector) Known(n hearth.Name) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.functions[n]
	return known
}
