package registry_test

import (
	"fmt"
	"sync"
)

// A point is a moment at which something goes wrong: before a step of an instance, or after it. A step is a
// command that its registry sends to Redis, or a call of its provider. Between two steps an instance changes
// only its memory, which dies with it.
type point struct {
	step  int
	after bool
}

func (p point) String() string {
	if p.after {
		return fmt.Sprint("after step ", p.step)
	}
	return fmt.Sprint("before step ", p.step)
}

// A trouble is what goes wrong.
type trouble string

const (
	none   trouble = "nothing"
	crash  trouble = "the instance stops" // and another one starts in its place
	outage trouble = "Redis is unavailable"
)

// steps counts the steps of an instance, and lets one of them fail.
type steps struct {
	turn sync.Mutex // one step at a time

	mu      sync.Mutex
	trouble trouble
	at      point
	next    int
	hit     chan struct{} // closed when the trouble has come
	begin   func()        // begins the trouble
	stopped bool          // the instance is no more
}

// arm lets the trouble come at a point, counted from here.
func (s *steps) arm(what trouble, at point) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.at, s.next, s.hit = what, at, 0, make(chan struct{})
}

// take takes a step. It returns false if the step fails, though it may have been taken.
func (s *steps) take(step func()) (ok bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	n := s.next
	s.next++
	stopped := s.stopped
	s.mu.Unlock()
	if stopped || s.hits(point{n, false}) {
		return false
	}
	step()
	return !s.hits(point{n, true})
}

// hits begins the trouble if this is its point.
func (s *steps) hits(p point) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == none || s.at != p {
		return false
	}
	s.stopped = s.trouble == crash
	s.trouble = none
	s.begin()
	close(s.hit)
	return true
}

// taken is how many steps were taken since arm.
func (s *steps) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// stop ends the instance: it takes no more steps.
func (s *steps) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped, s.trouble = true, none
	s.begin()
}

func (s *steps) dead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}
