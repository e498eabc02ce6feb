package calls

import (
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A State is what has become of a call.
type State string

// The states of a call.
const (
	Queued    State = "queued"    // it can be delivered
	Delayed   State = "delayed"   // it waits for its time of delivery
	InFlight  State = "in_flight" // a replica has it, or will get it
	Retrying  State = "retrying"  // an attempt failed, and another follows
	Succeeded State = "succeeded"
	Failed    State = "failed" // a sync call that was answered with 400 or more
	Dead      State = "dead"   // it is a dead letter, or was one when it was purged
	Cancelled State = "cancelled"
)

// States are all states.
var States = []State{Queued, Delayed, InFlight, Retrying, Succeeded, Failed, Dead, Cancelled}

// A Kind is how a call came.
type Kind string

// The kinds of calls.
const (
	Sync      Kind = "sync"
	Async     Kind = "queued" // of a function's own queue
	Scheduled Kind = "schedule"
	Topic     Kind = "topic"
	Callback  Kind = "callback"
)

// Kinds are all kinds.
var Kinds = []Kind{Sync, Async, Scheduled, Topic, Callback}

// A Call is one call as the record knows it. Times of queued calls are Redis's but StartedAt, which is its
// instance's.
type Call struct {
	ID        string `json:"id"` // QUEUE/MESSAGE-ID, or INSTANCE/NUMBER of a sync call
	CallID    string `json:"call_id"`
	TraceID   string `json:"trace_id,omitempty"`
	Kind      Kind   `json:"kind"`
	Function  string `json:"function"`
	Namespace string `json:"namespace"`
	Queue     string `json:"queue,omitempty"`
	Topic     string `json:"topic,omitempty"`
	State     State  `json:"state"`
	Status    int    `json:"status,omitempty"` // of the last answer
	Method    string `json:"method"`
	Path      string `json:"path"`

	QueuedAt  *time.Time `json:"queued_at,omitempty"`
	StartedAt *time.Time `json:"started_at,omitempty"` // the last attempt
	EndedAt   *time.Time `json:"ended_at,omitempty"`

	QueueWait float64 `json:"queue_wait_ms"` // until it was first taken; so far, if it was not
	ColdStart float64 `json:"cold_start_ms"`
	Run       float64 `json:"run_ms"` // of the last attempt, without its cold start
	Attempt   int     `json:"attempt,omitempty"`
	Replica   string  `json:"replica,omitempty"`
	Reason    string  `json:"reason,omitempty"` // why the last attempt failed
	Why       string  `json:"why,omitempty"`    // why it waits

	// Recorded bodies, if the function asks for them. Only Get returns them.
	Bodies *RecordedBodies `json:"bodies,omitempty"`

	span, parent string
	commit       float64
	entry        string // of the record, or ""
	detail       string // of the details, or ""
	failures     []redis.Failure
	name         hearth.Name
}

// RecordedBodies are Bodies for people.
type RecordedBodies struct {
	Request     []byte              `json:"request,omitempty"` // base64 in JSON
	ContentType string              `json:"content_type,omitempty"`
	Query       string              `json:"query,omitempty"`
	Header      map[string][]string `json:"header,omitempty"`
	Answer      []byte              `json:"answer,omitempty"` // its beginning
	TooLarge    bool                `json:"too_large,omitempty"`
}

// begun returns the time by which calls are sorted, in ms since 1970: when it was queued, or when a sync call
// began.
func (c *Call) begun() int64 {
	switch {
	case c.QueuedAt != nil:
		return c.QueuedAt.UnixMilli()
	case c.StartedAt != nil:
		return c.StartedAt.UnixMilli()
	}
	return 0
}

// before reports whether a call comes before another one in a list with the newest first.
func (c *Call) before(ms int64, id string) bool {
	if c.begun() != ms {
		return c.begun() > ms
	}
	return c.ID > id
}

// Measured reports whether it is known how long the last attempt took. That of a message which a commit has
// just settled follows within a second.
func (c *Call) Measured() bool { return c.EndedAt != nil && c.Run+c.ColdStart > 0 }

// An Attempt is one attempt at a call, with its outcome.
type Attempt struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Status  int       `json:"status,omitempty"`
	Replica string    `json:"replica,omitempty"`
	Reason  string    `json:"reason,omitempty"` // why it failed; "" for a success
	Body    string    `json:"body,omitempty"`   // the beginning of a failing answer
}

// attempts returns the attempts at a call, oldest first.
func (c *Call) attempts() []Attempt {
	list := []Attempt{}
	for _, f := range c.failures {
		list = append(list, Attempt{
			Attempt: f.Attempt,
			At:      f.At,
			Status:  f.Status,
			Replica: f.Replica,
			Reason:  f.Reason,
			Body:    f.Body,
		})
	}
	if c.State == Succeeded && c.EndedAt != nil {
		list = append(list, Attempt{
			Attempt: max(c.Attempt, 1),
			At:      *c.EndedAt,
			Status:  c.Status,
			Replica: c.Replica,
		})
	}
	return list
}
