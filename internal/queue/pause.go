package queue

import (
	"context"
	"errors"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// Pause stops the deliveries of a queue in all instances, until Resume. The queue accepts messages, and what
// is in flight ends as usual. It returns the queue as it is then. A second Pause changes nothing.
func (a *Admin) Pause(ctx context.Context, q Queue) (Queue, error) {
	since, err := a.cfg.Redis.Pause(ctx, q.sub)
	if errors.Is(err, redis.ErrNoGroup) {
		return q, hearth.Errorf(hearth.NotFound, "there is no queue %s any more", q.Name)
	}
	if err != nil {
		return q, err
	}
	q.Paused, q.PausedAt = true, &since
	return q, a.tell(ctx, q)
}

// Resume ends the pause of a queue, and its messages are delivered at once. It returns the queue as it is
// then. A second Resume changes nothing.
func (a *Admin) Resume(ctx context.Context, q Queue) (Queue, error) {
	if err := a.cfg.Redis.Resume(ctx, q.sub); err != nil {
		return q, err
	}
	q.Paused, q.PausedAt = false, nil
	return q, a.tell(ctx, q)
}

// tell lets the dispatchers of all instances look at a queue. One that does not hear of it looks by itself,
// some seconds later.
func (a *Admin) tell(ctx context.Context, q Queue) error {
	if n, err := hearth.ParseName(q.sub.Group); err == nil {
		a.cfg.Notify(n, q.sub)
	}
	_, err := a.cfg.Redis.Tell(ctx, hearth.Name{}, "")
	return err
}
