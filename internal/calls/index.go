package calls

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

const (
	readAtOnce = 2000             // entries of one record, in one round trip
	readEvery  = time.Second / 5  // how old what the index knows may be
	keptFor    = 10 * time.Minute // after the last question
)

// Config is what an Index works with.
type Config struct {
	// Redis has the queues and their records. Required.
	Redis *redis.Client
	// Sync has the sync calls of this instance. Defaults to none.
	Sync *Ring
	// Limit is what a Keeper keeps the record within, for messages.
	Limit redis.RecordLimit
	// Why returns in one sentence why a function has no room for a queued call, or "" if it has room.
	// Defaults to "".
	Why func(hearth.Name) string
}

// An Index answers questions about calls.
type Index struct {
	cfg Config

	mu     sync.Mutex
	readAt time.Time
	subs   map[wire.Subscription]*indexed
	drop   *time.Timer // forgets everything
}

// indexed is what the index knows of one record.
type indexed struct {
	seen string            // the id up to which its details were read
	last string            // the id up to which the record was read
	list []*ended          // oldest first
	byID map[string]*ended // by the message's id
}

// ended is one call of a record.
type ended struct {
	entry    string // of the record
	detail   string // the entry of its detail, or ""
	id       string // of the message
	data     Entry
	failures []redis.Failure
}

// NewIndex makes an index, which knows nothing yet.
func NewIndex(cfg Config) *Index {
	if cfg.Sync == nil {
		cfg.Sync = &Ring{}
	}
	if cfg.Why == nil {
		cfg.Why = func(hearth.Name) string { return "" }
	}
	return &Index{cfg: cfg, subs: map[wire.Subscription]*indexed{}}
}

// read brings the index up to date. x.mu is held.
func (x *Index) read(ctx context.Context) error {
	if x.drop == nil {
		x.drop = time.AfterFunc(keptFor, x.forget)
	}
	x.drop.Reset(keptFor)
	if time.Since(x.readAt) < readEvery {
		return nil
	}
	subs, err := x.cfg.Redis.Subscriptions(ctx)
	if err != nil {
		return err
	}
	known := map[wire.Subscription]*indexed{}
	for _, s := range subs {
		if known[s] = x.subs[s]; known[s] == nil {
			known[s] = &indexed{byID: map[string]*ended{}}
		}
	}
	x.subs = known
	oldest, err := x.cfg.Redis.OldestEnded(ctx, subs)
	if err != nil {
		return err
	}
	for i, s := range subs {
		x.subs[s].dropBefore(oldest[i])
	}
	err = x.readNew(ctx, subs, x.cfg.Redis.Ended, func(n *indexed) string { return n.last },
		(*indexed).readEnded)
	if err != nil {
		return err
	}
	err = x.readNew(ctx, subs, x.cfg.Redis.Details, func(n *indexed) string { return n.seen },
		(*indexed).readDetail)
	if err != nil {
		return err
	}
	x.readAt = time.Now()
	return nil
}

// readNew reads what is new in records or details, until there is no more. x.mu is held.
func (x *Index) readNew(
	ctx context.Context, subs []wire.Subscription,
	read func(context.Context, []wire.Subscription, []string, int64) ([][]redis.Ended, error),
	upTo func(*indexed) string, take func(*indexed, redis.Ended),
) error {
	for len(subs) > 0 {
		after := make([]string, len(subs))
		for i, s := range subs {
			after[i] = upTo(x.subs[s])
		}
		lists, err := read(ctx, subs, after, readAtOnce)
		if err != nil {
			return err
		}
		var more []wire.Subscription
		for i, s := range subs {
			for _, e := range lists[i] {
				take(x.subs[s], e)
			}
			if len(lists[i]) == readAtOnce {
				more = append(more, s)
			}
		}
		subs = more
	}
	return nil
}

// forget lets go of what the index knows.
func (x *Index) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.subs, x.readAt = map[wire.Subscription]*indexed{}, time.Time{}
}

// readEnded takes in an entry of the record.
func (n *indexed) readEnded(e redis.Ended) {
	n.last = e.Entry
	call := n.call(e)
	call.entry = e.Entry // the moment at which it ended
	if call.detail == "" {
		call.read(e.Text)
	}
	if len(e.Failures) > 0 {
		call.failures = e.Failures
	}
}

// readDetail takes in a detail, which has all that the entry of the record has, and more. It may come first:
// the record is read before the details.
func (n *indexed) readDetail(e redis.Ended) {
	n.seen = e.Entry
	call := n.call(e)
	call.detail = e.Entry
	call.read(e.Text)
}

// call returns the call of an entry, a new one if need be.
func (n *indexed) call(e redis.Ended) *ended {
	call := n.byID[e.ID]
	if call == nil {
		call = &ended{entry: e.Entry, id: e.ID}
		n.byID[e.ID] = call
		n.list = append(n.list, call)
	}
	return call
}

// read reads an entry's text. Entries of another version are read as far as they go.
func (e *ended) read(text string) {
	_ = json.Unmarshal([]byte(text), &e.data)
	e.data.Bodies = nil // read again when somebody asks: they are large
}

// dropBefore forgets the calls whose entries are gone from the record.
func (n *indexed) dropBefore(oldest string) {
	first := ms(oldest)
	keep := slices.IndexFunc(n.list, func(e *ended) bool { return oldest != "" && ms(e.entry) >= first })
	if keep == 0 {
		return
	}
	if keep < 0 {
		keep = len(n.list)
	}
	for _, e := range n.list[:keep] {
		delete(n.byID, e.id)
	}
	n.list = slices.Clone(n.list[keep:])
}

// newCall returns a call of a queue with what a subscription and a message's id tell.
func newCall(s wire.Subscription, id string) (*Call, bool) {
	q, ok := redis.QueueOf(s)
	n, kind := q.Function, Async
	switch {
	case q.Topic != "":
		kind = Topic
	case s == redis.CallbacksOf(n):
		kind = Callback
	}
	return &Call{
		ID:        q.Name + "/" + id,
		CallID:    id,
		Kind:      kind,
		Function:  n.Function,
		Namespace: n.Namespace,
		Queue:     q.Name,
		Topic:     q.Topic,
		Method:    "POST",
		Path:      "/",
		QueuedAt:  at(ms(id)),
		name:      n,
	}, ok
}

// fill adds what an entry tells.
func (c *Call) fill(e Entry) {
	if e.CallID != "" {
		c.CallID = e.CallID
	}
	if e.Method != "" {
		c.Method = e.Method
	}
	if e.Path != "" {
		c.Path = e.Path
	}
	if e.Scheduled {
		c.Kind = Scheduled
	}
	c.TraceID, c.span = traceOf(e.Trace)
	trace, parent := traceOf(e.Parent)
	if c.parent = parent; c.TraceID == "" {
		c.TraceID = trace
	}
	c.Status, c.Replica, c.Attempt = e.Status, e.Replica, e.Attempt
	c.StartedAt = at(e.Started)
	c.ColdStart, c.commit = e.Cold, e.Commit
	c.Run = max(0, e.Took-e.Cold)
	if queued := max(ms(messageOf(c.ID)), e.DeliverAt); e.Taken > 0 && queued > 0 {
		c.QueueWait = float64(max(0, e.Taken-queued))
	}
}

// messageOf returns the message's id of a Call's ID.
func messageOf(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// call returns a call that has ended.
func (e *ended) call(s wire.Subscription) (*Call, bool) {
	c, ok := newCall(s, e.id)
	c.fill(e.data)
	c.State, c.EndedAt, c.entry, c.failures = Succeeded, at(ms(e.entry)), e.entry, e.failures
	c.detail = e.detail
	if e.data.State != "" {
		c.State = e.data.State
	}
	if n := len(e.failures); n > 0 && c.State != Succeeded {
		last := e.failures[n-1]
		c.Reason, c.Status, c.Replica = last.Reason, last.Status, last.Replica
	}
	return c, ok
}
