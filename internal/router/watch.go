package router

import (
	"sync"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// watchers has a channel for each function whose change somebody waits for.
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

func (w *watchers) notify(n hearth.Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.of[n]; c != nil {
		close(c)
		delete(w.of, n)
	}
}

// Changed returns a channel that is closed at the next change of a function: when it is set or deleted, or
// when one of its replicas changes. Calls are not changes. To miss no change, get the channel before you read
// the function.
func (r *Router) Changed(n hearth.Name) <-chan struct{} { return r.watchers.changed(n) }
