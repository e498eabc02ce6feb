package dispatch

import (
	"context"
	"slices"
	"time"
)

// A missing consumer group means one of two things: another instance has removed the subscription, which is
// no news; or Redis has lost the group, which an operator must know.

const (
	// before the second look at a queue whose group is missing: it may be about to be removed
	lostAgain = time.Second
	lostPause = 15 * time.Second // before the next look at a queue whose group is lost
)

// lost finds out which it is. It returns after how long to look again; a negative duration is never.
func (l *lane) lost(ctx context.Context, q *queue) time.Duration {
	s := q.Subscription.Subscription
	noted, err := l.d.cfg.Queue.Noted(ctx, s)
	if err != nil {
		return lostAgain
	}
	log := l.d.cfg.Log.With("function", l.name.String(), "queue", s.String())
	if !noted {
		log.Debug("another instance removed a subscription")
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
	log.Error("consumer group lost, so nothing of this queue is delivered; " +
		"deploy the function again to create it, but messages that it had settled may be delivered again")
	return lostPause
}

// drop removes a queue, until set brings it back.
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
