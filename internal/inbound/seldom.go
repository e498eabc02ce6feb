package inbound

import (
	"sync"
	"time"
)

// seldom is the minimum time between two log messages that strangers can cause.
const seldom = 10 * time.Second

// Seldom limits the rate of log messages that strangers can cause. Its zero value is ready for use.
type Seldom struct {
	mu     sync.Mutex
	last   time.Time
	missed int
}

// Due reports whether to log now, and how many messages were left out since the last one.
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
