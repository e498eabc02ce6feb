package dispatch

import (
	"sync"

	"github.com/hearthfaas/hearth/chain"
)

// watches are the watchers of a dispatcher: one for all queues, or, in a cluster, one for each tag that has something to
// watch, since a connection reaches only one slot.
type watches struct {
	d *Dispatcher

	mu    sync.Mutex
	byKey map[string]*watcher
	away  map[string]bool // those for which Redis is away
	ended bool
}

func newWatches(d *Dispatcher) *watches {
	return &watches{d: d, byKey: map[string]*watcher{}, away: map[string]bool{}}
}

// begin begins to watch for all, if there is one watcher for all: it also notices that Redis is away.
func (ws *watches) begin() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.d.cfg.Queue.WatchKey("{any}.stream") == "" && !ws.ended {
		ws.start("")
	}
}

// add watches a queue whose group has read up to last.
func (ws *watches) add(s chain.Subscription, last string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.ended {
		return
	}
	key := ws.d.cfg.Queue.WatchKey(s.Stream)
	w := ws.byKey[key]
	if w == nil {
		w = ws.start(key)
	}
	w.add(s, last)
}

// start begins to watch. ws.mu is held.
func (ws *watches) start(key string) *watcher {
	w := newWatcher(ws.d.cfg.Queue.NewWatch(key), ws.d.fired, func(err error) { ws.wentAway(key, err) }, func() { ws.cameBack(key) }, func() { ws.retire(key) })
	ws.byKey[key] = w
	ws.d.work.Go(func() { w.run(ws.d.ctx) })
	return w
}

// remove watches a queue no longer. Its watcher lingers: it is likely to be added again.
func (ws *watches) remove(s chain.Subscription) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.byKey[ws.d.cfg.Queue.WatchKey(s.Stream)]; w != nil {
		w.remove(s)
	}
}

// retire ends a watcher that had nothing to watch for a while.
func (ws *watches) retire(key string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byKey[key]
	if key == "" || w == nil || len(w.all()) > 0 { // the one for all goes on
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
	if ws.byKey[key] == nil || ws.away[key] {
		return
	}
	ws.away[key] = true
	if len(ws.away) == 1 {
		ws.d.cfg.Log.Warn("Redis is away; calls that are queued wait until it is back", "error", err)
	}
}

// cameBack lets lanes look which may have missed something.
func (ws *watches) cameBack(key string) {
	ws.mu.Lock()
	if ws.away[key] {
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
