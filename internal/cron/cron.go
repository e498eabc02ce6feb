package cron

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/schedule"
)

// Config is what a scheduler works with.
type Config struct {
	// Queue is the Redis that has the cursors and the functions' queues. Required.
	Queue *redis.Client
	// Log gets what the scheduler does. Required.
	Log *slog.Logger

	// Notify reports each queue that received a tick, so that it is delivered at once. It is
	// dispatch.Dispatcher's. Required.
	Notify func(hearth.Name, wire.Subscription)

	// QueueLimit is how much one function's queue may hold, if its annotations say nothing else. Defaults to
	// hearth.DefaultQueueLimit.
	QueueLimit hearth.QueueLimit
}

const (
	longestSleep  = time.Minute
	shortestPause = 50 * time.Millisecond // after Redis was unavailable
	longestPause  = 5 * time.Second
	tryAgain      = time.Second // a tick that a function's queue had no room for
	late          = time.Second // from here on it is said how late a tick was
)

// A Scheduler fires the ticks of all functions.
type Scheduler struct {
	cfg     Config
	changed chan struct{} // a job came

	life    sync.Mutex         // of Start and Stop
	cancel  context.CancelFunc // ends the loop; nil before Start
	stopped bool
	work    sync.WaitGroup

	// writing is held while something about a job is written to Redis, so that a removed job leaves nothing
	// there. It is taken before mu. The jobs change only while both are held.
	writing sync.Mutex
	mu      sync.Mutex
	jobs    map[hearth.Name]*job
}

// A job is one function's schedule.
type job struct {
	name     hearth.Name
	schedule schedule.Schedule
	limit    hearth.QueueLimit
	created  time.Time // when the function was
	since    time.Time // when it was deployed with the schedule
	kept     bool      // Redis knows the schedule
	reread   bool      // the cursor in Redis is not the one that was kept
	cursor   redis.Cursor
	last     time.Time  // the last tick that is done
	at       time.Time  // when to look at it
	tick     redis.Tick // the one that is being tried
	trouble  string     // why it cannot be queued: said once
	fired    int
}

// New makes a scheduler, which does nothing before Start. It returns an error if the configuration lacks
// something.
func New(cfg Config) (*Scheduler, error) {
	if cfg.Queue == nil || cfg.Log == nil || cfg.Notify == nil {
		return nil, errors.New("make a scheduler: Queue, Log and Notify are required")
	}
	if cfg.QueueLimit == (hearth.QueueLimit{}) {
		cfg.QueueLimit = hearth.DefaultQueueLimit
	}
	return &Scheduler{cfg: cfg, changed: make(chan struct{}, 1), jobs: map[hearth.Name]*job{}}, nil
}

// Start begins to fire, and returns at once. The end of ctx does not stop it: Stop does. A second Start does
// nothing. It returns an error if the scheduler was stopped before.
func (s *Scheduler) Start(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	switch {
	case s.stopped:
		return errors.New("start the scheduler: it was stopped before")
	case s.cancel != nil:
		return nil
	}
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.work.Go(func() { s.run(loop) })
	return nil
}

// Stop ends firing, and waits for the tick that is being queued until ctx ends. It is safe to call before
// Start, and twice. It returns ctx's error if ctx ends first.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.life.Lock()
	s.stopped = true
	if s.cancel != nil {
		s.cancel()
	}
	s.life.Unlock()
	over := make(chan struct{})
	go func() { defer close(over); s.work.Wait() }()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Set makes a function's schedule what its spec says, or none. It stores the schedule in Redis before it
// returns, or later if Redis is unavailable.
func (s *Scheduler) Set(ctx context.Context, f hearth.Function) {
	if f.Schedule.IsZero() {
		s.Delete(ctx, f.Name())
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	j := s.jobs[f.Name()]
	if j == nil || j.schedule.String() != f.Schedule.String() || !j.created.Equal(f.CreatedAt) {
		var known redis.Cursor
		if j != nil {
			known = j.cursor
		}
		j = &job{
			name:     f.Name(),
			schedule: f.Schedule,
			created:  f.CreatedAt,
			since:    f.DeployedAt,
			cursor:   known,
			last:     f.DeployedAt,
		}
		s.jobs[f.Name()] = j
	} else if j.kept { // else Redis has yet to hear of the earlier deployment, and what was missed since
		j.since = f.DeployedAt
	}
	j.limit = f.Queue.Or(s.cfg.QueueLimit)
	// Stored again: Redis may have lost it, or have another one.
	j.kept, j.at, j.trouble = false, time.Time{}, ""
	s.mu.Unlock()
	if err := s.keep(ctx, j); err != nil && hearth.CodeOf(err) != hearth.Unavailable {
		s.cfg.Log.Error("could not save schedule; will retry",
			"function", f.Name().String(), "error", err)
	}
	s.wake()
}

// wake lets the loop look at the jobs that are due.
func (s *Scheduler) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Forget stops the schedule of a function that another instance has removed.
func (s *Scheduler) Forget(n hearth.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, n)
}

// Delete forgets a function's schedule, here and in Redis.
func (s *Scheduler) Delete(ctx context.Context, n hearth.Name) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	known := s.jobs[n] != nil
	delete(s.jobs, n)
	s.mu.Unlock()
	if err := s.cfg.Queue.ForgetSchedule(ctx, n); err != nil && known {
		s.cfg.Log.Warn("could not remove schedule from Redis; it has no effect",
			"function", n.String(), "error", err)
	}
}

// A State is what there is to know about a function's schedule.
type State struct {
	Name  hearth.Name
	Fired int       // ticks that this instance queued
	Next  time.Time // the next tick; in the past while it cannot be queued

	// Paused says that no ticks are queued, as far as this instance knows. Next is then the next tick if the
	// schedule is resumed.
	Paused bool
}

// States are those of all functions that have a schedule.
func (s *Scheduler) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]State, 0, len(s.jobs))
	for _, j := range s.jobs {
		state := State{Name: j.name, Fired: j.fired, Paused: j.cursor.Paused > 0}
		if state.Next = j.schedule.Next(j.last); state.Paused {
			state.Next = j.schedule.Next(time.Now())
		}
		list = append(list, state)
	}
	return list
}

func (s *Scheduler) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := shortestPause
	for {
		next, err := s.runOnce(ctx, time.Now())
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = shortestPause
		} else {
			if pause == shortestPause {
				s.cfg.Log.Warn("could not queue ticks; will retry", "error", err)
			}
			next, pause = time.Now().Add(pause), min(2*pause, longestPause)
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-timer.C:
		}
	}
}

// runOnce looks at each job that is due, and returns when to look again. That is soon if looking at a job
// failed. An error means that no job can be looked at.
func (s *Scheduler) runOnce(ctx context.Context, now time.Time) (next time.Time, err error) {
	s.mu.Lock()
	var due []*job
	for _, j := range s.jobs {
		if !j.at.After(now) {
			due = append(due, j)
		}
	}
	s.mu.Unlock()
	for _, j := range due {
		if err := s.look(ctx, j, now); hearth.CodeOf(err) == hearth.Unavailable {
			return now, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next = now.Add(longestSleep)
	for _, j := range s.jobs {
		if j.at.Before(next) {
			next = j.at
		}
	}
	return next, nil
}

// look fires what is to be fired of a job.
func (s *Scheduler) look(ctx context.Context, j *job, now time.Time) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.jobs[j.name] != j {
		return nil
	}
	if err := s.keep(ctx, j); err != nil {
		return s.failed(j, now.Add(tryAgain), err)
	}
	fire, next := decide(j.schedule, j.last, now)
	if fire.IsZero() {
		s.set(func() { j.at = next })
		return nil
	}
	if !j.tick.Time.Equal(fire) { // else it is tried again, and known by its call id if it was queued
		s.set(func() { j.tick = tick(j.schedule, fire) })
	}
	cursor, fired, err := s.cfg.Queue.Tick(ctx, j.name, j.cursor, j.tick, j.limit)
	s.set(func() {
		j.cursor = cursor
		if errors.Is(err, redis.ErrOtherSchedule) || errors.Is(err, redis.ErrBadCursor) {
			j.reread = true
		}
	})
	if errors.Is(err, redis.ErrSchedulePaused) { // look again at the next tick: somebody may resume it
		s.set(func() { j.at, j.trouble = next, "" })
		return nil
	}
	if errors.Is(err, redis.ErrOtherSchedule) {
		return s.failed(j, next, err)
	}
	if err != nil {
		return s.failed(j, now.Add(tryAgain), err)
	}
	s.set(func() { j.last, j.at, j.trouble = fire, next, "" })
	if !fired {
		return nil // another instance was first
	}
	s.set(func() { j.fired++ })
	s.cfg.Notify(j.name, redis.CallsOf(j.name))
	log := s.cfg.Log.With("function", j.name.String(), "scheduled", fire.Format(time.RFC3339),
		"call_id", j.tick.CallID, "next", next.Format(time.RFC3339))
	if after := now.Sub(fire); after >= late {
		log = log.With("late", after.Round(time.Millisecond).String())
	}
	log.Info("queued scheduled invocation")
	return nil
}

// set changes a job's fields.
func (s *Scheduler) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// keep notes a job's schedule in Redis, unless that is done.
func (s *Scheduler) keep(ctx context.Context, j *job) error {
	if j.kept && !j.reread {
		return nil
	}
	cursor, err := s.cfg.Queue.KeepSchedule(ctx, j.name, j.schedule.String(), j.created, j.since, j.cursor)
	s.set(func() { j.cursor = cursor })
	if err != nil {
		return err
	}
	last := cursor.Done()
	s.set(func() { j.kept, j.reread, j.last = true, false, last })
	if cursor.Schedule != j.schedule.String() { // another instance has a later one
		return nil
	}
	s.cfg.Log.Info("scheduled",
		"function", j.name.String(), "schedule", j.schedule.String(),
		"next", j.schedule.Next(last).Format(time.RFC3339))
	return nil
}

// failed logs once why a tick cannot be queued, and returns the reason.
func (s *Scheduler) failed(j *job, again time.Time, err error) error {
	if hearth.CodeOf(err) == hearth.Unavailable || errors.Is(err, context.Canceled) {
		return err // not the fault of this job
	}
	said := j.trouble == err.Error()
	s.set(func() { j.at, j.trouble = again, err.Error() })
	if said {
		return err
	}
	log := s.cfg.Log.With("function", j.name.String(), "schedule", j.schedule.String(), "error", err)
	if errors.Is(err, redis.ErrOtherSchedule) {
		log.Warn("schedule was changed or removed by another instance; paused here until it is followed")
	} else {
		log.Warn("could not queue scheduled invocation; will retry until the next tick")
	}
	return err
}

// tick is the call for one time of a schedule. See https://docs.openfaas.com/reference/cron/.
func tick(s schedule.Schedule, when time.Time) redis.Tick {
	return redis.Tick{
		Schedule: s.String(),
		Time:     when,
		Entry: wire.Entry{
			CallID: uuid.NewString(),
			Method: http.MethodPost,
			Header: http.Header{
				wire.HeaderTopic:        {wire.TopicCron},
				wire.HeaderScheduleTime: {when.UTC().Format(time.RFC3339Nano)}, // a tick has whole seconds
			},
		},
	}
}
