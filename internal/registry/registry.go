/*
Package registry knows which functions are deployed, and makes it so: it keeps their specs in Redis, makes their
subscriptions, and tells the provider, the router, the dispatcher, the autoscaler and the clock. All that changes a function goes through it, one
change of a function at a time.

The order matters. A deployment is: spec checked, subscriptions made (so no message can come before there is a group),
spec kept, provider told, then router and dispatcher. A removal goes the other way, and leaves a subscription that still has
messages: the function may come back for them.

A removal does not wait for calls that are under way. The spec is gone from Redis, with a note of the subscriptions that the function may
have left; it takes no more calls; its replicas drain by themselves. Then, and whenever all specs are read, subscriptions that are empty
are removed. A function of that name may be deployed meanwhile: it has replicas of its own, beside those that drain.

# Several hearths

Hearths of one Redis have the same functions, and each runs replicas of its own. A change is made by one of them, which holds a
lease on the function meanwhile: it makes and removes the subscriptions, and keeps the spec. The others follow: they
are told by a stream of changes, read the spec, and tell their provider, router and dispatcher.

	dies                      then
	the one that removes      the spec is gone already; the next hearth that starts, or any other, removes the subscriptions
	the one that changes      its lease runs out; what it has kept is followed, and what it has not is as before
	one that follows          it reads all specs when it starts
	Redis                     all specs are read when it is back; if it has lost them, they are kept again

Only the number of replicas is each hearth's own. What the last one that scaled has kept is what the next one that starts
begins with.
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
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/autoscale"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
)

// Config is what the registry works with.
type Config struct {
	Queue    *redis.Client
	Provider hearth.Provider
	Router   *router.Router
	Dispatch *dispatch.Dispatcher
	Log      *slog.Logger

	// Instance names this hearth, among those that share the Redis.
	Instance string

	// SyncSecrets makes the secrets here what Redis has, before what may read them starts.
	SyncSecrets func(context.Context) error

	// Cron calls functions on their schedules.
	Cron *cron.Scheduler

	// Most bounds the replicas that functions may have here. Defaults to no bound.
	Most Most

	// KeepByHand is for how long a size stays that an operator has set. Defaults to autoscale.DefaultStable.
	KeepByHand time.Duration

	// Autoscale scales functions, by ScaleFrom. It is nil if nobody but operators does.
	Autoscale *autoscale.Autoscaler
}

// Registry is the deployed functions.
type Registry struct {
	cfg Config

	watch *redis.Watch // of changes
	last  string       // the change up to which we know; of follow's goroutine
	ctx   context.Context
	abort context.CancelFunc // of changes that are being followed
	end   context.CancelFunc // of following
	work  sync.WaitGroup

	changes atomic.Uint64 // counts changes of functions
	suspect atomic.Bool   // Redis may have lost what is deployed: all specs are to be read

	mu        sync.RWMutex
	functions map[hearth.Name]*entry
	epoch     string                              // of the Redis that we know
	left      map[hearth.Name][]wire.Subscription // what functions that were removed here have left
	drains    map[hearth.Name]*drain              // functions that were removed and still have calls or replicas here: the last of each name
	finishing map[hearth.Name]bool                // functions that were removed, and whose callbacks are delivered here
	looking   map[hearth.Name]bool                // functions that are about to be looked at
	stopped   bool
	stopping  chan struct{} // closed with stopped

	subscribers map[string][]hearth.Name // of each topic, some of which may be gone; nil when a spec has changed since
}

type entry struct {
	change    sync.Mutex // one change at a time
	spec      hearth.Function
	callbacks bool // it has a queue for callbacks: it has been called with a callback URL once
	gone      bool
	broken    bool // it cannot run here, though it should: it is given no queued calls

	// Under change:
	changed uint64    // tells the spec and the size from those before
	size    int       // replicas that it is to have when it can run, while it is broken
	byHand  time.Time // when an operator has set the size; zero if nobody has, or a call has woken it since
}

// New makes a registry. The router's Wake must be the registry's Wake.
func New(cfg Config) *Registry {
	if cfg.KeepByHand == 0 {
		cfg.KeepByHand = autoscale.DefaultStable
	}
	r := &Registry{cfg: cfg, watch: cfg.Queue.WatchChanges(), functions: map[hearth.Name]*entry{}, left: map[hearth.Name][]wire.Subscription{},
		drains: map[hearth.Name]*drain{}, finishing: map[hearth.Name]bool{}, looking: map[hearth.Name]bool{}, stopping: make(chan struct{})}
	r.ctx, r.abort = context.WithCancel(context.Background())
	return r
}

// subscriptions are what a function takes entries of.
func (r *Registry) subscriptions(f hearth.Function, callbacks bool) []dispatch.Subscription {
	n := f.Name()
	subs := []dispatch.Subscription{{Subscription: redis.CallsOf(n)}}
	if callbacks {
		subs = append(subs, dispatch.Subscription{Subscription: redis.CallbacksOf(n)})
	}
	for _, topic := range f.Topics {
		subs = append(subs, dispatch.Subscription{Subscription: redis.TopicOf(n, topic), Topic: topic})
	}
	return subs
}

// onlyCallbacks are the subscriptions of a function that cannot run.
func (r *Registry) onlyCallbacks(f hearth.Function, callbacks bool) []dispatch.Subscription {
	if !callbacks {
		return nil
	}
	return []dispatch.Subscription{{Subscription: redis.CallbacksOf(f.Name())}}
}

// find is a function's entry, or nil.
func (r *Registry) find(n hearth.Name) *entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.functions[n]
}

// Deploy creates a function, or replaces it if update is set. It returns when that is under way.
//
// It returns an error of code NotFound if there is nothing to update, Conflict if the function exists and is to be
// created, and Invalid if it cannot run here; then nothing is changed.
func (r *Registry) Deploy(ctx context.Context, f hearth.Function, update bool) error {
	if err := r.syncSecrets(ctx, f.Secrets); err != nil {
		return err
	}
	now := time.Now().UTC()
	f.CreatedAt, f.DeployedAt, f.Revision = now.Truncate(time.Second), now, revision(f.FunctionDeployment)
	f.Replicas = r.limit(f, f.MinReplicas)
	n := f.Name()
	if err := r.fits(f); err != nil {
		return err
	}
	if err := r.ownTopics(f); err != nil {
		return err
	}

	e, end, err := r.begin(ctx, n)
	if err != nil {
		return err
	}
	defer end()
	switch {
	case e.gone && update:
		return hearth.NotFoundError(n)
	case !e.gone && !update:
		return hearth.Errorf(hearth.Conflict, "the function %s is deployed already: update it instead", n)
	case !e.gone:
		f.CreatedAt = e.spec.CreatedAt
		f.Replicas = r.replicas(e.spec, f)
	default:
		made, err := r.cfg.Queue.Noted(ctx, redis.CallbacksOf(n)) // the function may come back to callbacks that it left
		if err != nil {
			return err
		}
		e.callbacks = made
	}
	f.Generation = r.cfg.Queue.NextGeneration(n, e.spec.Generation)
	if err := r.apply(ctx, e, f); err != nil {
		return err
	}
	r.mu.Lock()
	e.spec, e.gone, e.broken = f, false, false
	r.subscribers = nil
	r.back(n)
	r.mu.Unlock()
	r.cfg.Log.Info("deployed", "function", n.String(), "image", f.Image, "replicas", f.Replicas, "topics", strings.Join(f.Topics, ","))
	return nil
}

// replicas is how many a function has that replaces another one.
func (r *Registry) replicas(old, f hearth.Function) int {
	if old.Replicas == 0 && f.MinReplicas > 0 && old.Revision == f.Revision {
		return 0 // it sleeps, and nothing about it is new
	}
	return r.limit(f, max(old.Replicas, f.MinReplicas))
}

// begin begins the change of a function: until end, nobody else changes it, here or in another hearth, and what others have
// made of it before is followed. It may be gone then; if it still is at the end, it is forgotten.
func (r *Registry) begin(ctx context.Context, n hearth.Name) (e *entry, end func(), err error) {
	e = r.enter(n)
	release, err := r.cfg.Queue.BeginChange(ctx, n, r.cfg.Instance)
	if err != nil {
		r.leave(n, e)
		return nil, nil, err
	}
	end = func() { release(); r.leave(n, e) }
	if err := r.catchUp(ctx, n, e); err != nil {
		end()
		return nil, nil, err
	}
	return e, end, nil
}

// enter is a function's entry, locked. One that is being changed here is waited for; of one that is not deployed it is new, and gone.
func (r *Registry) enter(n hearth.Name) *entry {
	for {
		r.mu.Lock()
		e := r.functions[n]
		if e == nil {
			e = &entry{gone: true}
			r.functions[n] = e
		}
		r.mu.Unlock()
		e.change.Lock()
		if r.find(n) == e {
			return e
		}
		e.change.Unlock() // it was removed meanwhile
	}
}

// leave is the end of enter.
func (r *Registry) leave(n hearth.Name, e *entry) {
	if e.gone {
		r.mu.Lock()
		delete(r.functions, n)
		r.mu.Unlock()
	}
	e.change.Unlock()
}

// syncSecrets fetches secrets that a function wants: another hearth may have made them just now.
func (r *Registry) syncSecrets(ctx context.Context, wanted []string) error {
	if len(wanted) == 0 {
		return nil
	}
	return r.cfg.SyncSecrets(ctx)
}

// revision tells one spec from another.
func revision(d types.FunctionDeployment) string {
	text, _ := json.Marshal(d) // maps are written in the order of their keys
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
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
	if err := r.cfg.Queue.SaveFunction(ctx, f, r.cfg.Instance); err != nil {
		return err
	}
	r.cfg.Router.Set(f)
	if err := r.cfg.Provider.Apply(ctx, f); err != nil {
		if e.gone {
			r.cfg.Router.Delete(f.Name())
			_ = r.cfg.Queue.DeleteFunction(ctx, f.Name(), bare(subs), r.cfg.Instance)
		} else {
			r.mu.Lock()
			e.spec.Generation = r.cfg.Queue.NextGeneration(f.Name(), f.Generation)
			before := e.spec
			r.mu.Unlock()
			r.cfg.Router.Set(before)
			_ = r.cfg.Queue.SaveFunction(ctx, before, r.cfg.Instance)
		}
		stayed := r.unsubscribe(ctx, subs, before, false)
		if e.gone {
			r.leaveBehind(ctx, f.Name(), stayed)
		}
		return err
	}
	r.cfg.Dispatch.Set(f, subs)
	r.autoscale(e, f, false)
	r.schedule(ctx, f)
	r.unsubscribe(ctx, before, subs, true) // from topics that it does not want any more
	return nil
}

// unsubscribe removes subscriptions but for those that are kept. One that has messages stays unless force is set; then its
// messages stay on the stream, and are delivered if somebody subscribes again. It returns those that stayed.
func (r *Registry) unsubscribe(ctx context.Context, subs, keep []dispatch.Subscription, force bool) (stayed []wire.Subscription) {
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

// Deployed tells whether Redis has a function: another hearth may have removed it just now.
func (r *Registry) Deployed(ctx context.Context, n hearth.Name) bool {
	v, err := r.cfg.Queue.LookAt(ctx, n)
	_, ok := v.Functions[n]
	return ok || v.Unused[n] || err != nil
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
