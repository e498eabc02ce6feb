package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/record"
)

// Records is how a client knows records again that the platform has kept. See package record for what is
// signed, and why.
type Records struct {
	Key    record.Key
	Memory *record.Memory // of what was seen; nil remembers nothing
	Log    *slog.Logger   // is told once of each record that is not used; nil is nobody
}

// The kinds of records.
const (
	KindFunction     = "function"
	KindNamespace    = "namespace"
	KindSecret       = "secret"
	KindUsage        = "usage" // named DAY FUNCTION INSTANCE
	KindSubscription = "subscription"
	KindRevisions    = "revisions" // of a function
	KindSchedule     = "schedule"  // a cursor
	KindKey          = "key"       // a key of Redis that has not the type of what belongs there
)

// A BadRecord is one in Redis that is not used.
type BadRecord struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Fix    string `json:"fix"` // what an operator can do

	OtherKey bool `json:"other_key"` // it is signed with another secret-key
}

var (
	errNoKey    = errors.New("this client has no key to sign records with")
	errOutdated = errors.New("it is older than one that was seen here before: somebody put it back, or " +
		"Redis went back to an earlier state")
	errElsewhere = errors.New("it is kept under another name than its own")
)

// recordsOf is what a client knows about records.
type recordsOf struct {
	Records
	mu  sync.Mutex
	bad map[string]BadRecord // by kind and name
}

// UseRecords says how records are signed. It must be called before any is read or written; a client that only
// works on queues needs none.
func (c *Client) UseRecords(r Records) {
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	c.records.Records = r
}

func recordID(kind, name string) string { return kind + " " + name }

// BadRecords are those that were found when they were last read, in order.
func (c *Client) BadRecords() []BadRecord {
	c.records.mu.Lock()
	defer c.records.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.records.bad), func(a, b BadRecord) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
}

// Bad is the record of a kind and a name, if it is not used.
func (c *Client) Bad(kind, name string) (BadRecord, bool) {
	c.records.mu.Lock()
	defer c.records.mu.Unlock()
	r, ok := c.records.bad[recordID(kind, name)]
	return r, ok
}

// Judge notes that a record is not used, and why; or, without an error, that it is, or is gone. The log is
// told once.
func (c *Client) Judge(kind, name string, why error) {
	r := &c.records
	r.mu.Lock()
	defer r.mu.Unlock()
	id := recordID(kind, name)
	if why == nil {
		delete(r.bad, id)
		return
	}
	bad := BadRecord{
		Kind:     kind,
		Name:     name,
		Reason:   hearth.MessageOf(why),
		Fix:      fixOf(kind, name, why),
		OtherKey: errors.Is(why, record.ErrOtherKey),
	}
	if !isOurs(why) {
		bad.Reason = why.Error()
	}
	if r.bad[id] == bad {
		return
	}
	if r.bad == nil {
		r.bad = map[string]BadRecord{}
	}
	r.bad[id] = bad
	if r.Log != nil {
		r.Log.Error("a record in Redis is not used",
			"kind", kind, "name", name, "reason", bad.Reason, "fix", bad.Fix)
	}
}

// isOurs reports whether an error has a message for people.
func isOurs(err error) bool { var e *hearth.Error; return errors.As(err, &e) }

// judgeAll is Judge for all records of a kind that are there: those that are not in bad are good, or gone.
func (c *Client) judgeAll(kind string, bad map[string]error) {
	c.records.mu.Lock()
	for id, r := range c.records.bad {
		if r.Kind == kind && bad[r.Name] == nil {
			delete(c.records.bad, id)
		}
	}
	c.records.mu.Unlock()
	for name, why := range bad {
		c.Judge(kind, name, why)
	}
}

// fixOf says what an operator can do about a record that is not used.
func fixOf(kind, name string, why error) string {
	remove := fmt.Sprintf("remove it with \"hearth records remove %s\"", kind)
	if recordName(name) {
		remove = fmt.Sprintf("remove it with \"hearth records remove %s %s\"", kind, name)
	}
	switch {
	case errors.Is(why, record.ErrOtherKey) && kind != KindSchedule:
		return "give all instances on this Redis the same file secret-key; if it was lost, start once with " +
			"--adopt-records, or " + remove
	case kind == KindFunction:
		return "deploy the function again, or " + remove
	case kind == KindNamespace:
		return "create the namespace again, or " + remove
	case kind == KindSecret:
		return "update the secret, or " + remove
	case kind == KindSchedule:
		return "nothing to do: the schedule goes on from now; find out who writes to Redis"
	}
	return remove
}

// recordName reports whether a name can be shown and typed as it is.
func recordName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"'\\$`;&|<>(){}*?!#", r)
	})
}

// RemoveRecord removes a record that is not used. It returns an error of code NotFound if BadRecords has no
// such record.
func (c *Client) RemoveRecord(ctx context.Context, kind, name, by string) error {
	if _, ok := c.Bad(kind, name); !ok {
		return hearth.Errorf(hearth.NotFound,
			"there is no record of the kind %.20q and the name %.80q that is not used", kind, name)
	}
	var err error
	switch kind {
	case KindFunction:
		err = c.change(ctx, tellLua, "delete", name, by, "").Err()
	case KindNamespace:
		err = c.rdb.HDel(ctx, keyNamespaces, name).Err()
	case KindSecret:
		err = c.rdb.HDel(ctx, keySecrets, name).Err()
	case KindRevisions:
		err = c.rdb.HDel(ctx, keyRevisions, name).Err()
	case KindSubscription:
		err = c.rdb.HDel(ctx, keySubscriptions, name).Err()
	case KindUsage:
		day, field, _ := strings.Cut(name, " ")
		err = c.rdb.HDel(ctx, keyUsageOf+day, field).Err()
	case KindKey:
		err = c.rdb.Del(ctx, name).Err()
	}
	if err != nil {
		return unavailable("remove a record", err)
	}
	c.Judge(kind, name, nil)
	return nil
}

// signFunction is a function's record.
func (c *Client) signFunction(f hearth.Function) ([]byte, error) {
	if c.records.Key.IsZero() {
		return nil, errNoKey
	}
	text, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return c.records.Key.SignJSON(keyFunctions, f.Name().String(), text), nil
}

// readFunction reads a function's record as if it were deployed now, and by somebody that nobody trusts.
func (c *Client) readFunction(field, text string) (f hearth.Function, err error) {
	object, err := c.records.Key.OpenJSON(keyFunctions, field, []byte(text))
	if err != nil {
		return f, err
	}
	if f, err = parseFunction(field, object); err != nil {
		return f, err
	}
	if m := c.records.Memory; m != nil && f.Generation < m.Least(recordID(KindFunction, field)) {
		return f, errOutdated
	}
	c.saw(f.Name(), f.Generation)
	return f, nil
}

func parseFunction(field string, object []byte) (f hearth.Function, err error) {
	if f, err = hearth.ParseRecord(object); err != nil {
		return f, err
	}
	if f.Name().String() != field {
		return f, errElsewhere
	}
	return f, nil
}

// saw remembers the generation of a function's record. If the state directory cannot be written, that is no
// fault of the record.
func (c *Client) saw(n hearth.Name, generation int64) {
	if c.records.Memory == nil || generation == 0 {
		return
	}
	if err := c.records.Memory.Saw(recordID(KindFunction, n.String()), generation); err != nil {
		c.records.Log.Error("could not save which records were seen", "error", err)
	}
}

// NextGeneration returns the generation of a function's next record. It is above all that were seen, and in
// the order of time, so that an instance which has not seen the last ones does not fall behind them.
func (c *Client) NextGeneration(n hearth.Name, after int64) int64 {
	if m := c.records.Memory; m != nil {
		after = max(after, m.Least(recordID(KindFunction, n.String())))
	}
	return max(after+1, time.Now().UnixNano())
}

// RecordRemoved remembers that a function was removed: the record that it had is not believed any more.
func (c *Client) RecordRemoved(n hearth.Name) {
	if m := c.records.Memory; m != nil {
		c.saw(n, m.Least(recordID(KindFunction, n.String()))+1)
	}
}

// wellFormed reports whether a subscription is one that the platform could have made.
func wellFormed(s wire.Subscription) bool {
	n, err := hearth.ParseName(s.Group)
	if err != nil || groupOf(n) != s.Group {
		return false
	}
	topic, ok := wire.Topic(s.Stream)
	return s == CallsOf(n) || s == CallbacksOf(n) || ok && !hearth.IsReservedTopic(topic)
}

// subscriptionsOf reads the fields of subscriptions.
func (c *Client) subscriptionsOf(fields []string) (subs []wire.Subscription, bad map[string]error) {
	bad = map[string]error{}
	for _, field := range fields {
		stream, group, _ := strings.Cut(field, " ")
		s := wire.Subscription{Stream: stream, Group: group}
		if !wellFormed(s) {
			bad[field] = errors.New("no function can have it")
			continue
		}
		subs = append(subs, s)
	}
	return subs, bad
}
