package redis

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// A Call is a call to queue.
type Call struct {
	wire.Entry

	// Key is the caller's Idempotency-Key, if it has one: the same call with the same key is queued once, and
	// another call with it is refused. The call id has no part in it.
	Key string
}

// A State is the state of a queued call.
type State string

// The states of a call.
const (
	Queued   State = "queued"    // it waits to be delivered
	InFlight State = "in-flight" // it is being delivered
	Delayed  State = "delayed"   // it waits for its time, or for a retry
	Dead     State = "dead"      // it was given up: a dead letter
	Finished State = "finished"  // it was answered
	Past     State = "ended"     // it was answered, cancelled or purged

	// Unknown is the state of a call whose Idempotency-Key was noted by a version before this one, which did
	// not keep the state, and of one that StateOf has not found among too many.
	Unknown State = "unknown"
)

// A QueuedCall is a call that Enqueue queued, or found.
type QueuedCall struct {
	CallID string
	ID     string // of its entry; "" if the state is Unknown
	State  State
	Before bool // another request queued it, with the same Idempotency-Key

	Dropped int // callbacks that were given up, and dropped to make room
}

const (
	fieldKey  = "key" // of an entry: the hash of its Idempotency-Key
	sizeOfKey = 256   // what a key adds to the size of its call, as in queue.lua
)

// Enqueue puts a call on a function's own queue, unless one with the same Idempotency-Key is known. When it
// returns, Redis has the call, as safe as its durability is.
//
// A key is known as long as its call is queued, in flight, delayed or dead, and a day longer if that was
// answered. A call that is cancelled or purged frees its key.
//
// Calls and callbacks of a function have one limit, which is at most half of Redis's memory; callbacks that
// were given up make room for calls. The last tenth of that memory is for other things than calls.
//
// It returns ErrNoGroup if the function has no queue, an error of code Exhausted if that has reached the
// limit, Unprocessable if the key was used for another call, and Unavailable if Redis is full or does not
// answer; then the call may have been queued only if the connection broke. A call without a key is never sent
// to Redis twice, and one with a key is known there by the request that brings it.
func (c *Client) Enqueue(
	ctx context.Context, n hearth.Name, call Call, limit hearth.QueueLimit,
) (QueuedCall, error) {
	fields, err := call.Values()
	if err != nil {
		return QueuedCall{}, err
	}
	calls := CallsOf(n)
	keys := withCallbacks(n)
	key, digest, older := "", "", ""
	if call.Key != "" {
		key = hash(call.Key)
		keys = append(keys, keyOnce(n, hash("key "+call.Key)))
		digest, older = call.digests()
		fields = append(fields, fieldKey, key)
	}
	ok, most := c.room(ctx, keys[0], size(fields)+perCall)
	if most > 0 {
		limit.Bytes = min(limit.Bytes, most)
	}
	full := &hearth.Error{
		Code:    hearth.Unavailable,
		Message: "Redis is full: could not queue the call of " + n.Function,
	}
	switch {
	case !ok && key == "":
		return QueuedCall{}, full
	case !ok:
		limit.Length = 0 // it is still told of a call that was queued before
	}
	args := append([]any{
		limit.Length, limit.Bytes, calls.Group, key, digest, rand.Text(), call.CallID, older,
	}, fields...)
	var cmd *goredis.Cmd
	if c.embedded {
		cmd = enqueueLua.Run(ctx, c.once, keys, args...)
	} else {
		cmd = c.together(keys[0]).run(ctx, enqueueLua, keys, args)
	}
	if key != "" && wire.IsUnavailable(cmd.Err()) {
		cmd = enqueueLua.Run(ctx, c.rdb, keys, args...)
	}
	got, err := cmd.StringSlice()
	if err != nil {
		return QueuedCall{}, unavailable("queue the call of "+n.Function, err)
	}
	switch got[0] {
	case "queued":
		q := QueuedCall{CallID: call.CallID, ID: got[1], State: Queued}
		q.Dropped, _ = strconv.Atoi(got[2])
		if !call.DeliverAt.IsZero() {
			q.State = Delayed
		}
		return q, nil
	case "known":
		return QueuedCall{CallID: got[2], ID: got[3], State: State(got[1]), Before: true}, nil
	case "nogroup":
		return QueuedCall{}, fmt.Errorf("%w: %s", ErrNoGroup, calls)
	case "other":
		return QueuedCall{}, hearth.Errorf(hearth.Unprocessable,
			"the Idempotency-Key was used for another call of %s: use another key", n.Function)
	}
	if !ok {
		return QueuedCall{}, full
	}
	return QueuedCall{}, hearth.Errorf(hearth.Exhausted,
		"the queue of %s is full: it has %s calls with %s bytes in total%s%s, and may have %d with %d: "+
			"try again later",
		n.Function, got[1], got[2], among(got[3], "dead letters"), among(got[4], "callbacks"),
		limit.Length, limit.Bytes)
}

// size returns the total size of fields and values.
func size(fields []any) (n int64) {
	for _, f := range fields {
		switch text := f.(type) {
		case string:
			n += int64(len(text))
		case []byte:
			n += int64(len(text))
		}
	}
	return n
}

func among(n, what string) string {
	if n == "0" {
		return ""
	}
	return fmt.Sprintf(", %s of them %s", n, what)
}

// digests tell one call from another. The second is what versions before this one made of it.
func (c Call) digests() (digest, older string) {
	now := []string{c.Method, c.Path, c.Query, c.ContentType, c.Callback, string(c.Body)}
	before := []string{c.Method, c.Path, c.Query, string(c.Body)}
	return hash(strings.Join(now, "\x00")), hash(strings.Join(before, "\x00"))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
