package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

const (
	maxBatch     = 64 // entries that one Take takes
	maxEnding    = 64 // calls of one function that were answered and are not settled yet, before no more is taken
	callbackRoom = 8  // callbacks of one function that are made at once
)

// A lane delivers to one function. It runs a goroutine only while there is something to take and room for it.
type lane struct {
	d    *Dispatcher
	name hearth.Name

	mu        sync.Mutex
	spec      hearth.Function
	queues    map[wire.Subscription]*queue
	turn      []*queue // in the order in which they are looked at
	calls     int      // in flight, of the function
	ending    int      // calls that were answered, and are being settled
	callbacks int      // in flight, or being settled
	running   bool
	held      map[*queue]map[string]*held // what is leased and not ended, by token
	settled   []chan struct{}             // closed when nothing is held and nothing is taken
}

// held is a delivery under way: its call runs, or its outcome is on the way to Redis.
type held struct {
	current  atomic.Pointer[redis.Delivery] // the newest: one whose lease ran out may have been taken anew
	breakOff context.CancelCauseFunc
	settling bool // the call is over

	until  time.Time // when the lease ends, as far as this instance knows
	ranOut bool      // it has; it may be renewed yet
	lost   bool      // another holder has the delivery
}

func (h *held) delivery() redis.Delivery { return *h.current.Load() }

// A queue is one subscription of a lane.
type queue struct {
	Subscription
	callbacks bool
	ready     bool        // there may be something to take
	timer     *time.Timer // until something else may be taken
	timerAt   time.Time   // when that is
	missing   bool        // its group was not there when it was looked at last
	removed   bool
	lost      bool // the answer of a take was lost, and what it leased with it; only the lane's goroutine looks at it
	full      bool // nothing is taken, since its callbacks have reached their limit
}

// set makes the lane's queues these, and returns those that are no more.
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
		q.Subscription = s
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

// notify says that a queue has something to take.
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

// kick makes the lane run, if it has reason to.
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

// next is the queue whose turn it is, and how much may be taken of it. l.mu is held.
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

// full are the queues of the function's calls and topics that may have something for which there is no room.
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

// run takes and delivers until there is nothing to take, or no room.
func (l *lane) run(taking, calls context.Context) {
	for {
		l.mu.Lock()
		q, n := l.next()
		if q == nil || taking.Err() != nil {
			l.running = false
			l.tellSettled()
			l.mu.Unlock()
			l.d.forget(l)
			return
		}
		q.ready = false // before looking: what comes later sets it again,
		q.quiet()       // and what is given back later sets a timer, of which this look may not know
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
		if b.Held {
			l.mu.Lock()
			l.sooner(q, b.Next)
			l.mu.Unlock()
			l.d.watch.remove(sub)
			continue
		}
		l.mu.Lock()
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

// take takes of a subscription; of the function's own calls only while its callbacks are within their limit.
func (l *lane) take(ctx context.Context, s wire.Subscription, n int, by redis.Holder) (redis.Batch, error) {
	if s != redis.CallsOf(l.name) {
		return l.d.cfg.Queue.Take(ctx, s, n, by)
	}
	l.mu.Lock()
	limit := l.spec.Queue.Or(l.d.cfg.QueueLimit)
	l.mu.Unlock()
	return l.d.cfg.Queue.TakeCalls(ctx, l.name, n, by, limit.Bytes)
}

// watchCallbacks says when callbacks hold up the function's calls, and when they were thrown away.
func (l *lane) watchCallbacks(q *queue, b redis.Batch) {
	log := l.d.cfg.Log.With("function", l.name.String())
	if b.Dropped > 0 {
		log.Warn("dropped dead callbacks to make room", "count", b.Dropped)
	}
	if b.Held && !q.full { // only the lane's own goroutine sets it
		log.Warn("queued calls wait, as callbacks are at their limit")
	}
	q.full = b.Held
}

// lease is for how long a delivery of a queue is leased. One that nobody renews outlasts the function's timeout, and the
// wait for a replica before it. l.mu is held.
func (l *lane) lease(q *queue) time.Duration {
	if q.LeaveAck {
		return 2*l.spec.Timeout + l.d.cfg.CommitWait
	}
	return l.d.cfg.Lease
}

// failed pauses a queue that could not be taken from.
func (l *lane) failed(ctx context.Context, q *queue, err error) {
	wait := time.Second // should the watcher miss that Redis is back
	if errors.Is(err, redis.ErrNoGroup) {
		wait = l.lost(ctx, q)
	} else if hearth.CodeOf(err) != hearth.Unavailable && ctx.Err() == nil {
		l.d.cfg.Log.Error("could not take from a queue", "function", l.name.String(), "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q.lost = q.lost || hearth.CodeOf(err) == hearth.Unavailable
	l.wakeIn(q, wait)
}

// quiet ends a queue's timer. The lane's lock is held.
func (q *queue) quiet() {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
}

// wakeIn makes a queue ready after a while, and not before, unless something comes. l.mu is held.
func (l *lane) wakeIn(q *queue, wait time.Duration) {
	q.quiet()
	if wait < 0 || q.removed {
		return
	}
	wait += time.Millisecond // Redis's clock counts whole ones
	q.timerAt = time.Now().Add(wait)
	sub := q.Subscription.Subscription
	q.timer = time.AfterFunc(wait, func() { l.notify(sub) })
}

// sooner makes a queue ready after a while, unless it will be before, or the while is negative. l.mu is held.
func (l *lane) sooner(q *queue, wait time.Duration) {
	if wait >= 0 && (q.timer == nil || time.Now().Add(wait).Before(q.timerAt)) {
		l.wakeIn(q, wait)
	}
}

// begin delivers an entry, whose lease lasts until then. calls is the context of all calls. l.mu is held.
func (l *lane) begin(calls context.Context, q *queue, d redis.Delivery, until time.Time) {
	if l.adopt(q, d, until) {
		return
	}
	if q.callbacks {
		l.callbacks++
	} else {
		l.calls++
	}
	if l.held == nil {
		l.held = map[*queue]map[string]*held{}
	}
	if l.held[q] == nil {
		l.held[q] = map[string]*held{}
	}
	ctx, breakOff := context.WithCancelCause(calls)
	h := &held{breakOff: breakOff, until: until}
	h.current.Store(&d)
	l.held[q][d.Token] = h
	spec, sub := l.spec, q.Subscription
	answered := func() { // the function has room for the next one, while Redis is told of this one
		l.mu.Lock()
		h.settling = true
		if !q.callbacks {
			l.calls--
			l.ending++
		}
		l.mu.Unlock()
		if !q.callbacks {
			l.kick()
		}
	}
	l.d.spawn(func(_, _ context.Context) {
		again := l.d.deliver(calls, ctx, spec, sub, q.callbacks, h, answered)
		breakOff(nil)
		l.mu.Lock()
		if q.callbacks {
			l.callbacks--
		} else {
			l.ending--
		}
		delete(l.held[q], h.delivery().Token)
		if len(l.held[q]) == 0 {
			delete(l.held, q)
		}
		l.sooner(q, again)
		l.tellSettled()
		l.mu.Unlock()
		l.kick()
		l.d.forget(l)
	})
}

// adopt hands a delivery to the call that runs for its entry already, and reports whether there is one: its lease ran out
// while Redis did not answer, and this instance has taken it anew. l.mu is held.
func (l *lane) adopt(q *queue, d redis.Delivery, until time.Time) bool {
	if d.Attempt == 1 { // nobody has had it before
		return false
	}
	for other, deliveries := range l.held {
		if other.Subscription.Subscription != q.Subscription.Subscription {
			continue
		}
		for token, h := range deliveries {
			if h.delivery().ID == d.ID && !h.settling {
				delete(deliveries, token)
				h.current.Store(&d)
				h.until, h.ranOut, h.lost = until, false, false
				deliveries[d.Token] = h
				return true
			}
		}
	}
	return false
}

// nothing tells whether nothing is held, and nothing is being taken. l.mu is held.
func (l *lane) nothing() bool { return !l.running && len(l.held) == 0 }

// idle is nothing, for who does not hold l.mu.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nothing()
}

// whenSettled is closed when the lane has nothing left.
func (l *lane) whenSettled() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	settled := make(chan struct{})
	l.settled = append(l.settled, settled)
	l.tellSettled()
	return settled
}

// tellSettled tells who waits for it that the lane has nothing left. l.mu is held.
func (l *lane) tellSettled() {
	if !l.nothing() {
		return
	}
	for _, settled := range l.settled {
		close(settled)
	}
	l.settled = nil
}

// breakOff ends calls under way whose entries are gone.
func (l *lane) breakOff(s wire.Subscription, ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, deliveries := range l.held {
		if q.Subscription.Subscription != s {
			continue
		}
		for _, h := range deliveries {
			if slices.Contains(ids, h.delivery().ID) {
				h.breakOff(errCancelled)
			}
		}
	}
}

// sweep looks for entries that nobody holds.
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
			l.d.cfg.Log.Warn("found entries that were taken and that nobody held; they are delivered again when their new lease runs out",
				"queue", s.String(), "count", n)
		}
		l.notify(s) // also for what others have given back, or left: nothing tells of that
	}
}
