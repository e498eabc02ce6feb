package registry

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/internal/autoscale"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
)

// Config is what the registry works with.
type Config struct {
	Queue *redis.Client
	Log   *slog.Logger

	// Instance names this instance, among those that share the Redis.
	Instance string

	// SyncSecrets makes the secrets here what Redis has, before what may read them starts.
	SyncSecrets func(context.Context) error

	// Most bounds the replicas that functions may have here. Defaults to no bound.
	Most Most

	// Scaled is called when the replicas of a function were changed here, but not by ScaleFrom. Defaults to
	// nothing.
	Scaled func(n hearth.Name, from, to int, reason string)

	// KeepByHand is for how long a size stays that an operator has set. Defaults to autoscale.DefaultStable.
	KeepByHand time.Duration
}

// Parts are what the registry keeps in step, and what calls it.
type Parts struct {
	Router   *router.Router
	Provider hearth.Provider
	Dispatch *dispatch.Dispatcher
	Cron     *cron.Scheduler

	// Autoscale scales functions, by ScaleFrom. It is nil if only operators do.
	Autoscale *autoscale.Autoscaler
}

// Registry is the deployed functions.
type Registry struct {
	cfg       Config
	parts     Parts
	observers []Observer // in the order in which they are given a function
	queue     *queue

	watch *redis.Watch       // of changes
	last  string             // the change up to which we know; of watchChanges's goroutine
	end   context.CancelFunc // of watching
	work  sync.WaitGroup

	changes atomic.Uint64 // counts changes of functions
	suspect atomic.Bool   // Redis may have lost what is deployed: a resync is due

	mu       sync.RWMutex
	records  map[hearth.Name]*record
	epoch    string // of the Redis that we know
	stopped  bool
	stopping chan struct{} // closed with stopped

	subscribers map[string][]hearth.Name // of each topic; nil when a spec has changed since
}

// New makes a registry. It must be connected before it is used.
func New(cfg Config) *Registry {
	if cfg.KeepByHand == 0 {
		cfg.KeepByHand = autoscale.DefaultStable
	}
	if cfg.Scaled == nil {
		cfg.Scaled = func(hearth.Name, int, int, string) {}
	}
	r := &Registry{
		cfg:      cfg,
		watch:    cfg.Queue.WatchChanges(),
		records:  map[hearth.Name]*record{},
		stopping: make(chan struct{}),
	}
	r.queue = newQueue(r.sync, r.syncFailed)
	return r
}

// Connect gives the registry its parts. They are made after it, since they call it: the router's Wake is the
// registry's. Call it once, before Start and before a part runs.
func (r *Registry) Connect(p Parts) {
	r.parts = p
	r.observers = []Observer{routes{p.Router}, replicas{p.Provider}, lanes{p.Dispatch}}
	if p.Autoscale != nil {
		r.observers = append(r.observers, sizes{p.Autoscale})
	}
	r.observers = append(r.observers, schedules{p.Cron})
	p.Provider.Watch(r.Updated)
	p.Provider.WatchRollouts(r.RolloutFailed)
}

// syncFailed logs what keeps a name from being synced. It is tried again.
func (r *Registry) syncFailed(n hearth.Name, err error) {
	if err == errDegraded || hearth.CodeOf(err) == hearth.Unavailable || context.Cause(r.queue.ctx) != nil {
		return
	}
	r.cfg.Log.Error("could not sync function", "function", n.String(), "error", err)
}
