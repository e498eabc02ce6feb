package calls

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/redis"
)

const (
	flushEvery = 500 * time.Millisecond
	flushTime  = 5 * time.Second // for Redis to take some
	maxWaiting = 10_000          // details that wait for Redis; more are dropped
	flushMost  = 500             // in one round trip
)

// Details writes what dispatchers know of messages that functions' commits have settled: some at a time,
// beside the calls. If Redis is unavailable, it drops what does not fit into a bounded list: the record then
// lacks the replica and the times of those calls, and nothing else.
type Details struct {
	redis *redis.Client
	log   *slog.Logger

	mu      sync.Mutex
	waiting []redis.Detail
	some    chan struct{} // has an item when waiting is no longer empty
	stop    context.CancelFunc
	done    chan struct{}
}

// NewDetails makes a writer of details, which does nothing before Start.
func NewDetails(c *redis.Client, log *slog.Logger) (*Details, error) {
	if c == nil || log == nil {
		return nil, errors.New("make a writer of details: the Redis client and the log are required")
	}
	return &Details{redis: c, log: log, some: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// Add gives a message's entry to the writer.
func (d *Details) Add(s wire.Subscription, id string, e Entry) {
	detail := redis.Detail{Of: s, ID: id, Text: e.Text()}
	d.mu.Lock()
	if len(d.waiting) < maxWaiting {
		d.waiting = append(d.waiting, detail)
	}
	d.mu.Unlock()
	select {
	case d.some <- struct{}{}:
	default:
	}
}

// Start begins to write. The end of ctx does not stop it: Stop does.
func (d *Details) Start(ctx context.Context) error {
	loop, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		stop()
		return errors.New("start the writer of details: it was started before")
	}
	d.stop = stop
	go d.run(loop)
	return nil
}

// Stop writes the remaining details. It gives up when ctx ends.
func (d *Details) Stop(ctx context.Context) error {
	d.mu.Lock()
	stop := d.stop
	d.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	<-d.done
	return d.flush(ctx)
}

func (d *Details) run(ctx context.Context) {
	defer close(d.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.some:
		}
		select { // so that more come together
		case <-ctx.Done():
			return
		case <-time.After(flushEvery):
		}
		once, cancel := context.WithTimeout(ctx, flushTime)
		if err := d.flush(once); err != nil && ctx.Err() == nil {
			d.log.Debug("could not add to the record of calls", "error", err)
		}
		cancel()
	}
}

// flush writes the waiting details. Those that Redis did not take stay for the next flush.
func (d *Details) flush(ctx context.Context) error {
	d.mu.Lock()
	list := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	for len(list) > 0 {
		n := min(len(list), flushMost)
		if err := d.redis.AddDetails(ctx, list[:n]); err != nil {
			d.mu.Lock()
			d.waiting = append(list, d.waiting...)
			d.waiting = d.waiting[:min(len(d.waiting), maxWaiting)]
			d.mu.Unlock()
			return err
		}
		list = list[n:]
	}
	return nil
}
