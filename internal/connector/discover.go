package connector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
)

// A subscriber is a function with topics, as the gateway lists it.
type subscriber struct {
	spec hearth.Function
	subs []dispatch.Subscription
	room int // calls at once
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
