package registry

import (
	"context"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

const (
	firstRetry = 100 * time.Millisecond // after which a sync that failed is repeated; the wait doubles
	lastRetry  = 30 * time.Second
)

// A queue runs sync for the names that are added to it: one worker for each name that has work, and a retry
// with backoff after an error.
type queue struct {
	sync   func(context.Context, hearth.Name) error
	failed func(hearth.Name, error) // is told of each error

	mu     sync.Mutex
	items  map[hearth.Name]*item
	ctx    context.Context
	abort  context.CancelFunc
	closed bool
	work   sync.WaitGroup
}

// An item is a name that has work. It is running, or waits for a retry.
type item struct {
	running  bool
	again    bool // it was added while it was running
	failures int  // in a row
	retry    *time.Timer
}

func newQueue(sync func(context.Context, hearth.Name) error, failed func(hearth.Name, error)) *queue {
	q := &queue{sync: sync, failed: failed, items: map[hearth.Name]*item{}}
	q.ctx, q.abort = context.WithCancel(context.Background())
	return q
}

// add lets a name be synced now. If that is under way already, it is done once more, as it may have read
// before the change.
func (q *queue) add(n hearth.Name) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	it := q.items[n]
	if it == nil {
		it = &item{}
		q.items[n] = it
	}
	if it.running {
		it.again = true
		return
	}
	q.start(n, it)
}

// start starts a worker. q.mu is held.
func (q *queue) start(n hearth.Name, it *item) {
	if it.retry != nil {
		it.retry.Stop()
		it.retry = nil
	}
	it.running = true
	q.work.Go(func() { q.run(n, it) })
}

func (q *queue) run(n hearth.Name, it *item) {
	for {
		err := q.sync(q.ctx, n)
		if err != nil {
			q.failed(n, err)
		}
		q.mu.Lock()
		if it.again && !q.closed {
			it.again = false
			q.mu.Unlock()
			continue
		}
		it.running = false
		if err == nil || q.closed {
			delete(q.items, n)
		} else {
			wait := min(firstRetry<<min(it.failures, 20), lastRetry)
			it.failures++
			it.retry = time.AfterFunc(wait, func() { q.retry(n, it) })
		}
		q.mu.Unlock()
		return
	}
}

func (q *queue) retry(n hearth.Name, it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed && !it.running && q.items[n] == it {
		q.start(n, it)
	}
}

// close takes no more names. over is closed when all workers have ended.
func (q *queue) close() (over <-chan struct{}) {
	q.mu.Lock()
	q.closed = true
	for _, it := range q.items {
		if it.retry != nil {
			it.retry.Stop()
		}
	}
	q.mu.Unlock()
	ended := make(chan struct{})
	go func() { defer close(ended); q.work.Wait() }()
	return ended
}
