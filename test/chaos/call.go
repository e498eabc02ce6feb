package main

import (
	"fmt"
	"sync"
	"time"
)

// What a client asked for.
const (
	order      = "order"       // a sync order
	asyncOrder = "async order" // over the queue
	once       = "once"        // an async call of the probe, asked once
	keyed      = "keyed"       // one with an Idempotency-Key, asked until it is answered
	identified = "identified"  // one with an X-Call-Id that all of these have, and a key of its own, likewise
	delayed    = "delayed"     // one that is to be made later, likewise
	withdrawn  = "withdrawn"   // one that is to be made later, and may be cancelled before
	message    = "message"     // a message of a topic, put there by XADD
)

// What came of asking.
const (
	unknown  = "unknown" // no answer: it may have been taken, or not
	accepted = "accepted"
	refused  = "refused"
	taken    = "taken back" // it was accepted, and then cancelled before it was due
)

// A call is one thing that a client asked for, with all that is known of it.
type call struct {
	N        int       `json:"n"`
	Kind     string    `json:"kind"`
	Asked    time.Time `json:"asked"`
	Answered time.Time `json:"answered"` // when the last answer came, or none
	Tries    int       `json:"tries"`
	Outcome  string    `json:"outcome"`
	Why      string    `json:"why,omitempty"` // the last refusal or error
	Order    string    `json:"order,omitempty"`
	CallID   string    `json:"call_id,omitempty"`
	Callback bool      `json:"callback,omitempty"` // it wants one
	Cancel   bool      `json:"cancel,omitempty"`   // the client wanted it cancelled
	NotUntil time.Time `json:"not_until,omitzero"` // it must not be made before

	Done      time.Time       `json:"done"` // when it was done for the first time
	Begun     int             `json:"begun"`
	First     time.Time       `json:"first"`  // when it was begun for the first time
	Doings    int             `json:"doings"` // how often it was done
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

// A book has all calls of a run, and what was seen to be wrong.
type book struct {
	mu        sync.Mutex
	calls     []*call
	callbacks map[string]int // with an answer that is a success, by call id
	answered  []time.Time    // when clients got a success
	restocked map[string]int // grams by ingredient, of what was accepted
	happened  []happening
	buried    []time.Time
	takeovers []takeover
	seen      map[string]bool // dead letters that were counted: queue, id and burial
	redriven  int
	wrong     []string
	notes     []string
}

func newBook() *book {
	return &book{callbacks: map[string]int{}, restocked: map[string]int{}, seen: map[string]bool{}}
}

// open begins a call.
func (b *book) open(kind string) *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &call{N: len(b.calls), Kind: kind, Asked: time.Now(), Outcome: unknown}
	b.calls = append(b.calls, c)
	return c
}

// close says what came of a call.
func (b *book) close(c *call, outcome, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.Outcome, c.Why, c.Answered = outcome, why, time.Now()
	if outcome == accepted {
		b.answered = append(b.answered, c.Answered)
	}
}

// fault says that something is not as it must be.
func (b *book) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

// note keeps something worth knowing.
func (b *book) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// counts are how many calls there are, and how many of them were accepted and refused.
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
