package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/autoscale"
	"github.com/hearthfaas/hearth/internal/calls"
	web "github.com/hearthfaas/hearth/internal/console"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/history"
	"github.com/hearthfaas/hearth/internal/live"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/hearthfaas/hearth/internal/metrics"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/redisserver"
	"github.com/hearthfaas/hearth/internal/registry"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/hearthfaas/hearth/internal/tracing"
)

// nodeConfig is the configuration of an instance.
type nodeConfig struct {
	State    string // directory, absolute; its lock is held
	Provider providerConfig
	RedisURL string
	// RedisPatience is for how long a Redis that does not answer yet is waited for.
	RedisPatience time.Duration
	Listener      net.Listener
	AdminListener net.Listener // nil: there is no admin address
	Demo          demoConfig
	RedisServer   *redisserver.Server // the private one, or nil
	// ConsoleListener is nil if there is no console.
	ConsoleListener net.Listener
	Admin           adminConfig
	TLS             *certificate // nil: plain HTTP
	NoAuth          bool
	Backoff         hearth.Backoff
	Queue           queueLimits
	Scaling         scalingConfig
	Prices          meter.Prices
	Log             *slog.Logger

	SharedRedis   bool             // functions get no Redis users of their own
	AdoptRecords  bool             // sign what is in Redis, whoever has written it
	CallbackAllow egress.AllowList // private addresses that callbacks may go to
}

// A node is one instance: its parts, connected. Tests use it too.
type node struct {
	cfg         nodeConfig
	credentials gateway.Credentials
	instance    string

	queue    *redis.Client
	users    *redis.Users // of functions; nil if they have none
	provider hearth.Provider
	secrets  *secrets.Vault
	logs     *logs.Dir // of functions
	router   *router.Router
	dispatch *dispatch.Dispatcher
	cron     *cron.Scheduler
	scaler   *autoscale.Autoscaler // nil if switched off
	live     *live.Live
	history  *history.History
	meter    *meter.Meter
	registry *registry.Registry
	gateway  *gateway.Gateway
	sessions *web.Sessions   // of the console
	console  *web.Console    // nil if there is none
	release  func()          // gives up the instance's claim on its name
	served   chan error      // what Serve returned
	tracer   *tracing.Tracer // nil if nobody asked for traces, and calls are not recorded

	// What records calls; nil if that is switched off.
	calls     *calls.Index
	syncCalls *calls.Ring
	details   *calls.Details
	keeper    *calls.Keeper
	self      *http.Client // for calls to this instance itself
}

// startNode opens Redis, brings back what was deployed, and serves.
func startNode(ctx context.Context, cfg nodeConfig) (*node, error) {
	n := &node{cfg: cfg, self: http.DefaultClient, served: make(chan error, 3)}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.close(ctx))
	}
	if cfg.TLS != nil {
		n.self = cfg.TLS.client(n.apiListener().Addr())
	}
	go func() { n.served <- n.gateway.Serve(cfg.Listener) }()
	if cfg.AdminListener != nil {
		go func() { n.served <- n.gateway.ServeAdmin(cfg.AdminListener) }()
	}
	if n.console != nil {
		go func() { n.served <- n.gateway.ServeConsole(cfg.ConsoleListener, n.console) }()
	}
	return n, nil
}

// open opens what the instance works on, builds its parts, and starts them.
func (n *node) open(ctx context.Context) error {
	if err := n.openState(ctx); err != nil {
		return err
	}
	if err := n.build(); err != nil {
		return err
	}
	return n.start(ctx)
}

// openState opens the state directory, Redis, the provider and the tracer.
func (n *node) openState(ctx context.Context) (err error) {
	cfg := n.cfg
	memory, err := openMemory(cfg.State)
	if err != nil {
		return err
	}
	if n.instance, err = instanceOf(cfg.State); err != nil {
		return err
	}
	if !cfg.NoAuth {
		if n.credentials, err = gateway.LoadCredentials(cfg.State); err != nil {
			return err
		}
	}
	if n.queue, err = openRedis(ctx, cfg.RedisURL, cfg.RedisPatience, cfg.Log); err != nil {
		return err
	}
	key, err := secrets.LoadKey(cfg.State)
	if err != nil {
		return err
	}
	n.queue.UseRecords(redis.Records{Key: key.Records(), Memory: memory, Log: cfg.Log})
	if n.release, err = claimName(ctx, n.queue, n.instance, cfg); err != nil {
		return err
	}
	if err := adoptRecords(ctx, n.queue, n.instance, cfg); err != nil {
		return err
	}
	if n.users, err = openUsers(ctx, n.queue, cfg); err != nil {
		return err
	}
	n.logs = &logs.Dir{Path: filepath.Join(cfg.State, "logs")}
	files := secrets.Files{Dir: filepath.Join(cfg.State, "secrets")}
	if n.provider, err = cfg.Provider.open(ctx, cfg.State, n.instance, files, n.logs, cfg.Log,
		n.users); err != nil {
		return err
	}
	n.secrets = &secrets.Vault{
		Files:    files,
		Key:      key,
		Memory:   memory,
		Queue:    n.queue,
		Instance: n.instance,
		Log:      cfg.Log,
	}
	if receiver, ok := optional[hearth.SecretReceiver](n.provider); ok {
		n.secrets.Changed = receiver.ReceiveSecret
	}
	if n.tracer, err = tracing.Open(ctx, cfg.Log, versionText(), n.instance); err != nil {
		return err
	}
	return n.openRecord()
}

// build makes the parts bottom-up. The registry comes first, as most of them call it.
func (n *node) build() (err error) {
	cfg := n.cfg
	n.registry = registry.New(registry.Config{
		Queue:       n.queue,
		Log:         cfg.Log,
		Instance:    n.instance,
		Most:        cfg.Scaling.Most,
		KeepByHand:  cfg.Scaling.Window,
		SyncSecrets: n.secrets.Sync,
		Scaled:      func(f hearth.Name, from, to int, why string) { n.history.Scaled(f, from, to, why) },
	})
	n.history = history.New(history.Config{
		Load:   n.registry.Load,
		Queued: func(f hearth.Name) int { return n.live.Queued(f) },
	})
	numbers := metrics.New(versionText())
	n.meter, err = meter.New(meter.Config{
		Queue:    n.queue,
		Log:      cfg.Log,
		Instance: n.instance,
		Prices:   cfg.Prices,
		Load:     n.registry.Load,
		Function: func(name hearth.Name) (hearth.Function, bool) {
			f, _, ok := n.registry.Spec(name)
			return f, ok
		},
	})
	if err != nil {
		return err
	}
	n.router = router.New(router.Config{Recorder: router.Recorders(numbers.Recorder,
		router.Recorders(n.meter.Recorder, n.history.Recorder)),
		Wake:  n.registry.Wake,
		Ahead: n.registry.WakeAhead})
	n.dispatch, err = dispatch.New(dispatch.Config{
		Queue:    n.queue,
		Log:      cfg.Log,
		Instance: n.instance,
		Backoff:  cfg.Backoff,
		Delivered: func(name hearth.Name, d dispatch.Delivered) {
			numbers.Delivered(name, d)
			n.meter.Delivered(name, d)
		},
		Tracer:        n.tracer,
		Details:       n.details,
		QueueLimit:    cfg.Queue.limit(),
		CallbackBytes: cfg.Queue.callback(),
		Callbacks: egress.NewClient(egress.Config{Allow: cfg.CallbackAllow,
			Gateway: addrPortOf(cfg.Listener.Addr())}),
		EnsureCallbacks: n.registry.EnsureCallbacks,
	}, n.router)
	if err != nil {
		return err
	}
	n.cron, err = cron.New(cron.Config{Queue: n.queue, Log: cfg.Log, Notify: n.dispatch.Notify,
		QueueLimit: cfg.Queue.limit()})
	if err != nil {
		return err
	}
	if !cfg.Scaling.Off {
		n.scaler, err = autoscale.New(autoscale.Config{
			Load:    n.router.Load,
			Backlog: n.dispatch.Backlog,
			Waiting: n.queue.Waiting,
			Usage:   n.provider.Usage,
			Log:     cfg.Log,
			Scale:   n.registry.ScaleFrom,
			Scaled:  n.history.Scaled,
			Stable:  cfg.Scaling.Window,
			Panic:   cfg.Scaling.PanicWindow,
			Drain:   cfg.Scaling.DrainGoal,
		})
		if err != nil {
			return err
		}
	}
	n.registry.Connect(registry.Parts{
		Router:    n.router,
		Provider:  n.provider,
		Dispatch:  n.dispatch,
		Cron:      n.cron,
		Autoscale: n.scaler,
	})
	queues := queue.New(queue.Config{
		Redis:       n.queue,
		Deployed:    func(name hearth.Name) bool { _, ok := n.registry.Function(name); return ok },
		LastFailure: n.dispatch.LastFailure,
		Limit: func(name hearth.Name) hearth.QueueLimit {
			f, _ := n.registry.Function(name)
			return f.Queue.Or(cfg.Queue.limit())
		},
		Notify: n.dispatch.Notify,
	})
	n.watch(queues)
	n.gateway, err = gateway.New(gateway.Config{
		Registry:       n.registry,
		Router:         n.router,
		Queue:          n.queue,
		Queues:         queues,
		Dispatch:       n.dispatch,
		Cron:           n.cron,
		Provider:       n.provider,
		Secrets:        n.secrets,
		Logs:           n.logs,
		Log:            cfg.Log,
		Credentials:    n.credentials,
		Origin:         cfg.Admin.origin(cfg.TLS),
		Admin:          n.adminURL(),
		Console:        n.consoleInfo(),
		AdminOnly:      cfg.Admin.Only,
		Proxies:        cfg.Admin.Proxies,
		TLS:            cfg.TLS.serverConfig(),
		MaxConnections: cfg.Admin.MaxConnections,
		Version:        versionText(),
		Usage:          n.meter.Report,
		Live:           n.live,
		History:        n.history,
		Metrics:        numbers.Handler(),
		Served:         numbers.Served,
		Tracer:         n.tracer,
		Calls:          n.calls,
		SyncCalls:      n.syncCalls,
		QueueLimit:     cfg.Queue.limit(),
		MaxDelay:       cfg.Queue.maxDelay,
		Rate: func(name hearth.Name) hearth.Rate {
			f, _ := n.registry.Function(name)
			return f.Rate
		},
	})
	if err != nil {
		return err
	}
	n.openConsole()
	state := metrics.State{
		Functions: n.registry.All,
		Load:      n.router.Load,
		Queues:    queues.List,
		Used:      n.meter.Since,
		Schedules: n.cron.States,
	}
	numbers.Show(state)
	return nil
}

// start starts the parts, and the functions that are deployed.
func (n *node) start(ctx context.Context) error {
	if n.details != nil {
		if err := errors.Join(n.details.Start(ctx), n.keeper.Start(ctx)); err != nil {
			return err
		}
	}
	if err := n.dispatch.Start(ctx); err != nil {
		return err
	}
	if err := n.meter.Start(ctx); err != nil {
		return err
	}
	if err := n.registry.Start(ctx); err != nil {
		return err
	}
	if settler, ok := optional[hearth.Settler](n.provider); ok {
		settler.Settle(ctx)
	}
	if err := n.cron.Start(ctx); err != nil {
		return err
	}
	if err := errors.Join(n.live.Start(ctx), n.history.Start(ctx)); err != nil {
		return err
	}
	if n.scaler != nil {
		return n.scaler.Start(ctx)
	}
	return nil
}

// openUsers gives functions Redis users of their own, where that can be.
func openUsers(ctx context.Context, queue *redis.Client, cfg nodeConfig) (*redis.Users, error) {
	if cfg.SharedRedis {
		return nil, nil
	}
	users, err := redis.OpenUsers(ctx, queue, cfg.RedisURL, cfg.Log)
	if hearth.CodeOf(err) == hearth.Invalid {
		cfg.Log.Info("functions have no Redis users: those with its address can access everything in this "+
			"Redis", "reason", err)
		return nil, nil
	}
	if err == nil && users.OpenToAll(ctx) {
		cfg.Log.Warn("this Redis has no password: functions with its address can access everything in it; " +
			"set requirepass, and put the password into the Redis URL of hearth")
	}
	return users, err
}

// redisForFunctions is the address of Redis that a stack file gives to functions.
func (n *node) redisForFunctions() string {
	if n.users == nil {
		return n.cfg.RedisURL
	}
	return n.users.PublicURL() // each gets its user when it starts
}

// openMemory opens what a state directory remembers of records. One that no instance has used
// before has nothing to take over from a version that did not sign them; this is noted
// before anything else makes it look used.
func openMemory(state string) (*record.Memory, error) {
	m, err := record.OpenMemory(filepath.Join(state, "records.json"))
	if err != nil || hasInstance(state) {
		return m, err
	}
	return m, m.SetAdopted()
}

// adoptRecords makes Redis such that records can be read.
func adoptRecords(ctx context.Context, queue *redis.Client, instance string, cfg nodeConfig) error {
	if err := queue.Mend(ctx); err != nil {
		return err
	}
	done, err := queue.Adopt(ctx, instance, cfg.AdoptRecords)
	if err != nil {
		return err
	}
	if done != (redis.Adopted{}) {
		cfg.Log.Warn("signed existing records", "functions", done.Functions, "namespaces", done.Namespaces,
			"usage", done.Usage)
	}
	return nil
}

// close takes no new calls and lets those in flight end, until ctx does; then it ends all replicas.
func (n *node) close(ctx context.Context) error {
	if n.scaler != nil {
		_ = n.scaler.Stop(ctx)
	}
	if n.cron != nil {
		_ = n.cron.Stop(ctx) // a tick that is not queued now is by whoever is left
	}
	var ending sync.WaitGroup
	if n.gateway != nil {
		ending.Go(func() { n.gateway.Shutdown(ctx) })
	}
	if n.dispatch != nil {
		ending.Go(func() { _ = n.dispatch.Stop(ctx) }) // what does not end in time is given back
	}
	ending.Wait()
	if n.registry != nil {
		n.registry.Stop(ctx)
		tell, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = n.queue.Tell(tell, hearth.Name{}, n.instance) // what is given back is for whoever is left
	}
	var err error
	if n.provider != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = n.provider.Close(ctx)
	}
	if n.sessions != nil {
		n.sessions.Close()
	}
	if n.history != nil {
		err = errors.Join(err, n.history.Stop(ctx))
	}
	if n.live != nil {
		tell, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = n.live.Stop(tell) // Redis may be gone: then others forget this instance a little later
	}
	if n.meter != nil { // after the replicas have ended
		_ = n.meter.Stop(context.WithoutCancel(ctx))
	}
	n.tracer.Close()
	if n.details != nil { // after the last delivery
		tell, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, n.keeper.Stop(tell))
		_ = n.details.Stop(tell) // Redis may be gone: then the record lacks details
	}
	if n.users != nil {
		n.users.Close()
	}
	if n.release != nil {
		n.release()
	}
	if n.queue != nil {
		err = errors.Join(err, n.queue.Close())
	}
	return err
}
