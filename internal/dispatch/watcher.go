package dispatch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A watcher waits for new entries on the streams of all empty queues, over one connection. A queue that has
// more messages than its lane can take is not watched: its lane looks by itself.
type watcher struct {
	conn        *redis.Watch
	fired       func([]wire.Subscription) // these have new entries
	unavailable func(error)               // Redis does not answer
	available   func()                    // it answers again
	idle        func()                    // there was nothing to watch for a while

	mu      sync.Mutex
	watched map[wire.Subscription]string // the id up to which each group has read, as far as is known
	waiting map[string]string            // the streams that the running Wait knows, and the id it waits after
	poking  bool
	ended   bool // run is to return
	stopped bool // run has returned
}

func newWatcher(conn *redis.Watch, fired func([]wire.Subscription), unavailable func(error),
	available, idle func()) *watcher {
	return &watcher{
		conn:        conn,
		fired:       fired,
		unavailable: unavailable,
		available:   available,
		idle:        idle,
		watched:     map[wire.Subscription]string{},
	}
}

// add begins to watch a queue whose group has read up to last: it is fired whenever an entry comes behind
// that.
func (w *watcher) add(s wire.Subscription, last string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched[s] = last
	// Another group's position may be behind an entry that came after this group had looked.
	if from, ok := w.waiting[s.Stream]; !ok || !redis.NotAfter(from, last) {
		w.poke()
	}
}

// remove stops watching a queue. It reports whether that was the last one of its stream.
func (w *watcher) remove(s wire.Subscription) (last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watched, s)
	for other := range w.watched {
		if other.Stream == s.Stream {
			return false
		}
	}
	return true
}

// len returns how many queues are watched.
func (w *watcher) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watched)
}

// all returns the queues that are watched.
func (w *watcher) all() []wire.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.watched))
}

// poke interrupts a Wait that does not know all streams. An interruption just before Wait blocks has no
// effect, so it is repeated until the loop has come round. w.mu is held.
func (w *watcher) poke() {
	w.waiting = nil
	if w.poking {
		return
	}
	w.poking = true
	go func() {
		for wait := 50 * time.Microsecond; ; wait = min(2*wait, 50*time.Millisecond) {
			w.mu.Lock()
			if w.waiting != nil || w.stopped {
				w.poking = false
				w.mu.Unlock()
				return
			}
			w.mu.Unlock()
			w.conn.Interrupt(context.Background())
			time.Sleep(wait)
		}
	}()
}

// end lets run return.
func (w *watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.poke()
}

// goesOn reports whether run is to go on.
func (w *watcher) goesOn(ctx context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return ctx.Err() == nil && !w.ended
}

func (w *watcher) run(ctx context.Context) {
	defer func() {
		w.mu.Lock()
		w.stopped = true
		w.mu.Unlock()
		w.conn.Close()
	}()
	const shortest, longest = 50 * time.Millisecond, 2 * time.Second
	down, wait := false, shortest
	for w.goesOn(ctx) {
		positions := w.positions(ctx)
		fired, err := w.conn.Wait(ctx, positions)
		if err != nil {
			if !down && ctx.Err() == nil {
				w.unavailable(err)
			}
			down = true
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			wait = min(2*wait, longest)
			continue
		}
		if down {
			down, wait = false, shortest
			w.available()
		}
		if subs := w.take(fired); len(subs) > 0 {
			w.fired(subs)
		}
		if len(positions) == 0 {
			w.idle()
		}
	}
}

// positions returns the streams to wait for. A stream with several groups is watched from where the slowest
// has read to.
func (w *watcher) positions(ctx context.Context) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := make(map[string]string, len(w.watched))
	for s, last := range w.watched {
		if other, ok := at[s.Stream]; !ok || redis.NotAfter(last, other) {
			at[s.Stream] = last
		}
	}
	if ctx.Err() == nil && !w.ended { // else go on poking
		w.waiting = maps.Clone(at)
	}
	return at
}

// take returns the queues that have new entries, and moves their positions.
func (w *watcher) take(fired map[string]string) []wire.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	var subs []wire.Subscription
	if len(fired) == 0 {
		return nil
	}
	for s, last := range w.watched {
		if id, ok := fired[s.Stream]; ok && !redis.NotAfter(id, last) {
			subs = append(subs, s)
			w.watched[s] = id
		}
	}
	return subs
}
