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

// An outcome is what one delivery came to.
type outcome struct {
	reached    bool   // the call reached the function, as far as anybody can tell
	status     int    // of the answer; 0 if there was none
	malformed  bool   // there was no delivery: it cannot be read
	lapsed     bool   // there was no delivery: the attempts before were the last
	final      bool   // there was no answer, and there never will be
	internal   bool   // the platform made this answer, not the function
	retryAfter string // the header
	reason     string // for people: why there was no answer
	detail     string // for people: what the answer says of itself
}

// A verdict is what becomes of an entry.
type verdict struct {
	do     action
	wait   time.Duration // before it is taken again
	reason string        // for the dead letter
	kind   string        // of the reason, if it is buried: one of Reasons
}

type action int

const (
	settle action = iota
	giveBack
	retry
	bury
)

func (a action) String() string { return [...]string{"settle", "give back", "retry", "bury"}[a] }

// Delivered is what a delivery came to, as Config.Delivered is told.
type Delivered struct {
	Came     string // Done, Busy, Retried, Buried or Cancelled
	Reason   string // if Buried: one of Reasons
	Attempt  int    // 1 on the first try
	Callback bool   // it was not to the function, but of its answer

	// Waited is, on the first attempt, for how long the call lay on its queue before it was taken: since it was queued, or since the time
	// that it had to wait for. It is by Redis's clock alone.
	Waited time.Duration
}

// What a delivery came to.
const (
	Done    = "done"    // it is settled, by us or by the function's commit
	Busy    = "busy"    // it did not reach the function, and comes again: no attempt
	Retried = "retried" // it failed, and comes again
	Buried  = "buried"  // it is a dead letter

	Accepted  = "accepted"  // another gateway queues it, and the function's commit will settle it; only spans say so
	Cancelled = "cancelled" // somebody took it from the queue while it was under way
)

// Why a delivery is a dead letter: few, for they are labels of a metric. The dead letter itself has it in words.
const (
	Exhausted     = "attempts"      // its last attempt failed
	NotRetried    = "not_retried"   // answered with a status that is not retried
	Undeliverable = "undeliverable" // it did not reach the function for too long
	Lapsed        = "lapsed"        // its attempts were begun, and nobody told how they ended
	Malformed     = "malformed"     // its entry cannot be read
	Refused       = "refused"       // a callback to where none may go
)

// Reasons are all of them.
var Reasons = []string{Exhausted, NotRetried, Undeliverable, Lapsed, Malformed, Refused}

var cameTo = [...]string{settle: Done, giveBack: Busy, retry: Retried, bury: Buried}

const (
	busyWait    = 50 * time.Millisecond // before a call that found no room is tried again; it grows with its age
	longestBusy = 5 * time.Second
)

// A spread is how the waits before retries are spread, and where in its range this one falls: from 0 to 1.
type spread struct {
	backoff hearth.Backoff
	at      float64
}

// decide says what becomes of an entry after its attempt-th delivery. age is since it was first taken.
//
// Retries follow https://docs.openfaas.com/openfaas-pro/retries/: an answer that the platform made is always retried, others
// if their status is in the policy's list; Retry-After is obeyed for 429 and 503, but is never under the minimum, nor over
// the age up to which calls are kept.
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
			return verdict{do: bury, kind: Undeliverable, reason: fmt.Sprintf("it could not be delivered for %v: %s", p.MaxAge, what)}
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
		return verdict{do: bury, kind: kindOf(o, Exhausted), reason: fmt.Sprintf("%s, at attempt %d of %d", what, attempt, p.Attempts)}
	}
	wait := s.of(backoff(p, attempt))
	if after, ok := parseRetryAfter(o.retryAfter, time.Now()); ok && (o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable) {
		wait = min(max(after, p.MinWait), max(p.MaxAge, p.MinWait))
	}
	return verdict{do: retry, wait: wait, reason: what}
}

// kindOf is why an entry is buried, if it was not delivered this time, else another reason.
func kindOf(o outcome, otherwise string) string {
	switch {
	case o.malformed:
		return Malformed
	case o.lapsed:
		return Lapsed
	}
	return otherwise
}

// backoff is exponential: the minimum after the first attempt, twice that after the second, up to the maximum.
func backoff(p hearth.RetryPolicy, attempt int) time.Duration {
	wait := math.Ldexp(float64(p.MinWait), min(attempt-1, 62))
	return time.Duration(min(wait, float64(p.MaxWait)))
}

// of is the part of a wait that is waited.
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
