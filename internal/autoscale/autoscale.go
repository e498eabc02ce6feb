package autoscale

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

// Config is what an autoscaler works with.
type Config struct {
	// Load is what a function has to do; ok is false if there is no such function. It is router.Router's.
	// Required.
	Load func(hearth.Name) (l router.Load, ok bool)
	// Backlog are a function's queues that may have something which there is no
	// room for. It is dispatch.Dispatcher's. Required.
	Backlog func(hearth.Name) []wire.Subscription
	// Waiting is how much of each queue is to be taken now. It asks Redis. Required.
	Waiting func(ctx context.Context, queues []wire.Subscription) ([]int, error)
	// Usage is what a function's replicas use: asked for those only that follow their
	// processor time. It is hearth.Provider's. Required if there are such functions.
	Usage func(context.Context, hearth.Name) (hearth.Usage, error)
	// Scale makes a function have so many replicas, unless it was changed since the
	// change that the decision was made about. Required.
	Scale func(ctx context.Context, n hearth.Name, change uint64, to int) error
	Log   *slog.Logger
	// Scaled is told of each decision that was applied. Defaults to nobody.
	Scaled func(n hearth.Name, from, to int, reason string)

	// Tick is how often it looks. Defaults to 250 ms.
	Tick time.Duration
	// Stable is the window that shrinking follows from, and for which a size stays that an operator has set.
	// A longer one keeps replicas through pauses of calls. Defaults to DefaultStable.
	Stable time.Duration
	// Panic is the window that sudden growth follows from. A longer one is less
	// easily startled. Defaults to 1 s.
	Panic time.Duration
	// Drain is within which time what is queued is to be worked off, by
	// functions without labels. Defaults to 1 s.
	Drain time.Duration
}

// DefaultStable is the stable window of an autoscaler that was told none.
const DefaultStable = 30 * time.Second

const (
	askRedis = time.Second // for which Redis is waited for in one tick
	askWarm  = time.Second // between two looks at the clock
)

// An Autoscaler scales the functions that it was told of.
type Autoscaler struct {
	cfg Config

	life    sync.Mutex         // of Start and Stop
	cancel  context.CancelFunc // ends the loop and what is being applied; nil before Start
	stopped bool
	work    sync.WaitGroup

	mu        sync.Mutex
	functions map[hearth.Name]*function
}

// function is one that is scaled. It has no copy of the spec: thousands of functions sleep.
type function struct {
	replicas    int
	revision    string
	concurrency int
	warmTimes   hearth.WarmTimes
	scaling     hearth.Scaling
	change      uint64 // that made it so

	byHand   bool      // an operator has set its size
	byHandAt time.Time // when it was first looked at since; zero before that
	began    time.Time // when it got busy, after it had nothing to do for a panic window
	samples  samples
	wanted   peak
	busy     time.Time // when it was last seen with a call; zero is at the next look
	warm     int
	warmAt   time.Time // when the clock was looked at last
	cpu      float64   // thousandths of a core, times seconds, since it was first measured
	millis   float64   // thousandths of a core, lately
	cpuAt    time.Time // up to when cpu counts
	asking   bool      // what its replicas use is being measured
	applying bool      // a decision is being applied
}

// New makes an autoscaler without functions, which does nothing before Start. It returns an error if the
// configuration lacks something.
func New(cfg Config) (*Autoscaler, error) {
	switch {
	case cfg.Load == nil || cfg.Backlog == nil || cfg.Waiting == nil:
		return nil, errors.New("make an autoscaler: Load, Backlog and Waiting are required")
	case cfg.Scale == nil || cfg.Log == nil:
		return nil, errors.New("make an autoscaler: Scale and Log are required")
	case cfg.Tick < 0 || cfg.Stable < 0 || cfg.Panic < 0 || cfg.Drain < 0:
		return nil, errors.New("make an autoscaler: Tick, Stable, Panic and Drain must not be negative")
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&cfg.Tick, 250 * time.Millisecond}, {&cfg.Stable, DefaultStable}, {&cfg.Panic, time.Second},
		{&cfg.Drain, time.Second}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if cfg.Scaled == nil {
		cfg.Scaled = func(hearth.Name, int, int, string) {}
	}
	return &Autoscaler{cfg: cfg, functions: map[hearth.Name]*function{}}, nil
}

// Start begins to scale, and returns at once. The end of ctx does not stop it: Stop does. A second Start does
// nothing. It returns an error if the autoscaler was stopped before.
func (a *Autoscaler) Start(ctx context.Context) error {
	a.life.Lock()
	defer a.life.Unlock()
	switch {
	case a.stopped:
		return errors.New("start the autoscaler: it was stopped before")
	case a.cancel != nil:
		return nil
	}
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancel = cancel
	a.work.Go(func() { a.run(loop) })
	return nil
}

// Stop ends it, and waits for what is being applied until ctx ends. It is safe to call before Start, and
// twice. It returns ctx's error if ctx ends first.
func (a *Autoscaler) Stop(ctx context.Context) error {
	a.life.Lock()
	a.stopped = true
	if a.cancel != nil {
		a.cancel()
	}
	a.life.Unlock()
	over := make(chan struct{})
	go func() { defer close(over); a.work.Wait() }()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Set adds a function, or makes it known that it has another spec or another size. change tells
// this state of it from those before: a decision about an earlier one is refused. One that it
// wakes, or that is new, counts as busy now.
func (a *Autoscaler) Set(f hearth.Function, change uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set(f, change)
}

// SetByHand is Set for a size that an operator has set. It stays for a stable window, unless a call wakes the
// function; what was seen before counts no more.
func (a *Autoscaler) SetByHand(f hearth.Function, change uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn := a.set(f, change)
	fn.samples, fn.wanted, fn.busy, fn.byHand, fn.byHandAt = nil, nil, time.Time{}, true, time.Time{}
}

// set is Set. a.mu is held.
func (a *Autoscaler) set(f hearth.Function, change uint64) *function {
	fn := a.functions[f.Name()]
	if fn == nil {
		fn = &function{}
		a.functions[f.Name()] = fn
	}
	if fn.replicas == 0 || fn.revision != f.Revision {
		fn.busy = time.Time{}
	}
	if fn.replicas == 0 && f.Replicas > 0 { // a call has woken it, or its time has come
		fn.byHand = false
	}
	if f.Replicas == 0 { // it needs no memory while it sleeps
		fn.samples, fn.wanted = nil, nil
	}
	fn.replicas, fn.revision, fn.concurrency = f.Replicas, f.Revision, f.Concurrency
	fn.scaling, fn.change = f.Scaling, change
	fn.warmTimes, fn.warm, fn.warmAt = f.Warm, 0, time.Time{}
	return fn
}

// Delete forgets a function.
func (a *Autoscaler) Delete(n hearth.Name) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.functions, n)
}

func (a *Autoscaler) run(ctx context.Context) {
	ticker := time.NewTicker(a.cfg.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.runOnce(ctx, time.Now())
		}
	}
}

// Tick makes one tick at a time that the caller says, and waits until what it decided is applied. It is for
// who has another clock, and has not called Start.
func (a *Autoscaler) Tick(ctx context.Context, now time.Time) {
	a.runOnce(ctx, now)
	a.work.Wait()
}

// runOnce looks at all functions that are awake, or have a warm time, and applies what is decided.
func (a *Autoscaler) runOnce(ctx context.Context, now time.Time) {
	looked := a.look(now)
	waiting := a.waiting(ctx, looked)
	for n, l := range looked {
		a.decide(ctx, n, l, waiting[n], now)
	}
}

// look is what the functions have to do that may need another size.
func (a *Autoscaler) look(now time.Time) map[hearth.Name]router.Load {
	looked := map[hearth.Name]router.Load{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, fn := range a.functions {
		if fn.byHand && fn.byHandAt.IsZero() {
			fn.byHandAt = now
		}
		if len(fn.warmTimes) > 0 && now.Sub(fn.warmAt) >= askWarm {
			fn.warm, fn.warmAt = fn.warmTimes.Replicas(now), now
		}
		if fn.applying || fn.replicas == 0 && fn.warm == 0 {
			continue
		}
		if l, ok := a.cfg.Load(n); ok {
			looked[n] = l
		}
	}
	return looked
}

// waiting is how much waits in the queues of functions. With Redis unavailable it is
// not known, and counts as nothing.
func (a *Autoscaler) waiting(ctx context.Context, looked map[hearth.Name]router.Load) map[hearth.Name]int {
	var queues []wire.Subscription
	var owners []hearth.Name
	for n := range looked {
		for _, s := range a.cfg.Backlog(n) {
			queues, owners = append(queues, s), append(owners, n)
		}
	}
	if len(queues) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askRedis)
	defer cancel()
	counts, err := a.cfg.Waiting(ctx, queues)
	if err != nil {
		a.cfg.Log.Debug("queues could not be measured, and count as empty", "error", err)
		return nil
	}
	sums := map[hearth.Name]int{}
	for i, n := range owners {
		sums[n] += counts[i]
	}
	return sums
}

// decide decides about one function, and applies it.
func (a *Autoscaler) decide(ctx context.Context, n hearth.Name, l router.Load, waiting int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fn := a.functions[n]
	if fn == nil || fn.applying {
		return
	}
	if fn.scaling.Signal == hearth.SignalCPU {
		a.measure(ctx, n, fn, now)
	}
	if last := len(fn.samples) - 1; fn.busy.IsZero() || l.InFlight+l.Held+waiting > 0 ||
		last >= 0 && fn.samples[last].calls != l.Calls {
		if now.Sub(fn.busy) > a.cfg.Panic {
			fn.began = now.Add(-a.cfg.Tick)
		}
		fn.busy = now
	}
	fn.samples = fn.samples.add(sampleOf(l, fn.cpu, now), a.cfg.Stable)
	s := Stats{
		Present:     fn.replicas,
		Failing:     l.Failing != "" && !l.Proven,
		Warm:        fn.warm,
		Stable:      fn.samples.averageOf(a.busyPart(fn, now), a.cfg.Stable),
		Panic:       fn.samples.average(a.cfg.Panic),
		Waiting:     waiting + l.Held,
		InFlight:    l.InFlight,
		Ending:      l.Ending,
		RunTime:     fn.samples.runTime(a.cfg.Stable),
		Concurrency: fn.concurrency,
		Busy:        fn.busy,
		Highest:     fn.wanted.highest(),
	}
	if fn.byHand {
		s.ByHand = fn.byHandAt
	}
	d := Decide(s, fn.scaling, Goals{Drain: a.cfg.Drain, Keep: a.cfg.Stable}, now)
	if fn.scaling.DownWindow > 0 {
		fn.wanted = fn.wanted.add(d.Wanted, now, max(fn.scaling.DownWindow, a.cfg.Panic))
	} else {
		fn.wanted = fn.wanted.add(d.Needed, now, a.cfg.Stable)
	}
	if d.Replicas == s.Present {
		return
	}
	fn.applying = true
	change := fn.change
	a.work.Go(func() { a.apply(ctx, n, s.Present, change, d) })
}

// busyPart is the part of the stable window in which a function has been busy: what comes is not averaged
// with a time before, in which there was nothing to do. It is no shorter than the panic window. a.mu is held.
func (a *Autoscaler) busyPart(fn *function, now time.Time) time.Duration {
	return max(a.cfg.Panic, min(a.cfg.Stable, now.Sub(fn.began)))
}

// apply makes a decision so. It may have to wait for another change of the function.
func (a *Autoscaler) apply(ctx context.Context, n hearth.Name, from int, change uint64, d Decision) {
	err := a.cfg.Scale(ctx, n, change, d.Replicas)
	a.mu.Lock()
	if fn := a.functions[n]; fn != nil {
		fn.applying = false
	}
	a.mu.Unlock()
	switch code := hearth.CodeOf(err); {
	case err == nil:
		a.cfg.Log.Info("scaled", "function", n.String(), "from", from, "to", d.Replicas, "reason", d.Reason)
		a.cfg.Scaled(n, from, d.Replicas, d.Reason)
	case code == hearth.Conflict || code == hearth.NotFound || ctx.Err() != nil: // somebody else was first
	default:
		a.cfg.Log.Error("could not scale", "function", n.String(), "from", from, "to",
			d.Replicas, "error", err)
	}
}

// measure notes what a function's replicas use, and asks anew. It takes a moment to find out, so
// it is a tick or two behind. a.mu is held.
func (a *Autoscaler) measure(ctx context.Context, n hearth.Name, fn *function, now time.Time) {
	if !fn.cpuAt.IsZero() {
		fn.cpu += fn.millis * now.Sub(fn.cpuAt).Seconds()
	}
	fn.cpuAt = now
	if fn.asking {
		return
	}
	fn.asking = true
	a.work.Go(func() {
		u, err := a.cfg.Usage(ctx, n)
		a.mu.Lock()
		defer a.mu.Unlock()
		fn.asking = false
		if err == nil {
			fn.millis = u.CPU
		}
	})
}
