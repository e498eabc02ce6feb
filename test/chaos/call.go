package main

import (
	"fmt"
	"sync"
	"time"
)

// Kinds of calls.
const (
	order      = "order"       // a sync order
	asyncOrder = "async order" // a queued order
	once       = "once"        // an async call of the probe, sent once
	keyed      = "keyed"       // with an Idempotency-Key, sent until it gets a response
	identified = "identified"  // also with an X-Call-Id that all of these share
	delayed    = "delayed"     // also with a delay
	withdrawn  = "withdrawn"   // with a delay, and perhaps cancelled before
	message    = "message"     // a message of a topic, sent with XADD
)

// Outcomes of calls.
const (
	unknown  = "unknown" // no response: it may have been accepted
	accepted = "accepted"
	refused  = "refused"
	taken    = "taken back" // accepted, then cancelled before it was due
)

// A call is one call of a client and everything that is known about it.
type call struct {
	N        int       `json:"n"`
	Kind     string    `json:"kind"`
	Asked    time.Time `json:"asked"`
	Answered time.Time `json:"answered"` // time of the last response, or of giving up
	Tries    int       `json:"tries"`
	Outcome  string    `json:"outcome"`
	Why      string    `json:"why,omitempty"` // the last refusal or error
	Order    string    `json:"order,omitempty"`
	CallID   string    `json:"call_id,omitempty"`
	Callback bool      `json:"callback,omitempty"` // it asks for a callback
	Cancel   bool      `json:"cancel,omitempty"`   // the client cancelled it
	NotUntil time.Time `json:"not_until,omitzero"` // it must not run before

	Done      time.Time       `json:"done"` // first completion
	Begun     int             `json:"begun"`
	First     time.Time       `json:"first"`  // first start
	Doings    int             `json:"doings"` // number of completions
	CallIDs   map[string]bool `json:"call_ids,omitempty"`
	Callbacks int             `json:"callbacks,omitempty"`

	body string
}

func (c *call) String() string {
	return fmt.Sprintf("%s %d (%s after %d tries, asked %s, answered %s, begun %d, done %d; order %q, call "+
		"%q; %s)", c.Kind, c.N, c.Outcome, c.Tries,
		c.Asked.Format("15:04:05.000"), c.Answered.Format("15:04:05.000"), c.Begun, c.Doings,
		c.Order, c.CallID, c.Why)
}

// A book records all calls of a run and everything that was wrong.
type book struct {
	mu        sync.Mutex
	calls     []*call
	callbacks map[string]int // successful ones, by call id
	answered  []time.Time    // times of successful responses
	restocked map[string]int // accepted grams by ingredient
	happened  []happening
	buried    []time.Time
	takeovers []takeover
	seen      map[string]bool // counted dead letters: queue, id and time of death
	redriven  int
	wrong     []string
	notes     []string
}

func newBook() *book {
	return &book{callbacks: map[string]int{}, restocked: map[string]int{}, seen: map[string]bool{}}
}

// open records a new call.
func (b *book) open(kind string) *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &call{N: len(b.calls), Kind: kind, Asked: time.Now(), Outcome: unknown}
	b.calls = append(b.calls, c)
	return c
}

// close records the outcome of a call.
func (b *book) close(c *call, outcome, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.Outcome, c.Why, c.Answered = outcome, why, time.Now()
	if outcome == accepted {
		b.answered = append(b.answered, c.Answered)
	}
}

// fault records a violation.
func (b *book) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

// note records an observation.
func (b *book) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// counts returns the numbers of all, accepted and refused calls.
func (b *book) counts() (all, taken, turned int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		switch c.Outcome {
		case accepted:
			taken++
		case refused:
			turned++
		}
	}
	return len(b.calls), taken, turned
}
