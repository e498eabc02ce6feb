package dispatch

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// An outcome is the result of one delivery.
type outcome struct {
	reached    bool   // the call reached the function, as far as is known
	status     int    // of the answer; 0 if there was none
	malformed  bool   // no call was made: the message cannot be read
	lapsed     bool   // no call was made: the attempts were used up before
	final      bool   // there was no answer, and a retry would get none
	internal   bool   // the platform made this answer, not the function
	retryAfter string // the header
	reason     string // for people: why there was no answer
	detail     string // for people: the detail of the answer
}

// A verdict is what to do with a message.
type verdict struct {
	do     action
	wait   time.Duration // before it is delivered again
	reason string        // for the dead letter
	kind   string        // the kind of reason, if it is buried: one of Reasons
}

type action int

const (
	settle action = iota
	giveBack
	retry
	bury
)

func (a action) String() string { return [...]string{"settle", "give back", "retry", "bury"}[a] }

// Delivered is the outcome of a delivery, for Config.Delivered.
type Delivered struct {
	Outcome  string // Done, Busy, Retried, Buried or Cancelled
	Reason   string // if Buried: one of Reasons
	Attempt  int    // 1 on the first try
	Callback bool   // it was a callback, not a call of the function

	// Waited is, on the first attempt, how long the call was queued; a delayed call counts from its
	// time. It is measured by Redis's clock alone.
	Waited time.Duration
}

// Outcomes of a delivery.
const (
	Done    = "done"    // settled, by the dispatcher or by the function's commit
	Busy    = "busy"    // it did not reach the function, and is delivered again: no attempt
	Retried = "retried" // it failed, and is delivered again
	Buried  = "buried"  // it became a dead letter

	// another gateway has queued it, and the function's commit will settle it; only spans say so
	Accepted  = "accepted"
	Cancelled = "cancelled" // it was deleted from the queue while in flight
)

// Why a message is a dead letter. They are few, as they are labels of a metric; the dead letter says more.
const (
	Exhausted     = "attempts"      // the last attempt failed
	NotRetried    = "not_retried"   // answered with a status that is not retried
	Undeliverable = "undeliverable" // it did not reach the function for too long
	Lapsed        = "lapsed"        // the attempts were begun, and their outcome is unknown
	Malformed     = "malformed"     // the message cannot be read
	Refused       = "refused"       // a callback to an address that is not allowed
)

// Reasons are all reasons for dead letters.
var Reasons = [...]string{Exhausted, NotRetried, Undeliverable, Lapsed, Malformed, Refused}

var outcomeOf = [...]string{settle: Done, giveBack: Busy, retry: Retried, bury: Buried}

const (
	// before a call that found no room is delivered again; it grows with its age
	busyWait    = 50 * time.Millisecond
	longestBusy = 5 * time.Second
)

// A spread is how waits before retries are spread, and where in its range this wait falls: from 0 to 1.
type spread struct {
	backoff hearth.Backoff
	at      float64
}

// decide decides what to do with a message after its attempt-th delivery. age is the time since it was first
// taken.
//
// Retries follow https://docs.openfaas.com/openfaas-pro/retries/. An answer of the platform itself is always
// retried; others are if their status is in the policy's list. Retry-After is obeyed for 429 and 503, within
// the minimum wait and the greatest age of a call.
func decide(p hearth.RetryPolicy, attempt int, age time.Duration, o outcome, s spread) verdict {
	if o.status >= 200 && o.status < 400 {
		return verdict{do: settle}
	}
	what := o.reason
	if o.status != 0 {
		what = fmt.Sprintf("answered %d %s", o.status, http.StatusText(o.status))
		if o.detail != "" {
			what += ": " + o.detail
		}
		if o.reason != "" {
			what = o.reason
		}
	}
	if !o.reached {
		if age > p.MaxAge {
			return verdict{do: bury, kind: Undeliverable,
				reason: fmt.Sprintf("it could not be delivered for %v: %s", p.MaxAge, what)}
		}
		return verdict{do: giveBack, wait: min(max(busyWait, age/8), longestBusy)}
	}
	if o.final {
		return verdict{do: bury, kind: Refused, reason: what}
	}
	if !o.internal && o.status != 0 && !slices.Contains(p.Codes, o.status) {
		return verdict{do: bury, kind: kindOf(o, NotRetried), reason: what + " (this is not retried)"}
	}
	if attempt >= p.Attempts {
		return verdict{do: bury, kind: kindOf(o, Exhausted),
			reason: fmt.Sprintf("%s, at attempt %d of %d", what, attempt, p.Attempts)}
	}
	wait := s.of(backoff(p, attempt))
	if after, ok := parseRetryAfter(o.retryAfter, time.Now()); ok &&
		(o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable) {
		wait = min(max(after, p.MinWait), max(p.MaxAge, p.MinWait))
	}
	return verdict{do: retry, wait: wait, reason: what}
}

// kindOf returns the kind of reason for a dead letter that was not delivered this time, and otherwise for any
// other.
func kindOf(o outcome, otherwise string) string {
	switch {
	case o.malformed:
		return Malformed
	case o.lapsed:
		return Lapsed
	}
	return otherwise
}

// backoff returns the wait after an attempt: the minimum after the first, twice that after the second, up to
// the maximum.
func backoff(p hearth.RetryPolicy, attempt int) time.Duration {
	wait := math.Ldexp(float64(p.MinWait), min(attempt-1, 62))
	return time.Duration(min(wait, float64(p.MaxWait)))
}

// of returns the part of a wait that is waited.
func (s spread) of(wait time.Duration) time.Duration {
	switch s.backoff {
	case hearth.BackoffFull:
		return time.Duration(s.at * float64(wait))
	case hearth.BackoffEqual:
		return time.Duration((1 + s.at) / 2 * float64(wait))
	}
	return wait
}

// parseRetryAfter reads seconds or a date; RFC 9110, 10.2.3.
func parseRetryAfter(value string, now time.Time) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	if n, err := strconv.Atoi(value); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, at.Sub(now)), true
}
