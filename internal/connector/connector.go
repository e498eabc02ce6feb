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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/metrics"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/tracing"
	"github.com/openfaas/faas-provider/types"
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

// A subscriber is a function with topics, as the gateway lists it.
type subscriber struct {
	spec hearth.Function
	subs []dispatch.Subscription
	room int // calls at once
}

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

// list lists the functions now and then, until ctx ends.
func (c *Connector) list(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Rebuild)
	defer tick.Stop()
	for {
		if err := c.refresh(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("could not list functions; keeping the known ones", "gateway",
				c.cfg.Gateway.Redacted(), "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// refresh lists the functions of the gateway once, and tells the dispatcher what has changed.
func (c *Connector) refresh(ctx context.Context) error {
	list, err := c.discover(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	before := c.functions
	c.functions = list
	c.mu.Unlock()
	var failed []error
	for n, f := range list {
		was, known := before[n]
		if known && c.serves[n] && slices.Equal(was.subs, f.subs) &&
			reflect.DeepEqual(was.spec.FunctionDeployment, f.spec.FunctionDeployment) {
			continue
		}
		var bare []wire.Subscription
		for _, s := range f.subs {
			bare = append(bare, s.Subscription)
		}
		c.serves[n] = false // until all of this is done: else the next refresh tries again
		lost, err := c.cfg.Queue.SubscribeAll(ctx, bare)
		if err == nil {
			err = c.reclaim(ctx, bare)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("function %s: %w", n, err))
			continue
		}
		for _, s := range lost {
			c.cfg.Log.Error("consumer group was lost from Redis and is created again: messages that it "+
				"had settled may be delivered again", "queue", s.String())
		}
		if c.counted[n] == nil {
			c.counted[n] = c.cfg.Metrics.Deliveries(n)
		}
		c.dispatch.Set(f.spec, f.subs)
		c.serves[n] = true
		c.cfg.Log.Info("delivering to function", "function", n.String(), "topics",
			fmt.Sprint(f.spec.Topics))
	}
	for n := range before {
		if _, ok := list[n]; !ok {
			c.dispatch.Delete(n) // its consumer groups stay, with their messages
			delete(c.serves, n)
			c.mu.Lock()
			delete(c.warned, n)
			c.mu.Unlock()
			if ended := c.counted[n]; ended != nil {
				ended()
				delete(c.counted, n)
			}
			c.cfg.Log.Info("function is gone; its messages stay queued", "function", n.String())
		}
	}
	c.dispatch.LookAgain() // a function may have more replicas, and hearth dead redrives without telling us
	return errors.Join(failed...)
}

// reclaim ends the leases that an earlier run of this connector left. It does so once: later leases are of
// calls in flight.
func (c *Connector) reclaim(ctx context.Context, subs []wire.Subscription) error {
	for _, s := range subs {
		if c.reclaimed[s] {
			continue
		}
		if _, err := c.cfg.Queue.Reclaim(ctx, s, c.cfg.Instance); err != nil {
			return err
		}
		c.reclaimed[s] = true
	}
	return nil
}

// checked returns an error for a listing that failed. The SDK does not look at its status: it would take a
// gateway that answers 503 for one that has no functions.
type checked struct{ http.RoundTripper }

func (c *checked) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(req)
	if err != nil || !strings.HasPrefix(req.URL.Path, "/system/") || res.StatusCode < 400 ||
		res.StatusCode == http.StatusNotFound {
		return res, err // 404 is a gateway without namespaces
	}
	_ = res.Body.Close()
	return nil, fmt.Errorf("the gateway answered %s to GET %s", res.Status, req.URL.Path)
}

// discover returns the functions that subscribe to topics.
func (c *Connector) discover(ctx context.Context) (map[hearth.Name]subscriber, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	namespaces, err := c.client.GetNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	list := map[hearth.Name]subscriber{}
	for _, namespace := range namespaces {
		functions, err := c.client.GetFunctions(ctx, namespace)
		if err != nil {
			return nil, err
		}
		for _, s := range functions {
			if f, ok := c.subscriberOf(s); ok {
				list[f.spec.Name()] = f
			}
		}
	}
	return list, nil
}

// subscriberOf returns a function as a subscriber. ok is false if it subscribes to nothing.
func (c *Connector) subscriberOf(s types.FunctionStatus) (f subscriber, ok bool) {
	var err error
	f.spec, err = hearth.Parse(types.FunctionDeployment{
		Service:     s.Name,
		Namespace:   s.Namespace,
		Image:       cmp.Or(s.Image, "unknown"), // Parse wants one, and a connector does not run it
		EnvVars:     s.EnvVars,
		Labels:      s.Labels,
		Annotations: s.Annotations,
	})
	if err != nil {
		if id := s.Name + "." + s.Namespace; c.invalid[id] != err.Error() {
			c.invalid[id] = err.Error()
			c.cfg.Log.Error("function gets no messages: its deployment is not valid",
				"function", id, "error", err)
		}
		return f, false
	}
	for _, topic := range f.spec.Topics {
		sub := redis.TopicOf(f.spec.Name(), topic)
		f.subs = append(f.subs, dispatch.Subscription{Subscription: sub, Topic: topic, LeaveAck: c.cfg.Async})
	}
	f.room = max(1, int(s.AvailableReplicas), int(min(s.Replicas, 1))) * f.spec.Concurrency
	return f, len(f.subs) > 0
}

// Known reports whether the gateway had a function when it was last asked.
func (c *Connector) Known(n hearth.Name) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.functions[n]
	return known
}

// Room implements dispatch.Target.
func (c *Connector) Room(n hearth.Name) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.functions[n].room
}

// RoundTrip implements dispatch.Target: it calls the function through the gateway.
func (c *Connector) RoundTrip(n hearth.Name, r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	f, known := c.functions[n]
	c.mu.Unlock()
	if !known {
		return nil, hearth.Errorf(hearth.Unavailable, "function %s is not deployed", n)
	}
	// The gateway may have to wake the function first.
	ctx, cancel := context.WithTimeout(r.Context(), 2*f.spec.Timeout)
	res, err := c.client.InvokeFunction(n.Function, n.Namespace, c.cfg.Async, false, r.WithContext(ctx))
	if err != nil {
		late := errors.Is(ctx.Err(), context.DeadlineExceeded)
		cancel()
		return nil, c.broke(r.Context(), n, late, err)
	}
	if fromGateway(res) {
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
		_ = res.Body.Close()
		cancel()
		c.unreached(n, res.StatusCode)
		return nil, hearth.Errorf(hearth.Unavailable,
			"the gateway answered %d %s without the function's %s: function %s was not reached, "+
				"or does not set that header",
			res.StatusCode, http.StatusText(res.StatusCode), wire.HeaderAnswer, n)
	}
	res.Body = &body{res.Body, cancel}
	return res, nil
}

// fromGateway reports whether an answer is from the gateway, as far as that can be known: it has a status
// that a gateway gives while a function is missing, starts or is replaced, and no mark of the function or its
// watchdog. Listing the functions again would not help: a stock gateway lists a function that it cannot
// reach.
func fromGateway(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return res.Header.Get(wire.HeaderAnswer) == "" &&
			res.Header.Get(wire.HeaderInternal) != "of-watchdog"
	}
	return false
}

// unreached logs that a function was not reached, at most once per warnEvery.
func (c *Connector) unreached(n hearth.Name, status int) {
	c.mu.Lock()
	quiet := time.Since(c.warned[n]) < warnEvery
	if !quiet {
		c.warned[n] = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		c.cfg.Log.Warn("function not reached; retrying its messages", "function", n.String(), "status",
			status)
	}
}

// broke returns the error of a call that got no answer.
func (c *Connector) broke(ctx context.Context, n hearth.Name, late bool, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case late:
		return &hearth.Error{
			Code:    hearth.Timeout,
			Message: fmt.Sprintf("function %s did not answer in time", n),
			Err:     err,
		}
	case errors.As(err, &op) && op.Op == "dial":
		return &hearth.Error{Code: hearth.Unavailable, Message: "the gateway cannot be reached", Err: err}
	}
	return &hearth.Error{
		Code:    hearth.BadGateway,
		Message: "the gateway closed the connection: the call may have run",
		Err:     err,
	}
}

// body is an answer's, and ends the context of its call when it is closed.
type body struct {
	io.ReadCloser
	cancel func()
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
