package meter

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
)

// Config is what a meter works with.
type Config struct {
	// Queue is the Redis that keeps what was used. Required.
	Queue *redis.Client
	// Log gets what the meter does. Required.
	Log *slog.Logger
	// Instance is the name of this instance, which no other one has. Required.
	Instance string

	// Load is what a function has done, since it was deployed or this instance began.
	// ok is false if there is no such function. Required.
	Load func(hearth.Name) (l router.Load, ok bool)
	// Function is the spec of a function that is deployed, or was removed just now. Required.
	Function func(hearth.Name) (f hearth.Function, ok bool)

	// Prices are those of the bill. Defaults to LambdaPrices.
	Prices Prices

	// Now is the clock's time. Defaults to time.Now.
	Now func() time.Time
}

const (
	lookEvery = time.Second      // an hour's end, and a change of a limit, are as sharp as this
	saveEvery = 10 * time.Second // what a kill -9 can lose
	patience  = 2 * time.Second  // with Redis

	// Retention is for how long a day is kept after it was last written.
	Retention = 90 * 24 * time.Hour

	maxFunctions = 5000 // of a day
	maxDays      = 8    // that are in memory because they could not be written
)

// Others is the name under which functions are summed up that are too many for a day.
const Others = "*"

// A Meter meters the functions of one instance.
type Meter struct {
	cfg Config

	mu        sync.RWMutex
	functions map[hearth.Name]*function
	draining  map[*function]bool // that were removed, and have not ended

	books books

	life    sync.Mutex         // of Start and Stop
	cancel  context.CancelFunc // ends the loop; nil before Start
	stopped bool
	work    sync.WaitGroup
}

// New makes a meter, which writes nothing before Start. It returns an error if the configuration lacks
// something.
func New(cfg Config) (*Meter, error) {
	switch {
	case cfg.Queue == nil || cfg.Log == nil || cfg.Instance == "":
		return nil, errors.New("make a meter: Queue, Log and Instance are required")
	case cfg.Load == nil || cfg.Function == nil:
		return nil, errors.New("make a meter: Load and Function are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Prices == (Prices{}) {
		cfg.Prices = LambdaPrices()
	}
	return &Meter{cfg: cfg, functions: map[hearth.Name]*function{}, draining: map[*function]bool{},
		books: books{cfg: cfg, days: map[time.Time]*book{}}}, nil
}

// Start begins to look and to write, and returns at once. The end of ctx does not stop it: Stop does. A
// second Start does nothing. It returns an error if the meter was stopped before.
func (m *Meter) Start(ctx context.Context) error {
	m.life.Lock()
	defer m.life.Unlock()
	switch {
	case m.stopped:
		return errors.New("start the meter: it was stopped before")
	case m.cancel != nil:
		return nil
	}
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	m.cancel = cancel
	m.work.Go(func() { m.run(loop) })
	return nil
}

// Stop looks once more and writes what is left, until ctx ends, and for at most 2 s. It is safe to call
// before Start, and twice. It returns ctx's error if that has ended: then not all may be written.
func (m *Meter) Stop(ctx context.Context) error {
	m.life.Lock()
	defer m.life.Unlock()
	if m.stopped {
		return nil
	}
	m.stopped = true
	if m.cancel != nil {
		m.cancel()
	}
	m.work.Wait()
	m.look()
	m.save(ctx)
	return ctx.Err()
}

func (m *Meter) run(ctx context.Context) {
	look, save := time.NewTicker(lookEvery), time.NewTicker(saveEvery)
	defer look.Stop()
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			m.look()
		case <-save.C:
			m.save(ctx)
		}
	}
}

// look adds what was used since the last time to the hour that the clock shows.
func (m *Meter) look() {
	m.mu.RLock()
	// the router makes recorders under a lock that Load wants
	list := slices.AppendSeq(slices.Collect(maps.Values(m.functions)), maps.Keys(m.draining))
	m.mu.RUnlock()
	for _, f := range list {
		if l, ok := f.now(); ok {
			f.look(l)
		}
	}
}

// save writes what has changed.
func (m *Meter) save(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m.books.save(ctx)
}

// Recorder begins to meter a function. It is router.Config's.
func (m *Meter) Recorder(n hearth.Name) router.Recorder {
	f := &function{m: m, name: n}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.functions[n] = f
	return f
}

// Delivered meters how long a queued call has waited, unless its function was
// removed meanwhile. It is dispatch.Config's.
func (m *Meter) Delivered(n hearth.Name, d dispatch.Delivered) {
	if d.Attempt != 1 || d.Callback || d.Outcome == dispatch.Busy {
		return
	}
	m.mu.RLock()
	f := m.functions[n]
	m.mu.RUnlock()
	if f != nil {
		f.queued(d.Waited)
	}
}

// Since is what a function used since it was deployed, or this instance began; to the second.
// ok is false if there is no such function.
func (m *Meter) Since(n hearth.Name) (u Usage, ok bool) {
	m.mu.RLock()
	f := m.functions[n]
	m.mu.RUnlock()
	if f == nil {
		return u, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	u.Add(f.since)
	return u, true
}
