package dispatch

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
)

// watches are the watchers of a dispatcher. In a cluster there is one for each hash tag that has something to
// watch, since a connection reaches only one slot. Otherwise there is a permanent one with the key "", and
// more when it is full.
type watches struct {
	d *Dispatcher

	mu    sync.Mutex
	byKey map[string]*watcher
	keyOf map[string]string    // of each stream that is watched, but in a cluster
	away  map[string]time.Time // since when Redis is unavailable for a watcher
	ended bool
}

// maxStreams is how many streams a watcher has at most. Whenever it wakes it names all of them to Redis,
// which looks at each before it does anything else: 0.1 ms for a hundred, 24 ms for ten thousand.
const maxStreams = 300

func newWatches(d *Dispatcher) *watches {
	return &watches{
		d:     d,
		byKey: map[string]*watcher{},
		keyOf: map[string]string{},
		away:  map[string]time.Time{},
	}
}

// begin starts the permanent watcher, if there is one: it also notices when Redis becomes unavailable.
func (ws *watches) begin() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.d.cfg.Queue.WatchKey("{any}.stream") == "" && !ws.ended {
		ws.start("")
	}
}

// add begins to watch a queue whose group has read up to last.
func (ws *watches) add(s wire.Subscription, last string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.ended {
		return
	}
	key := ws.key(s.Stream)
	w := ws.byKey[key]
	if w == nil {
		w = ws.start(key)
	}
	w.add(s, last)
}

// key returns the key of a stream's watcher: the one that it has, or the first with room. ws.mu is held.
func (ws *watches) key(stream string) string {
	if tag := ws.d.cfg.Queue.WatchKey(stream); tag != "" {
		return tag
	}
	if key, ok := ws.keyOf[stream]; ok {
		return key
	}
	key := ""
	for i := 1; ws.byKey[key] != nil && ws.byKey[key].len() >= maxStreams; i++ {
		key = strconv.Itoa(i)
	}
	ws.keyOf[stream] = key
	return key
}

// start starts a watcher. ws.mu is held.
func (ws *watches) start(key string) *watcher {
	w := newWatcher(
		ws.d.cfg.Queue.NewWatch(key),
		ws.d.fired,
		func(err error) { ws.unavailable(key, err) },
		func() { ws.available(key) },
		func() { ws.retire(key) },
	)
	ws.byKey[key] = w
	ws.d.spawn(func(taking, _ context.Context) { w.run(taking) })
	return w
}

// remove stops watching a queue. Its watcher lingers, as the queue is likely to be added again.
func (ws *watches) remove(s wire.Subscription) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	key, ok := ws.keyOf[s.Stream]
	if !ok {
		key = ws.d.cfg.Queue.WatchKey(s.Stream)
	}
	if w := ws.byKey[key]; w != nil && w.remove(s) {
		delete(ws.keyOf, s.Stream)
	}
}

// retire stops a watcher that had nothing to watch for a while.
func (ws *watches) retire(key string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byKey[key]
	if key == "" || w == nil || w.len() > 0 {
		return
	}
	delete(ws.byKey, key)
	delete(ws.away, key)
	w.end()
}

// interrupt stops all watchers.
func (ws *watches) interrupt() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.ended = true
	for _, w := range ws.byKey {
		w.end()
	}
}

// unavailable logs that Redis, or a part of a cluster, does not answer: once.
func (ws *watches) unavailable(key string, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byKey[key] == nil || !ws.away[key].IsZero() {
		return
	}
	ws.away[key] = time.Now()
	if len(ws.away) == 1 {
		ws.d.cfg.Log.Warn("Redis is unavailable; queued calls wait", "error", err)
	}
}

// available lets those lanes look at their queues that may have missed something.
func (ws *watches) available(key string) {
	ws.mu.Lock()
	if since, ok := ws.away[key]; ok {
		ws.d.patience.start(time.Since(since), ws.d.cfg.Lease)
		delete(ws.away, key)
		if len(ws.away) == 0 {
			ws.d.cfg.Log.Info("Redis is available again")
		}
	}
	w := ws.byKey[key]
	ws.mu.Unlock()
	if key == "" {
		ws.d.LookAgain()
	} else if w != nil {
		ws.d.fired(w.all())
	}
}
