package router

import (
	"sync"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Watchers are those who wait for a change of a function: of its replicas, or of how many it should have.
type watchers struct {
	mu sync.Mutex
	of map[hearth.Name]chan struct{}
}

func (w *watchers) changed(n hearth.Name) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.of[n]
	if c == nil {
		c = make(chan struct{})
		w.of[n] = c
	}
	return c
}

func (w *watchers) tell(n hearth.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.of[n]; c != nil {
		close(c)
		delete(w.of, n)
	}
}

// Changed returns a channel that is closed at the next change of a function: when it is set or deleted, or when one of its
// replicas changes. Calls are no changes. Take the channel first and look at the function then, so that no change is missed.
func (r *Router) Changed(n hearth.Name) <-chan struct{} { return r.watchers.changed(n) }
