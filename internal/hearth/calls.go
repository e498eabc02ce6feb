package hearth

import (
	"context"
	"sync"
)

// Calls counts the calls of one replica. The provider creates it and the router counts, so the
// provider knows when a replica that must end has no calls left, and whether one that crashed had
// answered any. A nil *Calls counts nothing.
type Calls struct {
	mu       sync.Mutex
	pending  int
	answered uint64
	idle     chan struct{} // closed when none is pending; nil unless somebody waits
}

// Begin counts a call that the replica is given.
func (c *Calls) Begin() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending++
}

// Answered counts a call that the replica has begun to answer.
func (c *Calls) Answered() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered++
}

// End counts the end of a call.
func (c *Calls) End() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending--; c.pending == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Served returns how many calls the replica has answered so far.
func (c *Calls) Served() uint64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answered
}

// Wait returns when no call is pending, when ctx ends, or when gone is closed.
func (c *Calls) Wait(ctx context.Context, gone <-chan struct{}) {
	if c == nil {
		return
	}
	c.mu.Lock()
	if c.pending == 0 {
		c.mu.Unlock()
		return
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	case <-gone:
	}
}
