package meter

import (
	"context"
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
	Queue    *redis.Client
	Log      *slog.Logger
	Instance string // of this instance, which no other one has

	// Load is what a function has done, since it was deployed or this instance began.
	// ok is false if there is no such function.
	Load func(hearth.Name) (l router.Load, ok bool)
	// Function is the spec of a function that is deployed, or was removed just now.
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

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// New makes a meter. It writes nothing before Start.
func New(cfg Config) *Meter {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Prices == (Prices{}) {
		cfg.Prices = LambdaPrices()
	}
	m := &Meter{cfg: cfg, functions: map[hearth.Name]*function{}, draining: map[*function]bool{},
		books: books{cfg: cfg, days: map[time.Time]*book{}}}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// Start begins to look and to write.
func (m *Meter) Start() { m.work.Go(m.run) }

// Stop looks once more and writes what is left, for at most 2 s. It is safe to call before Start, and twice.
func (m *Meter) Stop() {
	if m.ctx.Err() != nil {
		return
	}
	m.stop()
	m.work.Wait()
	m.look()
	m.save(context.Background())
}

func (m *Meter) run() {
	look, save := time.NewTicker(lookEvery), time.NewTicker(saveEvery)
	defer look.Stop()
	defer save.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-look.C:
			m.look()
		case <-save.C:
			m.save(m.ctx)
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
