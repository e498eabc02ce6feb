package bakery

import (
	"context"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/redis/go-redis/v9"
)

// recheck is how often a waiter looks by itself, in case a notice got lost on the way.
const recheck = time.Second

// AwaitEnd waits until an order has ended, but not longer than the given time, which is cut to well below
// exec_timeout. It returns the order as it is then. If too many are waiting already it returns at once.
func AwaitEnd(ctx context.Context, o Order, wait time.Duration) (Order, error) {
	if limit := config(ctx).ExecTimeout; limit > 0 {
		wait = min(wait, limit-limit/8)
	}
	if wait <= 0 || o.hasEnded() {
		return o, nil
	}
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return o, err
	}
	room := roomOf(rdb)
	ended, leave, ok := room.enter(o.ID, config(ctx).WaiterLimit)
	if !ok {
		return o, nil
	}
	defer leave()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		found, err := Find(ctx, o.ID) // first, since it may have ended before the room heard
		if err != nil || len(found) == 0 {
			return o, err
		}
		if o = found[0]; o.hasEnded() {
			return o, nil
		}
		select {
		case <-ended:
		case <-tick.C:
		case <-deadline.C:
			return o, nil
		case <-ctx.Done():
			return o, nil
		}
	}
}

func (o Order) hasEnded() bool {
	return o.State == Served || o.State == Cancelled || o.State == Refused
}

// A room is where all callers of one replica wait: they share one subscription, so that they do not use up
// the connections that deliveries need.
type room struct {
	rdb     redis.UniversalClient
	mu      sync.Mutex
	waiters map[string]map[chan struct{}]bool // by order
	n       int
	heard   *redis.PubSub
}

var rooms sync.Map

func roomOf(rdb redis.UniversalClient) *room {
	if r, ok := rooms.Load(rdb); ok {
		return r.(*room)
	}
	r, _ := rooms.LoadOrStore(rdb, &room{rdb: rdb, waiters: map[string]map[chan struct{}]bool{}})
	return r.(*room)
}

// enter begins to wait for an order: the channel gets a value when it ends. ok is false if the room is full.
// The first to enter begins to listen, and the last to leave ends it.
func (r *room) enter(order string, limit int) (ended <-chan struct{}, leave func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n >= limit {
		return nil, nil, false
	}
	r.n++
	c := make(chan struct{}, 1)
	if r.waiters[order] == nil {
		r.waiters[order] = map[chan struct{}]bool{}
	}
	r.waiters[order][c] = true
	if r.heard == nil {
		r.heard = r.rdb.Subscribe(context.Background(), channelEnded)
		go r.listen(r.heard.Channel())
	}
	return c, func() { r.leave(order, c) }, true
}

func (r *room) leave(order string, c chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n--
	delete(r.waiters[order], c)
	if len(r.waiters[order]) == 0 {
		delete(r.waiters, order)
	}
	if r.n == 0 && r.heard != nil {
		_ = r.heard.Close() // which also ends listen
		r.heard = nil
	}
}

func (r *room) listen(notices <-chan *redis.Message) {
	for notice := range notices {
		r.mu.Lock()
		for c := range r.waiters[notice.Payload] {
			select {
			case c <- struct{}{}:
			default:
			}
		}
		r.mu.Unlock()
	}
}
