package redis

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/hearth"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// lua reads a script, and puts settle before it.
func lua(drains bool, name string) *chain.Lua {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return chain.NewLua(chain.SettleLua+string(text), drains)
}

var (
	enqueueLua     = lua(false, "enqueue")
	takeLua        = lua(true, "take")
	finishLua      = lua(true, "finish")
	deferLua       = lua(true, "defer")
	buryLua        = lua(true, "bury")
	redriveLua     = lua(true, "redrive")
	purgeLua       = lua(true, "purge")
	renewLua       = lua(true, "renew")
	reclaimLua     = lua(true, "reclaim")
	sweepLua       = lua(true, "sweep")
	unsubscribeLua = lua(true, "unsubscribe")
	oldestLua      = lua(true, "oldest")
)

// ErrNoGroup: the subscription's consumer group is not there, though it was made.
var ErrNoGroup = errors.New("the consumer group is lost")

// A Call is one to queue.
type Call struct {
	chain.Entry

	// Key is the caller's Idempotency-Key: a call with the same key is queued once, and another call with it is refused.
	Key string
	// Repeated means that the call id came from the caller: the same call with it is queued once. Another call with the
	// same id is another call.
	Repeated bool
}

// remember is for how long a key is known.
const remember = 24 * time.Hour

// Enqueue puts a call on a function's own queue and returns the call's id, which is another one if the call was queued
// before. When it returns, Redis has the call, as safe as its durability is.
//
// It returns ErrNoGroup if the function has no queue, an error of code Exhausted if that has limit entries, Conflict if the key
// was used for another call, and Unavailable if Redis is away or full; then the call may have been queued only if the connection broke.
func (c *Client) Enqueue(ctx context.Context, n hearth.Name, call Call, limit int) (callID string, err error) {
	fields, err := call.Values()
	if err != nil {
		return "", err
	}
	keys, digest := []string{CallsOf(n).Stream}, ""
	client := c.once
	if call.Key != "" || call.Repeated {
		digest = call.digest()
		used := "key " + call.Key
		if call.Key == "" {
			used = "call " + call.CallID + " " + digest
		}
		keys = append(keys, keyOnce(n, hash(used)))
		client = c.rdb
	}
	args := append([]any{limit, digest, call.CallID, remember.Milliseconds(), CallsOf(n).Group}, fields...)
	got, err := enqueueLua.Run(ctx, client, keys, args...).StringSlice()
	if err != nil {
		return "", away("queue the call of "+n.Function, err)
	}
	switch got[0] {
	case "queued":
		return call.CallID, nil
	case "same":
		return got[1], nil
	case "nogroup":
		return "", fmt.Errorf("%w: %s", ErrNoGroup, CallsOf(n))
	case "other":
		return "", hearth.Errorf(hearth.Conflict, "the Idempotency-Key was used for another call of %s: use another key", n.Function)
	}
	return "", hearth.Errorf(hearth.Exhausted, "the queue of %s is full, with %d calls: try again later", n.Function, limit)
}

// digest tells one call from another.
func (c Call) digest() string {
	return hash(strings.Join([]string{c.Method, c.Path, c.Query, string(c.Body)}, "\x00"))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// A Delivery is an entry that was taken, and the lease on it.
type Delivery struct {
	ID      string
	Attempt int
	Since   time.Time // when it was first taken, by Redis's clock
	Token   string
	Fields  []string // of the entry; nil if the entry is gone
}

// A Batch is what Take took.
type Batch struct {
	Deliveries []Delivery
	Next       time.Duration // until something else may be taken without anything new coming; negative if nothing will
	Drained    bool          // nothing waits now
	Last       string        // the id up to which the group has read, if drained
}

// Take leases up to n entries of a subscription: those whose lease ran out, those whose time to retry has come, and new
// ones. instance names this hearth, for Reclaim. A lost answer leaves leases that run out, so this is never sent twice.
//
// It returns ErrNoGroup if the group is not there.
func (c *Client) Take(ctx context.Context, s chain.Subscription, n int, lease time.Duration, instance string) (Batch, error) {
	got, err := takeLua.Run(ctx, c.once, s.Keys(), s.Group, consumer, n, lease.Milliseconds(), instance, rand.Text()).Slice()
	if err != nil {
		if strings.HasPrefix(err.Error(), "NOGROUP") || strings.Contains(err.Error(), "NOGROUP") {
			return Batch{}, fmt.Errorf("%w: %s", ErrNoGroup, s)
		}
		return Batch{}, away("take from "+s.Stream, err)
	}
	b := Batch{Next: time.Duration(got[1].(int64)) * time.Millisecond, Drained: got[2].(int64) == 1, Last: got[3].(string)}
	for _, item := range got[0].([]any) {
		e := item.([]any)
		d := Delivery{ID: e[0].(string), Attempt: int(e[1].(int64)), Since: time.UnixMilli(e[2].(int64)), Token: e[3].(string)}
		if len(e) > 4 && e[4] != nil {
			for _, f := range e[4].([]any) {
				d.Fields = append(d.Fields, f.(string))
			}
		}
		b.Deliveries = append(b.Deliveries, d)
	}
	return b, nil
}

// A Callback is a call to make once another was answered. Its subscription, CallbacksOf, must have been made.
type Callback struct {
	Of    hearth.Name
	Entry chain.Entry
}

// finishing are the keys and args of a script that may queue a callback; fixed are its args before the callback's.
func finishing(s chain.Subscription, cb *Callback, fixed ...any) (keys []string, args []any, err error) {
	keys, args = s.Keys(), fixed
	if cb == nil {
		return keys, args, nil
	}
	fields, err := cb.Entry.Values()
	return append(keys, CallbacksOf(cb.Of).Stream), append(args, fields...), err
}

// Settle ends a delivery that was answered, and queues its callback, if any, in the same step. done is false if it was
// settled before; then no callback is queued.
func (c *Client) Settle(ctx context.Context, s chain.Subscription, d Delivery, cb *Callback) (done bool, err error) {
	keys, args, err := finishing(s, cb, s.Group, d.ID, d.Token)
	if err != nil {
		return false, err
	}
	n, err := finishLua.Run(ctx, c.rdb, keys, args...).Int()
	if err != nil {
		return false, away("settle "+d.ID+" of "+s.Stream, err)
	}
	if n < 0 {
		return false, fmt.Errorf("settle %s of %s: the token is not known", d.ID, s.Stream)
	}
	return n == 1, nil
}

// A Failure is one failed attempt.
type Failure struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Reason  string    `json:"reason"`
	Status  int       `json:"status,omitempty"` // of the answer, if there was one
	Body    string    `json:"body,omitempty"`   // its beginning
	Replica string    `json:"replica,omitempty"`
}

// Retry gives a delivery back, to be taken again after a while, and notes why. held is false if somebody else holds it now.
func (c *Client) Retry(ctx context.Context, s chain.Subscription, d Delivery, wait time.Duration, why Failure) (held bool, err error) {
	line, err := json.Marshal(why)
	if err != nil {
		return false, err
	}
	return c.giveBack(ctx, s, d, wait, string(line))
}

// Busy gives a delivery back that never reached the function. It counts as no attempt.
func (c *Client) Busy(ctx context.Context, s chain.Subscription, d Delivery, wait time.Duration) (held bool, err error) {
	return c.giveBack(ctx, s, d, wait, "busy")
}

// BreakOff gives a delivery back whose call is broken off, since hearth ends. It counts as no attempt, but the function may
// still commit.
func (c *Client) BreakOff(ctx context.Context, s chain.Subscription, d Delivery) (held bool, err error) {
	return c.giveBack(ctx, s, d, 0, "broken")
}

func (c *Client) giveBack(ctx context.Context, s chain.Subscription, d Delivery, wait time.Duration, what string) (bool, error) {
	n, err := deferLua.Run(ctx, c.rdb, s.Keys(), s.Group, d.ID, d.Token, wait.Milliseconds(), what).Int()
	return n == 1, away("give back "+d.ID+" of "+s.Stream, err)
}

// Bury gives a delivery up: it becomes a dead letter. The callback, if any, is told the last answer.
func (c *Client) Bury(ctx context.Context, s chain.Subscription, d Delivery, why Failure, cb *Callback) (held bool, err error) {
	line, err := json.Marshal(why)
	if err != nil {
		return false, err
	}
	keys, args, err := finishing(s, cb, s.Group, d.ID, d.Token, string(line))
	if err != nil {
		return false, err
	}
	n, err := buryLua.Run(ctx, c.rdb, keys, args...).Int()
	return n == 1, away("bury "+d.ID+" of "+s.Stream, err)
}

// Renew lets leases go on.
func (c *Client) Renew(ctx context.Context, s chain.Subscription, lease time.Duration, held []Delivery) error {
	args := []any{lease.Milliseconds()}
	for _, d := range held {
		args = append(args, d.ID, d.Token)
	}
	return away("renew leases of "+s.Stream, renewLua.Run(ctx, c.rdb, s.Keys(), args...).Err())
}

// Reclaim ends all leases of an instance that is known to be dead: its own former life.
func (c *Client) Reclaim(ctx context.Context, s chain.Subscription, instance string) (int, error) {
	n, err := reclaimLua.Run(ctx, c.rdb, s.Keys(), instance).Int()
	return n, away("reclaim leases of "+s.Stream, err)
}

// Sweep leases the entries that are pending and in none of the sets, and returns how many there were.
func (c *Client) Sweep(ctx context.Context, s chain.Subscription, lease time.Duration) (int, error) {
	n, err := sweepLua.Run(ctx, c.rdb, s.Keys(), s.Group, lease.Milliseconds()).Int()
	return n, away("sweep "+s.Stream, err)
}
