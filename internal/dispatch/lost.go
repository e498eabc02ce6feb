package dispatch

import (
	"context"
	"slices"
	"time"
)

// A group that is not there is one of two things: its subscription was removed by another hearth, which is no news; or Redis has
// lost it, which must be said.

const (
	lostAgain = time.Second      // before a queue whose group is missing is looked at once more: it may be on its way out
	lostPause = 15 * time.Second // before a queue whose group is lost is
)

// lost finds out which it is, and returns after how long to look again, or a negative duration.
func (l *lane) lost(ctx context.Context, q *queue) time.Duration {
	s := q.Subscription.Subscription
	noted, err := l.d.cfg.Queue.Noted(ctx, s)
	if err != nil {
		return lostAgain
	}
	log := l.d.cfg.Log.With("function", l.name.String(), "queue", s.String())
	if !noted {
		log.Debug("a subscription was removed by another hearth")
		l.drop(q)
		return -1
	}
	l.mu.Lock()
	before := q.missing
	q.missing = true
	l.mu.Unlock()
	if !before { // whoever removes it may be between the group and the note
		return lostAgain
	}
	log.Error("a consumer group is gone from Redis, so nothing of this queue can be delivered; deploy the function again to make it anew, " +
		"but then what the group had done may be done again")
	return lostPause
}

// drop forgets a queue, until set brings it back.
func (l *lane) drop(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := q.Subscription.Subscription
	if l.queues[s] != q {
		return
	}
	q.removed = true
	q.quiet()
	delete(l.queues, s)
	l.turn = slices.DeleteFunc(slices.Clone(l.turn), func(other *queue) bool { return other == q })
	l.d.watch.remove(s)
}
