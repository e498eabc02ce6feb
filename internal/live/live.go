package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
)

// Config is what a Live works with. All fields but Standby, Recorded, Fast and Slow are required.
type Config struct {
	// Functions returns the deployed functions.
	Functions func() []hearth.Function
	// Load returns what a function does here. It is router.Router's.
	Load func(hearth.Name) (router.Load, bool)
	// Standby returns how many standby replicas a function has. Defaults to none.
	Standby func(hearth.Name) int
	// Queues returns all queues. It asks Redis.
	Queues func(context.Context) ([]queue.Queue, error)
	Redis  *redis.Client
	// Recorded means that Redis has a record of the calls that have ended.
	Recorded bool

	Instance string
	Version  string
	Log      *slog.Logger

	// Fast is how often it samples while somebody watches. Defaults to 1 s.
	Fast time.Duration
	// Slow is how often it samples otherwise. Defaults to 15 s.
	Slow time.Duration
}

const (
	patience     = 2 * time.Second // with Redis, for one sample
	presentEvery = time.Minute     // how often the instance announces itself
	maxWatchers  = 100
)

// A Live samples, and has the last snapshot.
type Live struct {
	cfg     Config
	started time.Time
	stop    context.CancelFunc // nil before Start
	work    sync.WaitGroup
	wake    chan struct{} // somebody watches

	sampling  sync.Mutex // one sample at a time; it guards the next fields
	mark      string     // of Redis, at the last measurement
	measured  time.Time
	queues    []Queue // as they were then
	books     books
	present   []redis.Instance
	asked     time.Time // when instances were listed
	announced time.Time // when this instance has announced itself

	mu       sync.Mutex
	watchers int
	redis    Redis
	waiting  map[hearth.Name]int // queued messages of each function that has some
	body     []byte              // the state that watchers know
	text     []byte              // the snapshot of it
	changed  chan struct{}       // closed when there is another
}

// New makes a Live. It samples nothing before Start.
func New(cfg Config) *Live {
	if cfg.Standby == nil {
		cfg.Standby = func(hearth.Name) int { return 0 }
	}
	if cfg.Fast == 0 {
		cfg.Fast = time.Second
	}
	if cfg.Slow == 0 {
		cfg.Slow = 15 * time.Second
	}
	now := time.Now()
	return &Live{
		cfg:     cfg,
		started: now,
		wake:    make(chan struct{}, 1),
		books:   books{recorded: cfg.Recorded},
		redis:   Redis{Available: true, Since: now.UTC().Truncate(time.Second)},
		changed: make(chan struct{}),
	}
}

// Start samples once, and then goes on until Stop. The end of ctx does not stop it. It returns an error if it
// was started before.
func (l *Live) Start(ctx context.Context) error {
	if l.stop != nil {
		return errors.New("start the sampler: it was started before")
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.sample(ctx)
	l.work.Go(func() { l.run(ctx) })
	return nil
}

// Stop ends the sampling, and tells other instances until ctx ends. It is safe to call before Start, and
// twice.
func (l *Live) Stop(ctx context.Context) error {
	if l.stop == nil {
		return nil
	}
	l.stop()
	l.work.Wait()
	return l.cfg.Redis.Depart(ctx, l.cfg.Instance) // else it is forgotten soon
}

func (l *Live) run(ctx context.Context) {
	for {
		every := l.cfg.Slow
		if l.watched() {
			every = l.cfg.Fast
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.wake:
			timer.Stop()
			continue
		case <-timer.C:
		}
		l.sample(ctx)
	}
}

func (l *Live) watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watchers > 0
}

// Watch begins to watch, with a sample of now. Call leave at the end. It returns an error of code Exhausted
// if too many watch.
func (l *Live) Watch(ctx context.Context) (leave func(), err error) {
	l.mu.Lock()
	if l.watchers >= maxWatchers {
		l.mu.Unlock()
		return nil, hearth.Errorf(hearth.Exhausted, "%d programs watch already, which is the limit",
			maxWatchers)
	}
	l.watchers++
	l.body = nil // the newcomer gets a snapshot of now
	l.mu.Unlock()
	l.sample(ctx)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.watchers--
	}), nil
}

// Snapshot returns the last snapshot as JSON, and a channel that is closed when there is another.
func (l *Live) Snapshot() (text []byte, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text, l.changed
}

// Queued returns how many messages wait in the queues of a function, as of the last sample.
func (l *Live) Queued(n hearth.Name) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting[n]
}

// sample looks at everything, and tells watchers if something has changed.
func (l *Live) sample(ctx context.Context) {
	l.sampling.Lock()
	defer l.sampling.Unlock()
	inTime, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now := time.Now()
	err := l.measure(inTime, now)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.cfg.Log.Debug("queues could not be sampled", "error", err)
	}
	l.meet(inTime, now)
	watched := l.watched()
	s := state{Redis: l.answered(err == nil, now), Queues: l.aged(now)}
	if l.books.queues != nil {
		dead := 0
		for _, q := range s.Queues {
			dead += q.Dead
		}
		ledger := l.books.ledger(dead)
		s.Ledger = &ledger
	}
	l.noteWaiting(s.Queues)
	if !watched {
		l.queues, l.mark = nil, "" // they take memory for each function; the next look asks for them anew
		return
	}
	s.Functions = l.functionsOf()
	withQueues(s.Functions, s.Queues)
	l.publish(s, now)
}

// publish makes a snapshot of a state that is another one.
func (l *Live) publish(s state, now time.Time) {
	body, err := json.Marshal(s)
	if err != nil { // a state can always be encoded
		panic(err)
	}
	names := make([]string, len(l.present))
	for i, p := range l.present {
		names[i] = p.Name
	}
	slices.Sort(names)
	for _, name := range names {
		body = append(append(body, '\n'), name...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Equal(body, l.body) {
		return
	}
	l.body, l.text = body, encode(now, s, l.present)
	close(l.changed)
	l.changed = make(chan struct{})
}

// measure asks Redis for the queues if messages were moved since the last time, and now and then anyway.
func (l *Live) measure(ctx context.Context, now time.Time) error {
	mark, err := l.cfg.Redis.Mark(ctx)
	if err != nil {
		return err
	}
	if mark != "" && mark == l.mark && now.Sub(l.measured) < l.cfg.Slow {
		return nil
	}
	list, err := l.cfg.Queues(ctx)
	if err != nil {
		return err
	}
	subs := make([]wire.Subscription, len(list))
	for i, q := range list {
		subs[i] = q.Subscription()
	}
	totals, err := l.cfg.Redis.Totals(ctx, subs)
	if err != nil {
		return err
	}
	queues := make([]Queue, len(list))
	for i, q := range list {
		queues[i] = Queue{Queue: q}
		if totals != nil {
			t := totals[i]
			done := t.Added - min(t.Added, uint64(t.Length))
			queues[i].AcceptedTotal, queues[i].DoneTotal = &t.Added, &done
		}
	}
	if totals != nil || len(list) == 0 {
		l.books.add(list, totals, now)
	}
	l.queues, l.measured, l.mark = queues, now, mark
	return nil
}

// aged returns the queues, whose oldest messages have grown older since they were measured.
func (l *Live) aged(now time.Time) []Queue {
	list := slices.Clone(l.queues)
	for i := range list {
		if list[i].Oldest > 0 {
			list[i].Oldest += now.Sub(l.measured).Seconds()
			list[i].Oldest = float64(int64(list[i].Oldest*10)) / 10
		}
	}
	if list == nil {
		list = []Queue{}
	}
	return list
}

// meet announces this instance, and lists all.
func (l *Live) meet(ctx context.Context, now time.Time) {
	if now.Sub(l.announced) >= presentEvery {
		if l.cfg.Redis.Announce(ctx, redis.Instance{
			Name:    l.cfg.Instance,
			Version: l.cfg.Version,
			Started: l.started,
			Seen:    now,
		}) == nil {
			l.announced = now
		}
	}
	if l.present != nil && now.Sub(l.asked) < l.cfg.Slow {
		return
	}
	if all, err := l.cfg.Redis.Instances(ctx, now); err == nil {
		l.present, l.asked = all, now
	}
	if len(l.present) == 0 {
		l.present = []redis.Instance{{Name: l.cfg.Instance, Version: l.cfg.Version, Started: l.started}}
	}
}

// answered notes whether Redis answers.
func (l *Live) answered(available bool, now time.Time) Redis {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.redis.Available != available {
		l.redis = Redis{Available: available, Since: now.UTC().Truncate(time.Second)}
	}
	return l.redis
}

// noteWaiting keeps how many messages wait for each function.
func (l *Live) noteWaiting(queues []Queue) {
	waiting := map[hearth.Name]int{}
	for _, q := range queues {
		if q.Queued == 0 {
			continue
		}
		if n, err := hearth.ParseName(q.Function); err == nil {
			waiting[n] += q.Queued
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = waiting
}
