package live

import (
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Ledger says what became of the messages that were in the queues at a time, and of those accepted since.
// Accepted is always Done, Waiting, Dead and Lost together, less Doubled.
type Ledger struct {
	Accepted int `json:"accepted"`
	Done     int `json:"done"`    // ended, cancelled or purged
	Dead     int `json:"dead"`    // are dead letters now
	Waiting  int `json:"waiting"` // queued, delayed, waiting for a retry, or in flight
	// Lost left their queue without having ended. Doubled ended more than once. Nil if ended calls are not
	// recorded.
	Lost    *int      `json:"lost,omitempty"`
	Doubled *int      `json:"doubled,omitempty"`
	Since   time.Time `json:"since"`
}

// books add up totals of queues. They only use differences, since a counter begins again when its stream is
// removed.
type books struct {
	recorded bool // ended calls are recorded
	since    time.Time

	accepted, done, lost int
	queues               map[wire.Subscription]*account
}

// account is one queue as it was measured last.
type account struct {
	redis.Total
	missing int // messages that left without having ended; below 0 if more ended than left
	absent  bool
}

// add takes a measurement of all queues.
func (b *books) add(list []queue.Queue, totals []redis.Total, now time.Time) {
	if b.queues == nil {
		b.queues, b.since = map[wire.Subscription]*account{}, now
	}
	present := make(map[wire.Subscription]bool, len(list))
	for i, q := range list {
		s, t := q.Subscription(), totals[i]
		present[s] = true
		a := b.queues[s]
		switch {
		case a == nil:
			a = &account{}
			b.queues[s] = a
			b.accepted += t.Length
		case t.Added < a.Added: // another stream of that name: what the former had is gone
			if a.absent {
				b.done -= a.Length
			}
			b.lost += a.Length
			b.accepted += t.Length
		default:
			if a.absent {
				b.done -= a.Length
			}
			b.move(a, t, b.recorded && !q.OfCallbacks())
		}
		a.Total, a.absent = t, false
	}
	for s, a := range b.queues {
		if !present[s] && !a.absent { // removed with its messages
			a.absent = true
			b.done += a.Length
		}
	}
}

// move adds what happened to a queue between two measurements. Dead callbacks are dropped when there is no
// room for others, and not recorded then: so their books only say how many have left.
func (b *books) move(a *account, t redis.Total, recorded bool) {
	added := int(t.Added - a.Added)
	left := added - (t.Length - a.Length)
	ended := left
	if recorded && t.Groups == 1 && a.Groups <= 1 && t.Recorded >= a.Recorded {
		ended = int(t.Recorded - a.Recorded)
	}
	b.accepted += added
	b.done += ended
	a.missing += left - ended
}

// ledger returns the sums. dead is how many dead letters there are.
func (b *books) ledger(dead int) Ledger {
	l := Ledger{Accepted: b.accepted, Done: b.done, Dead: dead, Since: b.since.UTC().Truncate(time.Second)}
	lost, doubled, length := b.lost, 0, 0
	for _, a := range b.queues {
		lost += max(a.missing, 0)
		doubled += max(-a.missing, 0)
		if !a.absent {
			length += a.Length
		}
	}
	l.Waiting = max(length-dead, 0)
	if b.recorded {
		l.Lost, l.Doubled = &lost, &doubled
	}
	return l
}
