package dispatch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Dispatcher runs the lanes of all functions.
type Dispatcher struct {
	cfg    Config
	target Target
	watch  *watches

	settling settler
	failures failures
	patience patience

	mu    sync.Mutex
	lanes map[hearth.Name]*lane
	ended map[hearth.Name]*lane // deleted, with deliveries that are not settled yet

	// gate is locked for reading while work begins, so that none begins once Stop waits for its end.
	gate     sync.RWMutex
	stopped  bool
	spawn    func(task) // nil before Start
	stopping func()     // ends taking
	abort    func()     // ends calls
	work     sync.WaitGroup
	renewals sync.WaitGroup
}

// A task is work that a dispatcher does in a goroutine of its own. taking ends when the dispatcher is
// stopped: nothing more is taken then. calls ends when Stop waits no longer for calls.
type task func(taking, calls context.Context)

// errStopping is the cause of the end of a task's contexts.
var errStopping = errors.New("the instance is stopping")

// isStopping reports whether Stop waits no longer for a call, whose context this is.
func isStopping(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errStopping) }

// New makes a dispatcher, which does nothing before Start. It returns an error if the configuration lacks
// something.
func New(cfg Config, target Target) (*Dispatcher, error) {
	switch {
	case cfg.Queue == nil || cfg.Log == nil || target == nil:
		return nil, errors.New("make a dispatcher: Queue, Log and the target are required")
	case cfg.Instance == "":
		return nil, errors.New("make a dispatcher: Instance is required")
	case cfg.Lease < 0 || cfg.CommitWait < 0 || cfg.SweepEvery < 0 || cfg.CallbackBytes < 0:
		return nil, errors.New(
			"make a dispatcher: Lease, CommitWait, SweepEvery and CallbackBytes must not be negative",
		)
	}
	if cfg.Connector == "" {
		cfg.Connector = "hearth"
	}
	if cfg.Callbacks == nil {
		cfg.Callbacks = egress.NewClient(egress.Config{})
	}
	if cfg.CallbackBytes == 0 {
		cfg.CallbackBytes = DefaultCallbackBytes
	}
	if cfg.QueueLimit == (hearth.QueueLimit{}) {
		cfg.QueueLimit = hearth.DefaultQueueLimit
	}
	if cfg.Backoff == "" {
		cfg.Backoff = hearth.BackoffEqual
	}
	if cfg.Lease == 0 {
		cfg.Lease = DefaultLease
	}
	if cfg.CommitWait == 0 {
		cfg.CommitWait = 15 * time.Second
	}
	if cfg.EnsureCallbacks == nil {
		cfg.EnsureCallbacks = func(context.Context, hearth.Name, bool) error { return nil }
	}
	if cfg.Delivered == nil {
		cfg.Delivered = func(hearth.Name, Delivered) {}
	}
	if cfg.SweepEvery == 0 {
		cfg.SweepEvery = time.Minute
	}
	d := &Dispatcher{cfg: cfg, target: target, lanes: map[hearth.Name]*lane{}, ended: map[hearth.Name]*lane{}}
	d.settling = settler{d: d, batches: map[wire.Subscription]*batch{}}
	d.watch = newWatches(d)
	return d, nil
}

// Start begins to deliver, and returns at once. The end of ctx does not stop it: Stop does. A second Start
// does nothing. It returns an error if the dispatcher was stopped before.
func (d *Dispatcher) Start(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	taking, stopping := context.WithCancelCause(ctx)
	calls, abort := context.WithCancelCause(ctx)
	d.gate.Lock()
	if d.spawn != nil || d.stopped {
		stopped := d.stopped
		d.gate.Unlock()
		stopping(nil)
		abort(nil)
		if stopped {
			return errors.New("start the dispatcher: it was stopped before")
		}
		return nil
	}
	d.spawn = func(t task) { d.work.Go(func() { t(taking, calls) }) }
	d.stopping, d.abort = func() { stopping(errStopping) }, func() { abort(errStopping) }
	d.spawn(d.sweep)
	d.renewals.Go(func() { d.renew(calls) })
	d.watch.begin()
	d.gate.Unlock()
	for _, l := range d.all() {
		l.kick()
	}
	return nil
}

// begin begins a task, unless the dispatcher is not started yet, or stopped. It reports whether it did.
func (d *Dispatcher) begin(t task) bool {
	d.gate.RLock()
	defer d.gate.RUnlock()
	if d.spawn == nil || d.stopped {
		return false
	}
	d.spawn(t)
	return true
}

// Stop takes nothing more, and waits for the calls that were made until ctx ends; what is not answered then
// is given back. It is safe to call before Start, and twice. It returns ctx's error if calls were given back.
func (d *Dispatcher) Stop(ctx context.Context) error {
	d.gate.Lock()
	d.stopped = true
	started := d.spawn != nil
	d.gate.Unlock()
	if !started {
		return nil
	}
	d.stopping()
	d.watch.interrupt()
	over := make(chan struct{})
	go func() { defer close(over); d.work.Wait() }()
	var err error
	select {
	case <-over:
	case <-ctx.Done():
		err = ctx.Err()
		d.abort()
		<-over
	}
	d.abort()
	d.renewals.Wait()
	d.cfg.Callbacks.CloseIdleConnections()
	return err
}

// Set gives a function's lane its spec and subscriptions, and begins to deliver. The consumer groups must
// exist.
func (d *Dispatcher) Set(f hearth.Function, subs []Subscription) {
	d.mu.Lock()
	l := d.lanes[f.Name()]
	if l == nil {
		// Otherwise it is back and still holds its deliveries: they are not lost.
		if l = d.ended[f.Name()]; l == nil {
			l = &lane{d: d, name: f.Name(), queues: map[wire.Subscription]*queue{}}
		}
		delete(d.ended, f.Name())
		d.lanes[f.Name()] = l
	}
	d.mu.Unlock()
	removed := l.set(f, subs)
	for _, s := range removed {
		d.watch.remove(s)
	}
	l.kick()
}

// Delete takes nothing more for a function. Calls in flight go on, and keep their leases. settled is closed
// when the last of them is settled.
func (d *Dispatcher) Delete(n hearth.Name) (settled <-chan struct{}) {
	d.mu.Lock()
	l := d.lanes[n]
	if l != nil {
		delete(d.lanes, n)
		d.ended[n] = l
	}
	d.mu.Unlock()
	if l == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	for _, s := range l.clear() {
		d.watch.remove(s)
		d.failures.forget(s)
	}
	settled = l.whenSettled()
	d.forget(l)
	return settled
}

// forget drops a deleted lane once it holds nothing.
func (d *Dispatcher) forget(l *lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended[l.name] == l && l.isIdle() {
		delete(d.ended, l.name)
	}
}

// Notify tells the dispatcher that a subscription has a new message. It is a shortcut: without it the watcher
// finds the message a little later.
func (d *Dispatcher) Notify(n hearth.Name, s wire.Subscription) {
	if l := d.lane(n); l != nil {
		l.notify(s)
	}
}

// RoomMade tells the dispatcher that a function may have room for more calls.
func (d *Dispatcher) RoomMade(n hearth.Name) {
	if l := d.lane(n); l != nil {
		l.kick()
	}
}

// Backlog returns the queues of a function that may have messages for which it has no room now.
func (d *Dispatcher) Backlog(n hearth.Name) []wire.Subscription {
	if l := d.lane(n); l != nil {
		return l.full()
	}
	return nil
}

// IsPaused reports whether a queue of a function was paused when the dispatcher last looked.
func (d *Dispatcher) IsPaused(n hearth.Name, s wire.Subscription) bool {
	l := d.lane(n)
	return l != nil && l.isPaused(s)
}

// Cancelled tells the dispatcher that calls were deleted from a function's queue, and breaks off those in
// flight. Another instance breaks off its own when it renews their leases.
func (d *Dispatcher) Cancelled(n hearth.Name, ids []string) {
	d.mu.Lock()
	l := d.lanes[n]
	if l == nil {
		l = d.ended[n]
	}
	d.mu.Unlock()
	if l != nil {
		l.breakOff(redis.CallsOf(n), ids)
	}
}

func (d *Dispatcher) lane(n hearth.Name) *lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lanes[n]
}

// fired is called by a watcher when streams have new entries.
func (d *Dispatcher) fired(subs []wire.Subscription) {
	for _, s := range subs {
		n, err := hearth.ParseName(s.Group)
		if err == nil {
			d.Notify(n, s)
		}
	}
}

// LookAgain lets all lanes look at their queues: after Redis was unavailable, or another instance has left
// work behind.
func (d *Dispatcher) LookAgain() {
	for _, l := range d.all() {
		l.notifyAll()
	}
}

// sweep looks for pending messages that nobody holds, every SweepEvery.
func (d *Dispatcher) sweep(taking, _ context.Context) {
	tick := time.NewTicker(d.cfg.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-taking.Done():
			return
		case <-tick.C:
		}
		for _, l := range d.all() {
			l.sweep(taking)
		}
	}
}

func (d *Dispatcher) all() []*lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.lanes))
}

// draining returns the deleted lanes that still have calls.
func (d *Dispatcher) draining() []*lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.ended))
}

// persist writes an outcome to Redis, and repeats that until it succeeds or the dispatcher must stop. calls
// is the context of all calls.
func (d *Dispatcher) persist(calls context.Context, what string, do func(context.Context) error) {
	wait := 20 * time.Millisecond
	for {
		once, cancel := context.WithTimeout(context.WithoutCancel(calls), 10*time.Second)
		err := do(once)
		cancel()
		if err == nil {
			return
		}
		if hearth.CodeOf(err) != hearth.Unavailable || isStopping(calls) {
			if !errors.Is(err, context.Canceled) {
				d.cfg.Log.Error("outcome lost; the message is delivered again", "step", what, "error", err)
			}
			return
		}
		select {
		case <-time.After(wait):
		case <-calls.Done():
		}
		wait = min(2*wait, 2*time.Second)
	}
}
