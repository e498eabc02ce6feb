/*
Package connector brings the messages of topics to functions behind any OpenFaaS gateway, by the same dispatcher that Hearth's
own gateway has. It finds the subscribers as OpenFaaS's connectors do, by asking the gateway for functions with the annotation
topic; see https://docs.openfaas.com/reference/triggers/. It deploys and scales nothing.
*/
package connector

import (
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
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain"
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
	Gateway *url.URL
	Auth    sdk.ClientAuth // for the gateway's management API; nil for none
	Queue   *redis.Client
	Log     *slog.Logger

	// Tracer makes the spans of deliveries. Defaults to none.
	Tracer *tracing.Tracer

	// Metrics counts what deliveries come to. Defaults to ones that nobody sees.
	Metrics *metrics.Metrics

	// Instance names this connector in leases.
	Instance string

	// Async posts to /async-function/, and leaves it to the functions' commits to settle. A call that the gateway's queue
	// loses is delivered again after AckWait.
	Async bool
	// AckWait is how much longer than a function's timeout a delivery may wait for its commit. Defaults to 1 min with Async,
	// where it may have to queue, else to 15 s.
	AckWait time.Duration

	// Backoff is how the waits before retries are spread. Defaults to hearth.BackoffEqual.
	Backoff hearth.Backoff

	// Rebuild is how often the gateway is asked for functions. Defaults to 10 s.
	Rebuild time.Duration
}

// Connector delivers the messages of topics through a gateway.
type Connector struct {
	cfg      Config
	client   *sdk.Client
	dispatch *dispatch.Dispatcher

	// Of the goroutine that looks for functions:
	serves    map[hearth.Name]bool        // those whose lane is as the gateway told
	reclaimed map[chain.Subscription]bool // whose leases of an earlier life were ended
	counted   map[hearth.Name]func()      // end the series of those that are known

	mu        sync.Mutex
	functions map[hearth.Name]found
	told      map[hearth.Name]time.Time // when the log was told that it was not reached
}

// tellEvery is how often it is logged that a function is not reached.
const tellEvery = time.Minute

// found is a subscriber that the gateway told of.
type found struct {
	spec hearth.Function
	subs []dispatch.Subscription
	room int
}

// New makes a connector. It does nothing before Run.
func New(cfg Config) *Connector {
	if cfg.Rebuild == 0 {
		cfg.Rebuild = 10 * time.Second
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 15 * time.Second
		if cfg.Async {
			cfg.AckWait = time.Minute
		}
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New("")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.MaxIdleConns = 256, 256
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c := &Connector{cfg: cfg, functions: map[hearth.Name]found{}, serves: map[hearth.Name]bool{}, reclaimed: map[chain.Subscription]bool{}, counted: map[hearth.Name]func(){},
		told: map[hearth.Name]time.Time{}, client: sdk.NewClient(cfg.Gateway, cfg.Auth, client)}
	c.dispatch = dispatch.New(dispatch.Config{Queue: cfg.Queue, Log: cfg.Log, Instance: cfg.Instance, Connector: "hearth-connector", Tracer: cfg.Tracer, Delivered: cfg.Metrics.Delivered, Backoff: cfg.Backoff,
		LeaseMargin: cfg.AckWait}, c)
	return c
}

// Run delivers until ctx ends, and then waits for the calls that were made, for at most drain.
func (c *Connector) Run(ctx context.Context, drain time.Duration) {
	c.dispatch.Start()
	tick := time.NewTicker(c.cfg.Rebuild)
	defer tick.Stop()
	for {
		if err := c.refresh(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("could not look for functions; those that are known go on", "gateway", c.cfg.Gateway.Redacted(), "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			over, cancel := context.WithTimeout(context.Background(), drain)
			defer cancel()
			c.dispatch.Stop(over)
			return
		}
	}
}

// refresh asks the gateway for functions, and makes the subscriptions theirs.
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
		if known && c.serves[n] && slices.Equal(was.subs, f.subs) && reflect.DeepEqual(was.spec.FunctionDeployment, f.spec.FunctionDeployment) {
			continue
		}
		var bare []chain.Subscription
		for _, s := range f.subs {
			bare = append(bare, s.Subscription)
		}
		c.serves[n] = false // until all of this is done: the next look tries again
		lost, err := c.cfg.Queue.SubscribeAll(ctx, bare)
		if err == nil {
			err = c.reclaim(ctx, bare)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("function %s: %w", n, err))
			continue
		}
		for _, s := range lost {
			c.cfg.Log.Error("a consumer group was lost from Redis and is made anew: messages that it had settled, and that another group still waits for, are delivered again", "queue", s.String())
		}
		if c.counted[n] == nil {
			c.counted[n] = c.cfg.Metrics.Deliveries(n)
		}
		c.dispatch.Set(f.spec, f.subs)
		c.serves[n] = true
		c.cfg.Log.Info("delivers", "function", n.String(), "topics", fmt.Sprint(f.spec.Topics()))
	}
	for n := range before {
		if _, ok := list[n]; !ok {
			c.dispatch.Delete(n) // its subscriptions stay: it may come back for its messages
			delete(c.serves, n)
			c.mu.Lock()
			delete(c.told, n)
			c.mu.Unlock()
			if ended := c.counted[n]; ended != nil {
				ended()
				delete(c.counted, n)
			}
			c.cfg.Log.Info("the function is gone; its messages wait", "function", n.String())
		}
	}
	c.dispatch.LookAgain() // there may be more room, and hearth dead redrives without telling us
	return errors.Join(failed...)
}

// reclaim ends the leases that an earlier life of this connector left: once, since later ones are of calls under way.
func (c *Connector) reclaim(ctx context.Context, subs []chain.Subscription) error {
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

// discover are the functions that subscribe to topics.
func (c *Connector) discover(ctx context.Context) (map[hearth.Name]found, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	namespaces, err := c.client.GetNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	list := map[hearth.Name]found{}
	for _, namespace := range namespaces {
		functions, err := c.client.GetFunctions(ctx, namespace)
		if err != nil {
			return nil, err
		}
		for _, s := range functions {
			if f, ok := c.subscriber(s); ok {
				list[f.spec.Name()] = f
			}
		}
	}
	return list, nil
}

func (c *Connector) subscriber(s types.FunctionStatus) (found, bool) {
	f := found{spec: hearth.Function{FunctionDeployment: types.FunctionDeployment{Service: s.Name, Namespace: s.Namespace, Image: s.Image,
		EnvVars: s.EnvVars, Labels: s.Labels, Annotations: s.Annotations}}}
	if f.spec.Namespace == "" {
		f.spec.Namespace = hearth.DefaultNamespace
	}
	for _, topic := range f.spec.Topics() {
		f.subs = append(f.subs, dispatch.Subscription{Subscription: redis.TopicOf(f.spec.Name(), topic), Topic: topic, LeaveAck: c.cfg.Async})
	}
	f.room = max(1, int(s.AvailableReplicas), int(min(s.Replicas, 1))) * f.spec.Concurrency()
	return f, len(f.subs) > 0
}

// Known reports whether a function was there when the gateway was last asked.
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
		return nil, hearth.Errorf(hearth.Unavailable, "function %s is not deployed now", n)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*f.spec.Timeout()) // the gateway may have to wake the function first
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
		return nil, hearth.Errorf(hearth.Unavailable, "the gateway answered %d %s without the function's %s: function %s was not reached, "+
			"or does not set that header", res.StatusCode, http.StatusText(res.StatusCode), chain.HeaderAnswer, n)
	}
	res.Body = &body{res.Body, cancel}
	return res, nil
}

// fromGateway reports whether an answer is of the gateway, as far as anybody can tell: it has a status that a gateway gives while
// a function is away, starts or is replaced, and no mark of the function or of its watchdog. A stock gateway goes on to list a
// function that it cannot reach, so asking it would not help.
func fromGateway(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return res.Header.Get(chain.HeaderAnswer) == "" && res.Header.Get(chain.HeaderInternal) != "of-watchdog"
	}
	return false
}

// unreached logs that a function was not reached, but not for each message.
func (c *Connector) unreached(n hearth.Name, status int) {
	c.mu.Lock()
	quiet := time.Since(c.told[n]) < tellEvery
	if !quiet {
		c.told[n] = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		c.cfg.Log.Warn("function not reached; retrying its messages", "function", n.String(), "status", status)
	}
}

// broke says what became of a call that got no answer.
func (c *Connector) broke(ctx context.Context, n hearth.Name, late bool, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case late:
		return &hearth.Error{Code: hearth.Timeout, Message: fmt.Sprintf("function %s did not answer in time", n), Err: err}
	case errors.As(err, &op) && op.Op == "dial":
		return &hearth.Error{Code: hearth.Unavailable, Message: "the gateway cannot be reached", Err: err}
	}
	return &hearth.Error{Code: hearth.BadGateway, Message: "the gateway broke off: the call may have run", Err: err}
}

// body ends a call's context when its answer is read.
type body struct {
	io.ReadCloser
	cancel func()
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
