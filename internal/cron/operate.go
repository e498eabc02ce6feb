package cron

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Schedule is a function's schedule as operators see it.
type Schedule struct {
	Function  string      `json:"function"`
	Namespace string      `json:"namespace"`
	Schedule  string      `json:"schedule"`
	Next      []time.Time `json:"next"` // the next ticks; none while it is paused
	Last      *LastRun    `json:"last"` // null if it has not run yet
	Paused    bool        `json:"paused"`
	PausedAt  *time.Time  `json:"paused_at,omitempty"`
}

// A LastRun is the last call of a schedule.
type LastRun struct {
	At     time.Time `json:"at"` // its tick, or when it was run at once
	CallID string    `json:"call_id"`
	// State is queued, in_flight, retrying or dead; ended if it was answered, cancelled or purged, of which
	// the record of calls knows more; unknown if the queue is too long to tell.
	State string `json:"state"`
}

// listedTicks is how many of the next ticks List returns.
const listedTicks = 5

// List returns the schedules of all functions, by name, as they are in Redis.
func (s *Scheduler) List(ctx context.Context) ([]Schedule, error) {
	s.mu.Lock()
	jobs := make([]job, 0, len(s.jobs))
	for _, j := range s.jobs {
		jobs = append(jobs, *j)
	}
	s.mu.Unlock()
	slices.SortFunc(jobs, func(a, b job) int { return strings.Compare(a.name.String(), b.name.String()) })
	list := make([]Schedule, 0, len(jobs))
	for _, j := range jobs {
		cursor, err := s.cfg.Queue.ReadCursor(ctx, j.name)
		if err != nil && !errors.Is(err, redis.ErrBadCursor) { // a bad one counts as none, and is replaced
			return nil, err
		}
		shown, err := s.show(ctx, &j, cursor)
		if err != nil {
			return nil, err
		}
		list = append(list, shown)
	}
	return list, nil
}

// show returns a job as operators see it. cursor is as it is in Redis.
func (s *Scheduler) show(ctx context.Context, j *job, cursor redis.Cursor) (Schedule, error) {
	shown := Schedule{
		Function:  j.name.Function,
		Namespace: j.name.Namespace,
		Schedule:  j.schedule.String(),
		Next:      []time.Time{},
		Paused:    cursor.Paused > 0,
	}
	if shown.Paused {
		at := time.UnixMilli(cursor.Paused).UTC()
		shown.PausedAt = &at
	} else {
		for at := time.Now().UTC(); len(shown.Next) < listedTicks; {
			at = j.schedule.Next(at)
			shown.Next = append(shown.Next, at)
		}
	}
	at, call := cursor.LastRun()
	if call == "" {
		return shown, nil
	}
	state, err := s.cfg.Queue.StateOf(ctx, j.name, call, at)
	if err != nil {
		return shown, err
	}
	shown.Last = &LastRun{At: at, CallID: call, State: string(state)}
	switch state {
	case redis.InFlight:
		shown.Last.State = "in_flight"
	case redis.Delayed: // a tick is never delayed by its caller
		shown.Last.State = "retrying"
	}
	return shown, nil
}

// Pause stops the ticks of a function's schedule in all instances, until Resume, and returns the schedule. It
// returns an error of code NotFound if the function has none. A second Pause changes nothing.
func (s *Scheduler) Pause(ctx context.Context, n hearth.Name) (Schedule, error) {
	return s.pause(ctx, n, true)
}

// Resume ends a pause, and returns the schedule. Ticks that were due meanwhile count as missed: the newest is
// queued now. A second Resume changes nothing.
func (s *Scheduler) Resume(ctx context.Context, n hearth.Name) (Schedule, error) {
	return s.pause(ctx, n, false)
}

func (s *Scheduler) pause(ctx context.Context, n hearth.Name, paused bool) (Schedule, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	j, err := s.ready(ctx, n)
	if err != nil {
		return Schedule{}, err
	}
	was := j.cursor.Paused > 0
	cursor, err := s.cfg.Queue.PauseSchedule(ctx, n, j.cursor, paused)
	if err != nil {
		return Schedule{}, s.changedElsewhere(j, err)
	}
	last := cursor.Done()
	s.set(func() { j.cursor, j.last, j.at = cursor, last, time.Time{} })
	s.wake()
	if paused != was {
		s.cfg.Log.Info(map[bool]string{true: "paused schedule", false: "resumed schedule"}[paused],
			"function", n.String())
	}
	return s.show(ctx, j, cursor)
}

// Run queues a call of a function's schedule at once, as a tick of now, and returns the id of the call. The
// ticks of the schedule stay as they are. It returns an error of code NotFound if the function has none, and
// Exhausted if its queue is full.
func (s *Scheduler) Run(ctx context.Context, n hearth.Name) (callID string, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	j, err := s.ready(ctx, n)
	if err != nil {
		return "", err
	}
	t := tick(j.schedule, momentOf(time.Now()))
	cursor, err := s.cfg.Queue.RunSchedule(ctx, n, j.cursor, t, j.limit)
	if err != nil {
		return "", s.changedElsewhere(j, err)
	}
	s.set(func() { j.cursor = cursor; j.fired++ })
	s.cfg.Notify(n, redis.CallsOf(n))
	s.cfg.Log.Info("queued scheduled invocation by hand", "function", n.String(), "call_id", t.CallID)
	return t.CallID, nil
}

// momentOf returns a time to the millisecond that no schedule names, since ticks have whole seconds: a
// function may tell its invocations apart by X-Schedule-Time.
func momentOf(now time.Time) time.Time {
	now = now.Truncate(time.Millisecond)
	if now.Truncate(time.Second).Equal(now) {
		now = now.Add(time.Millisecond)
	}
	return now
}

// ready returns the job of a function, which Redis knows. s.writing is held.
func (s *Scheduler) ready(ctx context.Context, n hearth.Name) (*job, error) {
	j := s.jobs[n]
	if j == nil {
		return nil, hearth.Errorf(hearth.NotFound, "the function %s has no schedule in the namespace %s",
			n.Function, n.Namespace)
	}
	return j, s.keep(ctx, j)
}

// changedElsewhere returns the error for a schedule that is another one in Redis.
func (s *Scheduler) changedElsewhere(j *job, err error) error {
	if !errors.Is(err, redis.ErrOtherSchedule) && !errors.Is(err, redis.ErrBadCursor) {
		return err
	}
	s.set(func() { j.reread = true })
	return hearth.Errorf(hearth.Conflict,
		"the schedule of %s was changed by another instance: try again: %w", j.name.Function, err)
}
