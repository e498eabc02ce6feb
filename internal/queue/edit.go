package queue

import (
	"context"
	"errors"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// Edited is a dead letter that was edited.
type Edited struct {
	Queue string `json:"queue"`
	Was   string `json:"edited"` // id of the dead letter, which is gone
	ID    string `json:"id"`     // of the message that replaces it
}

// Edit replaces a dead letter by a copy with another body, and queues it with all its attempts. It may be
// repeated after a lost answer: it is made once. It returns an error of code NotFound if there is no such
// dead letter, Conflict if it was edited in another way before, or its message is gone, and Exhausted if the
// queue would pass its limit.
func (a *Admin) Edit(ctx context.Context, queue, id string, e redis.Edit) (Edited, error) {
	queues, err := a.Find(ctx, queue, "")
	if err != nil {
		return Edited{}, err
	}
	q := queues[0]
	n, err := hearth.ParseName(q.sub.Group)
	if err != nil {
		return Edited{}, err
	}
	copied, err := a.cfg.Redis.Edit(ctx, q.sub, id, e, a.cfg.Limit(n).Or(hearth.DefaultQueueLimit))
	switch {
	case errors.Is(err, redis.ErrNotDead):
		return Edited{}, noDeadLetter(q.Name, id)
	case errors.Is(err, redis.ErrEditedBefore):
		return Edited{}, hearth.Errorf(hearth.Conflict,
			"the dead letter %s of the queue %s was edited in another way, and became the message %s",
			id, q.Name, copied)
	case errors.Is(err, redis.ErrEntryGone):
		return Edited{}, hearth.Errorf(hearth.Conflict,
			"the message of the dead letter %s is gone from the queue %s, so it can only be purged",
			id, q.Name)
	case err != nil:
		return Edited{}, err
	}
	a.cfg.Notify(n, q.sub)
	return Edited{Queue: q.Name, Was: id, ID: copied}, nil
}

func noDeadLetter(queue, id string) error {
	return hearth.Errorf(hearth.NotFound, "there is no dead letter %.80q in the queue %s", id, queue)
}
