package dispatch

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
)

// watches are the watchers of a dispatcher. In a cluster there is one for each tag that has something to watch, since a connection
// reaches only one slot. Else there is one that is always there, with the key "", and others for what is more than it can have.
type watches struct {
	d *Dispatcher

	mu    sync.Mutex
	byKey map[string]*watcher
	keyOf map[string]string    // of each stream that is watched, but in a cluster
	away  map[string]time.Time // since when Redis is unavailable for a watcher
	ended bool
}

// maxStreams is how many streams a watcher has at most. Whenever it wakes it names all of them to Redis, which looks at each before it
// does anything else: for 0.1 ms with a hundred, and 24 ms with ten thousand.
const maxStreams = 300

func newWatches(d *Dispatcher) *watches {
	return &watches{d: d, byKey: map[string]*watcher{}, keyOf: map[string]string{}, away: map[string]time.Time{}}
}

// begin begins to watch, if there is a watcher that is always there: it also notices that Redis is away.
func (ws *watches) begin() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.d.cfg.Queue.WatchKey("{any}.stream") == "" && !ws.ended {
		ws.start("")
	}
}

// add watches a queue whose group has read up to last.
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

// key is that of the watcher of a stream: the one that it has, or the first that has room. ws.mu is held.
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

// start begins to watch. ws.mu is held.
func (ws *watches) start(key string) *watcher {
	w := newWatcher(ws.d.cfg.Queue.NewWatch(key), ws.d.fired, func(err error) { ws.wentAway(key, err) }, func() { ws.cameBack(key) }, func() { ws.retire(key) })
	ws.byKey[key] = w
	ws.d.spawn(func(taking, _ context.Context) { w.run(taking) })
	return w
}

// remove watches a queue no longer. Its watcher lingers: it is likely to be added again.
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

// retire ends a watcher that had nothing to watch for a while.
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

// interrupt ends the watching: the dispatcher's context has ended.
func (ws *watches) interrupt() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.ended = true
	for _, w := range ws.byKey {
		w.end()
	}
}

// wentAway says that Redis is away, once; of a cluster some of it may be.
func (ws *watches) wentAway(key string, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byKey[key] == nil || !ws.away[key].IsZero() {
		return
	}
	ws.away[key] = time.Now()
	if len(ws.away) == 1 {
		ws.d.cfg.Log.Warn("Redis is away; calls that are queued wait until it is back", "error", err)
	}
}

// cameBack lets lanes look which may have missed something.
func (ws *watches) cameBack(key string) {
	ws.mu.Lock()
	if since, ok := ws.away[key]; ok {
		ws.d.patience.add(time.Since(since), ws.d.cfg.Lease)
		delete(ws.away, key)
		if len(ws.away) == 0 {
			ws.d.cfg.Log.Info("Redis is back")
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
