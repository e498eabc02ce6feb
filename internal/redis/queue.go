package redis

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// lua reads a script that finishes work, so that a full Redis runs it, too. Before it come the helpers of
// such scripts.
func lua(name string) *wire.Lua {
	return wire.NewLua(wire.SettleLua+luaText("queue")+luaText(name), true)
}

// accepting is lua for a script that accepts work: a full Redis refuses it.
func accepting(name string) *wire.Lua {
	return wire.NewLua(wire.SettleLua+luaText("queue")+luaText(name), false)
}

func luaText(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(text)
}

var (
	enqueueLua     = accepting("enqueue")
	takeLua        = lua("take")
	pauseLua       = lua("pause")
	finishLua      = lua("finish")
	deferLua       = lua("defer")
	buryLua        = lua("bury")
	redriveLua     = lua("redrive")
	purgeLua       = lua("purge")
	renewLua       = lua("renew")
	untakeLua      = lua("untake")
	reclaimLua     = lua("reclaim")
	sweepLua       = lua("sweep")
	unsubscribeLua = lua("unsubscribe")
	oldestLua      = lua("oldest")
	cancelLua      = lua("cancel")
	clearLua       = lua("clear")
	roomLua        = lua("room")
	saveLua        = wire.NewLua(luaText("change"), false)
	tellLua        = lua("change")
	scaledLua      = lua("scaled")
	lookLua        = lua("look")
	acquireLua     = lua("acquire")
	releaseLua     = lua("release")
	adoptLua       = lua("adopt")
)

// ErrNoGroup is returned if the consumer group of a subscription does not exist.
var ErrNoGroup = errors.New("the consumer group does not exist")

// A Delivery is a message that was taken, and the lease on it.
type Delivery struct {
	ID      string
	Attempt int
	Since   time.Time // when it was first taken, by Redis's clock
	Token   string
	Fields  []string // of the stream entry; nil if the entry is gone

	// Record is what Settle adds to the record of calls; see package calls. "" adds nothing.
	Record string
}

// size returns the bytes that were counted when the entry was accepted, as queue.size in queue.lua does.
func (d Delivery) size() (n int) {
	for _, text := range d.Fields {
		n += len(text)
	}
	if d.key() != "" {
		n += sizeOfKey
	}
	return n
}

// key returns the hash of the call's Idempotency-Key, or "".
func (d Delivery) key() string {
	for i := 0; i+1 < len(d.Fields); i += 2 {
		if d.Fields[i] == fieldKey {
			return d.Fields[i+1]
		}
	}
	return ""
}

// A Batch is the result of Take.
type Batch struct {
	Deliveries []Delivery
	// until a lease or a wait ends, so that something may be taken; negative if none will
	Next    time.Duration
	Drained bool   // nothing is queued now
	Last    string // the id up to which the group has read, if drained

	Paused  bool // nothing is taken before Resume
	Blocked bool // nothing is taken before callbacks are delivered, which have reached their limit
	Dropped int  // dead callbacks that were dropped to make room
}

// A Holder is whoever takes deliveries.
type Holder struct {
	Instance string        // its name, which Reclaim and Untake ask for
	Lease    time.Duration // for how long a delivery belongs to it, unless it renews the lease

	// Patience is for how long leases that ran out are left to their holders. It is above 0 when Redis was
	// unavailable for so long that healthy holders could not renew.
	Patience time.Duration
}

// Take leases up to n messages of a subscription: those whose lease ran out, those that are due, and new
// ones. A lost answer leaves leases that nobody knows of, so the script is never sent twice; Untake ends
// them.
//
// It returns ErrNoGroup if the group is not there. It takes nothing of a subscription that is paused.
func (c *Client) Take(ctx context.Context, s wire.Subscription, n int, by Holder) (Batch, error) {
	keys, _ := counted(s)
	return c.take(ctx, s, keys, n, by, "")
}

// TakeCalls is Take for a function's own calls. It takes nothing while the callbacks have callbackBytes or
// more.
func (c *Client) TakeCalls(
	ctx context.Context, name hearth.Name, n int, by Holder, callbackBytes int64,
) (Batch, error) {
	return c.take(ctx, CallsOf(name), withCallbacks(name), n, by, callbackBytes)
}

func (c *Client) take(
	ctx context.Context, s wire.Subscription, keys []string, n int, by Holder, callbackBytes any,
) (Batch, error) {
	got, err := takeLua.Run(ctx, c.once, append(keys, keyPaused(s)),
		s.Group, consumer, n, by.Lease.Milliseconds(), by.Instance, rand.Text(), callbackBytes,
		by.Patience.Milliseconds()).Slice()
	if err != nil {
		if strings.HasPrefix(err.Error(), "NOGROUP") || strings.Contains(err.Error(), "NOGROUP") {
			return Batch{}, fmt.Errorf("%w: %s", ErrNoGroup, s)
		}
		return Batch{}, unavailable("take from "+s.Stream, err)
	}
	b := Batch{
		Next:    time.Duration(got[1].(int64)) * time.Millisecond,
		Drained: got[2].(int64) == 1,
		Last:    got[3].(string),
		Blocked: got[2].(int64) == 2,
		Paused:  got[2].(int64) == 3,
		Dropped: int(got[4].(int64)),
	}
	for _, item := range got[0].([]any) {
		e := item.([]any)
		d := Delivery{
			ID:      e[0].(string),
			Attempt: int(e[1].(int64)),
			Since:   time.UnixMilli(e[2].(int64)),
			Token:   e[3].(string),
		}
		if len(e) > 4 && e[4] != nil {
			for _, f := range e[4].([]any) {
				d.Fields = append(d.Fields, f.(string))
			}
		}
		b.Deliveries = append(b.Deliveries, d)
	}
	return b, nil
}

// A Callback tells a URL the answer of a call. Its subscription, CallbacksOf, must exist.
type Callback struct {
	Of    hearth.Name
	Entry wire.Entry
}

// counted returns a subscription's keys. For a function's own calls and callbacks, which are limited, they
// include the bytes, and for calls the Idempotency-Keys. kind is "calls", "callbacks", or "" for a topic,
// which has no limit.
func counted(s wire.Subscription) (keys []string, kind string) {
	n, err := hearth.ParseName(s.Group)
	if err != nil {
		return s.Keys(), ""
	}
	switch s {
	case CallsOf(n):
		return append(s.Keys(), keyBytes(n), keyKeys(n), keyEnded(n)), "calls"
	case CallbacksOf(n):
		return append(s.Keys(), keyCallbackBytes(n)), "callbacks"
	}
	return s.Keys(), ""
}

// recorded is counted with the subscription's record of calls at the end.
func recorded(s wire.Subscription) (keys []string, kind string) {
	keys, kind = counted(s)
	return append(keys, s.Record()), kind
}

// withCallbacks returns the keys of a function's own calls, and those of its callbacks.
func withCallbacks(n hearth.Name) []string {
	keys, _ := counted(CallsOf(n))
	callbacks, _ := counted(CallbacksOf(n))
	return append(keys, callbacks...)
}

// withCallback adds a callback, if there is one, to the keys and arguments of a script that queues it.
func withCallback(cb *Callback, keys []string, args []any) ([]string, []any, error) {
	if cb == nil {
		return keys, args, nil
	}
	fields, err := cb.Entry.Values()
	return append(keys, CallbacksOf(cb.Of).Stream, keyCallbackBytes(cb.Of)), append(args, fields...), err
}

// errForeignToken is returned for a token that was never issued for the message.
var errForeignToken = errors.New("the token was never issued for it")

// Settle ends a delivery, and queues its callback, if any, in the same step. done is false if it was settled
// before; then no callback is queued.
func (c *Client) Settle(
	ctx context.Context, s wire.Subscription, d Delivery, cb *Callback,
) (done bool, err error) {
	results, err := c.settle(ctx, s, []Delivery{d}, cb)
	if err != nil {
		return false, err
	}
	if results[0] < 0 {
		return false, fmt.Errorf("settle %s of %s: %w", d.ID, s.Stream, errForeignToken)
	}
	return results[0] == 1, nil
}

// SettleAll is Settle for several deliveries without callbacks, in one step. If one of them fails, it returns
// an error and has settled the others.
func (c *Client) SettleAll(ctx context.Context, s wire.Subscription, list []Delivery) error {
	results, err := c.settle(ctx, s, list, nil)
	for i, r := range results {
		if r < 0 {
			err = errors.Join(err, fmt.Errorf("settle %s of %s: %w", list[i].ID, s.Stream, errForeignToken))
		}
	}
	return err
}

func (c *Client) settle(
	ctx context.Context, s wire.Subscription, list []Delivery, cb *Callback,
) ([]int64, error) {
	keys, kind := counted(s)
	args := make([]any, 0, 3+5*len(list))
	args = append(args, s.Group, kind, len(list))
	for _, d := range list {
		args = append(args, d.ID, d.Token, d.size(), d.key(), d.Record)
	}
	keys, args, err := withCallback(cb, keys, args)
	if err != nil {
		return nil, err
	}
	results, err := finishLua.Run(ctx, c.rdb, append(keys, s.Record()), args...).Int64Slice()
	return results, unavailable("settle "+list[0].ID+" of "+s.Stream, err)
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

// Retry gives a delivery back, to be taken again after a while, and notes why. held is false if the lease is
// lost.
func (c *Client) Retry(
	ctx context.Context, s wire.Subscription, d Delivery, wait time.Duration, why Failure,
) (held bool, err error) {
	line, err := json.Marshal(why)
	if err != nil {
		return false, err
	}
	return c.giveBack(ctx, s, d, wait, string(line))
}

// Busy gives back a delivery that never reached the function. It counts as no attempt.
func (c *Client) Busy(
	ctx context.Context, s wire.Subscription, d Delivery, wait time.Duration,
) (held bool, err error) {
	return c.giveBack(ctx, s, d, wait, "busy")
}

// BreakOff gives back a delivery whose call is broken off, as this instance stops. It counts as no attempt,
// but the function may still commit.
func (c *Client) BreakOff(ctx context.Context, s wire.Subscription, d Delivery) (held bool, err error) {
	return c.giveBack(ctx, s, d, 0, "broken")
}

func (c *Client) giveBack(
	ctx context.Context, s wire.Subscription, d Delivery, wait time.Duration, what string,
) (bool, error) {
	keys, _ := counted(s)
	n, err := deferLua.Run(ctx, c.rdb, keys, s.Group, d.ID, d.Token, wait.Milliseconds(), what).Int()
	return n == 1, unavailable("give back "+d.ID+" of "+s.Stream, err)
}

// Bury makes a dead letter of a delivery, and queues its callback, if any, in the same step. held is false if
// the lease is lost.
func (c *Client) Bury(
	ctx context.Context, s wire.Subscription, d Delivery, why Failure, cb *Callback,
) (held bool, err error) {
	line, err := json.Marshal(why)
	if err != nil {
		return false, err
	}
	keys, kind := counted(s)
	keys, args, err := withCallback(cb, keys, []any{s.Group, d.ID, d.Token, string(line), kind})
	if err != nil {
		return false, err
	}
	n, err := buryLua.Run(ctx, c.rdb, keys, args...).Int()
	return n == 1, unavailable("bury "+d.ID+" of "+s.Stream, err)
}

// Untake gives back what an earlier Take leased if its answer was lost: all leases of an instance except
// those with the given tokens. It counts as no attempt. No Take of this instance may be in progress.
func (c *Client) Untake(
	ctx context.Context, s wire.Subscription, instance string, tokens []string,
) (int, error) {
	args := []any{instance}
	for _, t := range tokens {
		args = append(args, t)
	}
	n, err := untakeLua.Run(ctx, c.rdb, s.Keys(), args...).Int()
	return n, unavailable("give back deliveries of "+s.Stream, err)
}

// Reclaim ends all leases of an instance that is known to be dead: the caller's own previous run. It returns
// how many.
func (c *Client) Reclaim(ctx context.Context, s wire.Subscription, instance string) (int, error) {
	keys, _ := counted(s)
	n, err := reclaimLua.Run(ctx, c.rdb, keys, instance).Int()
	return n, unavailable("reclaim leases of "+s.Stream, err)
}

// Sweep leases the messages that are pending and in none of the sets. It returns how many there were.
func (c *Client) Sweep(ctx context.Context, s wire.Subscription, lease time.Duration) (int, error) {
	keys, _ := counted(s)
	n, err := sweepLua.Run(ctx, c.rdb, keys, s.Group, lease.Milliseconds()).Int()
	return n, unavailable("sweep "+s.Stream, err)
}
