package dispatch

import (
	"context"
	"sync"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/redis"
)

// maxSettled is how many deliveries one script settles: it must not hold others up.
const maxSettled = 128

// A settler settles deliveries, several of a queue in one script: those that come while a script runs go with
// the next. One that comes alone does not wait.
type settler struct {
	d *Dispatcher

	mu      sync.Mutex
	batches map[wire.Subscription]*batch // the next batch of each queue that has a script running
}

// A batch is the deliveries that go with a queue's next script.
type batch struct {
	list []redis.Delivery
	done chan struct{} // closed when they are settled, or the dispatcher stops
}

// settle settles a delivery, and returns when that is done.
func (s *settler) settle(sub wire.Subscription, del redis.Delivery) {
	s.mu.Lock()
	b := s.batches[sub]
	if b == nil {
		b = &batch{done: make(chan struct{})}
		s.batches[sub] = b
		s.d.spawn(func(_, calls context.Context) { s.run(calls, sub) }) // whoever settles is work, too
	}
	b.list = append(b.list, del)
	done := b.done
	s.mu.Unlock()
	<-done
}

// run settles a queue's batches until there is none.
func (s *settler) run(calls context.Context, sub wire.Subscription) {
	for {
		s.mu.Lock()
		b := s.batches[sub]
		if len(b.list) == 0 {
			delete(s.batches, sub)
			s.mu.Unlock()
			return
		}
		s.batches[sub] = &batch{done: make(chan struct{})}
		s.mu.Unlock()
		for len(b.list) > 0 {
			n := min(len(b.list), maxSettled)
			some := b.list[:n]
			s.d.persist(calls, "settle "+some[0].ID, func(ctx context.Context) error {
				return s.d.cfg.Queue.SettleAll(ctx, sub, some)
			})
			b.list = b.list[n:]
		}
		close(b.done)
	}
}
