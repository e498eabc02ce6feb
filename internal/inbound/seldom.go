package inbound

import (
	"sync"
	"time"
)

// seldom is how much time is between two lines of a log that strangers can make it write.
const seldom = 10 * time.Second

// Seldom thins out what strangers can make a log say. Its zero value is ready for use.
type Seldom struct {
	mu     sync.Mutex
	last   time.Time
	missed int
}

// Due tells whether it is said now, and how often it was not since it was.
func (s *Seldom) Due(now time.Time) (missed int, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && now.Sub(s.last) < seldom {
		s.missed++
		return 0, false
	}
	missed, s.missed, s.last = s.missed, 0, now
	return missed, true
}
