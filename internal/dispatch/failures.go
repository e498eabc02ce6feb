package dispatch

import (
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Failure is an attempt that failed, of a message that is tried again.
type Failure struct {
	Message string    `json:"message"` // its id
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}

// failures are the last of each queue, as this instance saw them. The zero value has none.
type failures struct {
	mu   sync.Mutex
	last map[wire.Subscription]Failure
}

// note records the outcome of an attempt.
func (f *failures) note(s wire.Subscription, id, came, reason string, attempt int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case came == Retried:
		if f.last == nil {
			f.last = map[wire.Subscription]Failure{}
		}
		f.last[s] = Failure{Message: id, Attempt: attempt, At: time.Now().UTC(), Reason: reason}
	case came != Busy && f.last[s].Message == id: // it is not tried again
		delete(f.last, s)
	}
}

// forget forgets a queue.
func (f *failures) forget(s wire.Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.last, s)
}

// LastFailureOf is the newest LastFailure of a function's queues.
func (d *Dispatcher) LastFailureOf(n hearth.Name) (last *Failure) {
	d.failures.mu.Lock()
	defer d.failures.mu.Unlock()
	for s, f := range d.failures.last {
		if s.Group == n.String() && (last == nil || f.At.After(last.At)) {
			last = &f
		}
	}
	return last
}

// LastFailure is the last attempt of a queue that failed, while its message is tried again; nil if there is none. It knows the
// attempts of this instance only.
func (d *Dispatcher) LastFailure(s wire.Subscription) *Failure {
	d.failures.mu.Lock()
	defer d.failures.mu.Unlock()
	if f, ok := d.failures.last[s]; ok {
		return &f
	}
	return nil
}
