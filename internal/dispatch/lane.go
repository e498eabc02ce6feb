package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

const (
	maxBatch     = 64 // messages that one Take takes
	maxEnding    = 64 // answered calls of one function that are not settled yet, before no more is taken
	callbackRoom = 8  // callbacks of one function that are in flight at once

	// lookPaused is how often a lane looks whether a paused queue was resumed, should nobody have told it.
	lookPaused = 5 * time.Second
)

// A lane delivers to one function. It has a goroutine only while there is something to take and room for it.
type lane struct {
	d    *Dispatcher
	name hearth.Name

	mu        sync.Mutex
	spec      hearth.Function
	queues    map[wire.Subscription]*queue
	turn      []*queue // in the order of the next looks
	calls     int      // in flight
	ending    int      // calls that were answered, and are being settled
	callbacks int      // in flight, or being settled
	running   bool
	inFlight  map[*queue]map[string]*inFlight // by token
	settled   []chan struct{}                 // closed when the lane is idle
}

// A queue is one subscription of a lane.
type queue struct {
	Subscription
	callbacks bool
	ready     bool        // there may be something to take
	timer     *time.Timer // makes it ready
	timerAt   time.Time
	missing   bool // the group was missing at the last look
	paused    bool // at the last look
	removed   bool
	takeLost  bool // the answer of a take was lost; only the lane's goroutine uses it
	full      bool // nothing is taken, as callbacks have reached their limit; likewise
}

// set gives the lane its queues, and returns those that it had and has no more.
func (l *lane) set(f hearth.Function, subs []Subscription) (removed []wire.Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spec = f
	wanted := map[wire.Subscription]Subscription{}
	for _, s := range subs {
		wanted[s.Subscription] = s
	}
	for key, q := range l.queues {
		if _, ok := wanted[key]; !ok {
			q.removed = true
			q.quiet()
			delete(l.queues, key)
			removed = append(removed, key)
		}
	}
	l.turn = nil
	callbacks := redis.CallbacksOf(l.name)
	for _, s := range subs {
		q := l.queues[s.Subscription]
		if q == nil {
			q = &queue{ready: true, callbacks: s.Subscription == callbacks}
			l.queues[s.Subscription] = q
		}
		if q.Subscription != s { // the lane reads it while it delivers
			q.Subscription = s
		}
		l.turn = append(l.turn, q)
	}
	return removed
}

// clear removes all queues.
func (l *lane) clear() (removed []wire.Subscription) {
	l.mu.Lock()
	spec := l.spec
	l.mu.Unlock()
	return l.set(spec, nil)
}

// notify tells the lane that a queue has something to take.
func (l *lane) notify(s wire.Subscription) {
	l.mu.Lock()
	if q := l.queues[s]; q != nil {
		q.ready = true
	}
	l.mu.Unlock()
	l.kick()
}

func (l *lane) notifyAll() {
	l.mu.Lock()
	for _, q := range l.queues {
		q.ready = true
	}
	l.mu.Unlock()
	l.kick()
}

// kick starts the lane's goroutine if there is something to take and room for it.
func (l *lane) kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return
	}
	if q, _ := l.next(); q != nil {
		l.running = l.d.begin(l.run)
	}
}

// next returns the queue whose turn it is, and how much may be taken of it; nil if there is none. l.mu is
// held.
func (l *lane) next() (*queue, int) {
	room := -1
	for i, q := range l.turn {
		if !q.ready {
			continue
		}
		n := callbackRoom - l.callbacks
		if !q.callbacks {
			if room < 0 {
				room = min(l.d.target.Room(l.name)-l.calls, maxEnding-l.ending)
			}
			n = room
		}
		if n > 0 {
			l.turn = append(append(l.turn[:i:i], l.turn[i+1:]...), q)
			return q, min(n, maxBatch)
		}
	}
	return nil, 0
}

// full returns the queues of calls and topics that may have messages for which there is no room.
func (l *lane) full() (queues []wire.Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls < l.d.target.Room(l.name) {
		return nil
	}
	for _, q := range l.turn {
		if q.ready && !q.callbacks {
			queues = append(queues, q.Subscription.Subscription)
		}
	}
	return queues
}

// isPaused reports whether a queue was paused when the lane last looked.
func (l *lane) isPaused(s wire.Subscription) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[s]
	return q != nil && q.paused
}

// run takes and delivers until there is nothing to take, or no room.
func (l *lane) run(taking, calls context.Context) {
	for {
		l.mu.Lock()
		q, n := l.next()
		if q == nil || taking.Err() != nil {
			l.running = false
			l.closeSettled()
			l.mu.Unlock()
			l.d.forget(l)
			return
		}
		// Before the look: a message that comes later makes the queue ready again. A message that is given
		// back later sets a timer, which this look may not know.
		q.ready = false
		q.quiet()
		by := redis.Holder{Instance: l.d.cfg.Instance, Lease: l.lease(q)}
		sub := q.Subscription.Subscription
		l.mu.Unlock()

		if err := l.recover(taking, q); err != nil {
			l.failed(taking, q, err)
			continue
		}
		by.Patience = l.d.patience.left()
		until := time.Now().Add(by.Lease)
		b, err := l.take(taking, sub, n, by)
		if err != nil {
			l.failed(taking, q, err)
			continue
		}
		l.watchCallbacks(q, b)
		if b.Blocked || b.Paused {
			if b.Paused {
				b.Next = lookPaused
			}
			l.mu.Lock()
			q.paused = b.Paused
			l.sooner(q, b.Next)
			l.mu.Unlock()
			l.d.watch.remove(sub)
			continue
		}
		l.mu.Lock()
		q.paused = false
		if !b.Drained {
			q.ready = true
		}
		q.missing = false
		removed := q.removed
		l.sooner(q, b.Next)
		for _, d := range b.Deliveries {
			l.begin(calls, q, d, until)
		}
		l.mu.Unlock()
		if b.Drained && !removed {
			l.d.watch.add(sub, b.Last)
		} else {
			l.d.watch.remove(sub)
		}
	}
}

// take takes from a subscription; from the function's own calls only while callbacks are within their limit.
func (l *lane) take(ctx context.Context, s wire.Subscription, n int, by redis.Holder) (redis.Batch, error) {
	if s != redis.CallsOf(l.name) {
		return l.d.cfg.Queue.Take(ctx, s, n, by)
	}
	l.mu.Lock()
	limit := l.spec.Queue.Or(l.d.cfg.QueueLimit)
	l.mu.Unlock()
	return l.d.cfg.Queue.TakeCalls(ctx, l.name, n, by, limit.Bytes)
}

// watchCallbacks logs when callbacks block the function's calls, and when some were dropped.
func (l *lane) watchCallbacks(q *queue, b redis.Batch) {
	log := l.d.cfg.Log.With("function", l.name.String())
	if b.Dropped > 0 {
		log.Warn("dropped dead callbacks to make room", "count", b.Dropped)
	}
	if b.Blocked && !q.full {
		log.Warn("queued calls wait, as callbacks have reached their limit")
	}
	q.full = b.Blocked
}

// lease returns for how long deliveries of a queue are leased. A lease that nobody renews outlasts the
// function's timeout and the wait for a replica before it. l.mu is held.
func (l *lane) lease(q *queue) time.Duration {
	if q.LeaveAck {
		return 2*l.spec.Timeout + l.d.cfg.CommitWait
	}
	return l.d.cfg.Lease
}

// failed pauses a queue that could not be taken from.
func (l *lane) failed(ctx context.Context, q *queue, err error) {
	wait := time.Second // in case the watcher misses that Redis answers again
	if errors.Is(err, redis.ErrNoGroup) {
		wait = l.lost(ctx, q)
	} else if hearth.CodeOf(err) != hearth.Unavailable && ctx.Err() == nil {
		l.d.cfg.Log.Error("take from a queue failed", "function", l.name.String(), "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q.takeLost = q.takeLost || hearth.CodeOf(err) == hearth.Unavailable
	l.wakeIn(q, wait)
}

// quiet stops a queue's timer. The lane's lock is held.
func (q *queue) quiet() {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
}

// wakeIn makes a queue ready after a while; never, if it is negative. A notification makes it ready earlier.
// l.mu is held.
func (l *lane) wakeIn(q *queue, wait time.Duration) {
	q.quiet()
	if wait < 0 || q.removed {
		return
	}
	wait += time.Millisecond // Redis's clock counts whole milliseconds
	q.timerAt = time.Now().Add(wait)
	sub := q.Subscription.Subscription
	q.timer = time.AfterFunc(wait, func() { l.notify(sub) })
}

// sooner makes a queue ready after a while, unless it will be ready before, or the while is negative. l.mu is
// held.
func (l *lane) sooner(q *queue, wait time.Duration) {
	if wait >= 0 && (q.timer == nil || time.Now().Add(wait).Before(q.timerAt)) {
		l.wakeIn(q, wait)
	}
}

// idle reports whether nothing is in flight and nothing is being taken. l.mu is held.
func (l *lane) idle() bool { return !l.running && len(l.inFlight) == 0 }

// isIdle is idle for callers that do not hold l.mu.
func (l *lane) isIdle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idle()
}

// whenSettled returns a channel that is closed when the lane is idle.
func (l *lane) whenSettled() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	settled := make(chan struct{})
	l.settled = append(l.settled, settled)
	l.closeSettled()
	return settled
}

// closeSettled closes the channels of whenSettled if the lane is idle. l.mu is held.
func (l *lane) closeSettled() {
	if !l.idle() {
		return
	}
	for _, settled := range l.settled {
		close(settled)
	}
	l.settled = nil
}

// sweep looks for pending messages that nobody holds.
func (l *lane) sweep(ctx context.Context) {
	l.mu.Lock()
	subs := map[wire.Subscription]time.Duration{}
	for s, q := range l.queues {
		subs[s] = l.lease(q)
	}
	l.mu.Unlock()
	for s, lease := range subs {
		n, err := l.d.cfg.Queue.Sweep(ctx, s, lease)
		if err == nil && n > 0 {
			l.d.cfg.Log.Warn(
				"found pending messages that nobody held; they are delivered again when their new lease ends",
				"queue", s.String(), "count", n)
		}
		l.notify(s) // another instance may have given something back, which nothing tells of
	}
}
