/*
Package registry knows which functions are deployed, and makes it so: it keeps their specs in Redis, makes their
subscriptions, and tells the provider, the router and the dispatcher. All that changes a function goes through it, one
change of a function at a time.

The order matters. A deployment is: spec checked, subscriptions made (so no message can come before there is a group),
spec kept, provider told, then router and dispatcher. A removal goes the other way, and leaves a subscription that still has
messages: the function may come back for them.
*/
package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
)

// saveTimeout is how long a function that was scaled waits for Redis to know; no other change of it is made meanwhile.
const saveTimeout = 3 * time.Second

// Config is what the registry works with.
type Config struct {
	Queue    *redis.Client
	Provider hearth.Provider
	Router   *router.Router
	Dispatch *dispatch.Dispatcher
	Log      *slog.Logger

	// Topics says whether functions get the messages of their topics. Without, Hearth stands in for a stock gateway, for
	// which a connector does that; and a function has one replica at most.
	Topics bool
}

// Registry is the deployed functions.
type Registry struct {
	cfg Config

	mu        sync.RWMutex
	functions map[hearth.Name]*entry
}

type entry struct {
	change    sync.Mutex // one change at a time
	spec      hearth.Function
	callbacks bool // it has a queue for callbacks: it has been called with a callback URL once
	gone      bool
}

// New makes a registry. The router's Wake must be the registry's Wake.
func New(cfg Config) *Registry {
	return &Registry{cfg: cfg, functions: map[hearth.Name]*entry{}}
}

// subscriptions are what a function takes entries of.
func (r *Registry) subscriptions(f hearth.Function, callbacks bool) []dispatch.Subscription {
	n := f.Name()
	subs := []dispatch.Subscription{{Subscription: redis.CallsOf(n)}}
	if callbacks {
		subs = append(subs, dispatch.Subscription{Subscription: redis.CallbacksOf(n)})
	}
	if r.cfg.Topics {
		for _, topic := range f.Topics() {
			subs = append(subs, dispatch.Subscription{Subscription: redis.TopicOf(n, topic), Topic: topic})
		}
	}
	return subs
}

// find is a function's entry, or nil.
func (r *Registry) find(n hearth.Name) *entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.functions[n]
}

// Deploy creates a function, or replaces it if update is set. It returns when that is under way.
//
// It returns an error of code NotFound if there is nothing to update, Conflict if there is something to create, and
// Invalid if the spec is wrong; then nothing is changed.
func (r *Registry) Deploy(ctx context.Context, d types.FunctionDeployment, update bool) error {
	if d.Namespace == "" {
		d.Namespace = hearth.DefaultNamespace
	}
	if err := hearth.Validate(d); err != nil {
		return err
	}
	now := time.Now().UTC()
	f := hearth.Function{FunctionDeployment: d, CreatedAt: now.Truncate(time.Second), DeployedAt: now, Revision: revision(d)}
	f.Replicas = r.limit(f, f.MinReplicas())
	n := f.Name()

	e, err := r.claim(n, update)
	if err != nil {
		return err
	}
	defer e.change.Unlock()
	old := e.spec
	if !e.gone {
		f.CreatedAt = old.CreatedAt
		f.Replicas = r.limit(f, max(old.Replicas, f.MinReplicas()))
		if old.Replicas == 0 && f.MinReplicas() > 0 && old.Revision == f.Revision {
			f.Replicas = 0 // it sleeps, and nothing about it is new
		}
	}
	if e.gone {
		made, err := r.cfg.Queue.Subscriptions(ctx) // the function may come back to callbacks that it left
		if err != nil {
			r.forget(n, e)
			return err
		}
		e.callbacks = slices.Contains(made, redis.CallbacksOf(n))
	}
	if err := r.apply(ctx, e, f); err != nil {
		if e.gone {
			r.forget(n, e)
		}
		return err
	}
	r.mu.Lock()
	e.spec, e.gone = f, false
	r.mu.Unlock()
	r.cfg.Log.Info("deployed", "function", n.String(), "image", f.Image, "replicas", f.Replicas, "topics", strings.Join(f.Topics(), ","))
	return nil
}

// claim is a function's entry, with its change begun. A function that is being removed is waited for.
func (r *Registry) claim(n hearth.Name, update bool) (*entry, error) {
	for {
		r.mu.Lock()
		e := r.functions[n]
		if e == nil && !update {
			e = &entry{gone: true}
			r.functions[n] = e
		}
		r.mu.Unlock()
		if e == nil {
			return nil, router.NotFound(n)
		}
		e.change.Lock()
		if r.find(n) != e { // it was removed meanwhile
			e.change.Unlock()
			continue
		}
		switch {
		case e.gone && update:
			r.forget(n, e)
			e.change.Unlock()
			return nil, router.NotFound(n)
		case !e.gone && !update:
			e.change.Unlock()
			return nil, hearth.Errorf(hearth.Conflict, "the function %s is deployed already: update it instead", n)
		}
		return e, nil
	}
}

// revision tells one spec from another.
func revision(d types.FunctionDeployment) string {
	text, _ := json.Marshal(d) // maps are written in the order of their keys
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

func (r *Registry) limit(f hearth.Function, replicas int) int {
	if !r.cfg.Topics {
		return min(replicas, 1)
	}
	return min(replicas, f.MaxReplicas())
}

// apply makes a spec so, in the order that the package describes. When it returns an error, all is as it was.
func (r *Registry) apply(ctx context.Context, e *entry, f hearth.Function) error {
	subs := r.subscriptions(f, e.callbacks)
	var before []dispatch.Subscription
	if !e.gone {
		before = r.subscriptions(e.spec, e.callbacks)
	}
	lost, err := r.cfg.Queue.SubscribeAll(ctx, bare(subs))
	if err != nil {
		return err
	}
	r.warnLost(lost)
	if err := r.cfg.Queue.SaveFunction(ctx, f); err != nil {
		return err
	}
	r.cfg.Router.Set(f)
	if err := r.cfg.Provider.Apply(ctx, f); err != nil {
		if e.gone {
			r.cfg.Router.Delete(f.Name())
			_ = r.cfg.Queue.DeleteFunction(ctx, f.Name())
		} else {
			r.cfg.Router.Set(e.spec)
			_ = r.cfg.Queue.SaveFunction(ctx, e.spec)
		}
		r.unsubscribe(ctx, subs, before, false)
		return err
	}
	r.cfg.Dispatch.Set(f, subs)
	r.unsubscribe(ctx, before, subs, true) // from topics that it does not want any more
	return nil
}

// unsubscribe removes subscriptions but for those that are kept. One that has messages stays unless force is set; then its
// messages stay on the stream, and are delivered if somebody subscribes again. It returns those that stayed.
func (r *Registry) unsubscribe(ctx context.Context, subs, keep []dispatch.Subscription, force bool) (stayed []chain.Subscription) {
	for _, s := range subs {
		if slices.Contains(keep, s) {
			continue
		}
		done, err := r.cfg.Queue.Unsubscribe(ctx, s.Subscription, force)
		switch {
		case err != nil:
			r.cfg.Log.Error("could not remove a subscription", "queue", s.String(), "error", err)
			stayed = append(stayed, s.Subscription)
		case !done:
			r.cfg.Log.Info("messages are left; they wait until the function is deployed again", "queue", s.String())
			stayed = append(stayed, s.Subscription)
		}
	}
	return stayed
}

// Delete removes a function: no new calls, then its replicas end after those that they have.
func (r *Registry) Delete(ctx context.Context, n hearth.Name) error {
	e := r.find(n)
	if e == nil {
		return router.NotFound(n)
	}
	e.change.Lock()
	defer e.change.Unlock()
	if e.gone {
		return router.NotFound(n)
	}
	if err := r.cfg.Queue.DeleteFunction(ctx, n); err != nil {
		return err
	}
	r.mu.Lock()
	e.gone = true // but it stays in the map, so that a new deployment waits until all of this one is gone
	r.mu.Unlock()
	defer r.forget(n, e)
	subs := r.subscriptions(e.spec, e.callbacks)
	r.cfg.Dispatch.Delete(n)
	r.cfg.Router.Delete(n)
	if err := r.cfg.Provider.Remove(ctx, n); err != nil {
		return err
	}
	if slices.Contains(r.unsubscribe(ctx, subs, nil, false), redis.CallbacksOf(n)) {
		r.finishCallbacks(n)
	}
	r.cfg.Log.Info("removed", "function", n.String())
	return nil
}

// EnsureCallbacks makes sure that a function has a queue for callbacks, before there is a callback to put on it, and once
// more when there is: it may have been removed in between. A function that was removed has one too, for the calls that were
// under way.
func (r *Registry) EnsureCallbacks(ctx context.Context, n hearth.Name, again bool) error {
	e := r.find(n)
	if e == nil {
		if _, err := r.cfg.Queue.Subscribe(ctx, redis.CallbacksOf(n)); err != nil {
			return err
		}
		r.finishCallbacks(n)
		return nil
	}
	r.mu.RLock()
	has := e.callbacks && (!e.gone || !again)
	r.mu.RUnlock()
	if has {
		return nil
	}
	// Before the lock, which a sync call needs to wake the function: a Redis that is away must not be waited for with it.
	if err := r.cfg.Queue.Ping(ctx); err != nil {
		return err
	}
	e.change.Lock()
	defer e.change.Unlock()
	if e.gone { // it was removed meanwhile, and may be deployed anew
		return hearth.Errorf(hearth.Unavailable, "function %s is being replaced: try again", n.Function)
	}
	if _, err := r.cfg.Queue.Subscribe(ctx, redis.CallbacksOf(n)); err != nil {
		return err
	}
	r.mu.Lock()
	e.callbacks = true
	spec := e.spec
	r.mu.Unlock()
	r.cfg.Dispatch.Set(spec, r.subscriptions(spec, true))
	return nil
}

func (r *Registry) forget(n hearth.Name, e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.gone = true
	delete(r.functions, n)
}

// Scale sets how many replicas a function has.
func (r *Registry) Scale(ctx context.Context, n hearth.Name, replicas int) error {
	e := r.find(n)
	if e == nil {
		return router.NotFound(n)
	}
	e.change.Lock()
	defer e.change.Unlock()
	if e.gone {
		return router.NotFound(n)
	}
	f := e.spec
	if replicas < 0 || replicas != r.limit(f, replicas) {
		return hearth.Errorf(hearth.Invalid, "function %s cannot have %d replicas: want 0 to %d", n.Function, replicas, r.limit(f, replicas))
	}
	f.Replicas = replicas
	r.cfg.Router.Set(f)
	if err := r.cfg.Provider.Apply(ctx, f); err != nil {
		r.cfg.Router.Set(e.spec) // so that the next call wakes it, if it sleeps
		return err
	}
	r.mu.Lock()
	e.spec = f
	r.mu.Unlock()
	save, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := r.cfg.Queue.SaveFunction(save, f); err != nil {
		// It runs as it should; only a restart would not know. With Redis away, sync calls must still be able to wake it.
		r.cfg.Log.Warn("a function was scaled, but Redis does not know", "function", n.String(), "replicas", replicas, "error", err)
	}
	r.cfg.Dispatch.RoomMade(n)
	return nil
}

// Wake gives a function that sleeps a replica. The router calls it.
func (r *Registry) Wake(n hearth.Name) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e := r.find(n)
	if e == nil {
		return
	}
	f, _ := r.Function(n)
	if err := r.Scale(ctx, n, max(1, r.limit(f, f.MinReplicas()))); err != nil {
		r.cfg.Log.Error("could not wake a function", "function", n.String(), "error", err)
		r.cfg.Router.WakeFailed(n, err)
	}
}

// Function is a deployed one.
func (r *Registry) Function(n hearth.Name) (hearth.Function, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e := r.functions[n]
	if e == nil || e.gone {
		return hearth.Function{}, false
	}
	return e.spec, true
}

// Updated is told by the provider what replicas a function has.
func (r *Registry) Updated(n hearth.Name, replicas []hearth.Replica) {
	r.cfg.Router.Update(n, replicas)
	r.cfg.Dispatch.RoomMade(n)
}
