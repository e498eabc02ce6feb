package dispatch

import (
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Failure is a failed attempt of a message that is retried.
type Failure struct {
	Message string    `json:"message"` // its id
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}

// failures keeps the last failure of each queue, as this instance saw it. The zero value is empty.
type failures struct {
	mu   sync.Mutex
	last map[wire.Subscription]Failure
}

// record records the outcome of an attempt.
func (f *failures) record(s wire.Subscription, id, result, reason string, attempt int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case result == Retried:
		if f.last == nil {
			f.last = map[wire.Subscription]Failure{}
		}
		f.last[s] = Failure{Message: id, Attempt: attempt, At: time.Now().UTC(), Reason: reason}
	case result != Busy && f.last[s].Message == id: // it is not retried
		delete(f.last, s)
	}
}

// forget drops a queue's failure.
func (f *failures) forget(s wire.Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.last, s)
}

// LastFailureOf returns the newest LastFailure of a function's queues, or nil.
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

// LastFailure returns the last failed attempt of a queue whose message is still retried, or nil. It knows the
// attempts of this instance only.
func (d *Dispatcher) LastFailure(s wire.Subscription) *Failure {
	d.failures.mu.Lock()
	defer d.failures.mu.Unlock()
	if f, ok := d.failures.last[s]; ok {
		return &f
	}
	return nil
}
