package redis

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// The record of calls is one stream for each subscription, which the scripts that end messages add to; see
// settle.lua. It gives way first: TrimRecords bounds all records together, and DropRecords empties them when
// Redis has no room for calls.

// RecordCalls says whether calls that end are recorded. They are, unless it is told otherwise before the
// client is used.
func (c *Client) RecordCalls(on bool) { c.noRecord = !on }

// recording is the scripts' argument.
func (c *Client) recording() string {
	if c.noRecord {
		return ""
	}
	return "1"
}

// An Ended is an entry of a record of calls, which has one for each message that has ended, or of its
// details.
type Ended struct {
	Entry    string    // the entry's own id, which begins with the ms at which it was added
	ID       string    // of the message
	Text     string    // JSON
	Failures []Failure // oldest first
}

// keyDetails is a stream: what dispatchers have added to the record of calls of a subscription.
func keyDetails(s wire.Subscription) string { return s.Stream + ":" + s.Group + ":details" }

// Ended returns entries of the records of several subscriptions, in their order: the oldest of those that
// come after the entry with the given id, and at most so many of each.
func (c *Client) Ended(
	ctx context.Context, subs []wire.Subscription, after []string, most int64,
) ([][]Ended, error) {
	return c.readRecords(ctx, subs, wire.Subscription.Record, after, most)
}

// Details returns what dispatchers have added to these records, as Ended does.
func (c *Client) Details(
	ctx context.Context, subs []wire.Subscription, after []string, most int64,
) ([][]Ended, error) {
	return c.readRecords(ctx, subs, keyDetails, after, most)
}

func (c *Client) readRecords(
	ctx context.Context, subs []wire.Subscription, key func(wire.Subscription) string, after []string,
	most int64,
) ([][]Ended, error) {
	lists := make([][]Ended, len(subs))
	if len(subs) == 0 {
		return lists, nil
	}
	pipe := c.rdb.Pipeline()
	found := make([]*goredis.XMessageSliceCmd, len(subs))
	for i, s := range subs {
		start := "-"
		if after[i] != "" {
			start = "(" + after[i]
		}
		found[i] = pipe.XRangeN(ctx, key(s), start, "+", most)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("read the record of calls", err)
	}
	for i := range subs {
		for _, m := range found[i].Val() {
			lists[i] = append(lists[i], endedOf(m))
		}
	}
	return lists, nil
}

// EndedEntry returns one entry of a record, or of its details. ok is false if it is gone.
func (c *Client) EndedEntry(
	ctx context.Context, s wire.Subscription, entry string, detail bool,
) (e Ended, ok bool, err error) {
	key := s.Record()
	if detail {
		key = keyDetails(s)
	}
	found, err := c.rdb.XRange(ctx, key, entry, entry).Result()
	if err != nil || len(found) == 0 {
		return e, false, unavailable("read the record of calls", err)
	}
	return endedOf(found[0]), true, nil
}

func endedOf(m goredis.XMessage) Ended {
	text := func(name string) string { value, _ := m.Values[name].(string); return value }
	return Ended{Entry: m.ID, ID: text("i"), Text: text("r"), Failures: failuresOf(text("f"))}
}

// OldestEnded returns the id of the first entry of each record; "" for one that is empty.
func (c *Client) OldestEnded(ctx context.Context, subs []wire.Subscription) ([]string, error) {
	first, err := c.Ended(ctx, subs, make([]string, len(subs)), 1)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(subs))
	for i, list := range first {
		if len(list) > 0 {
			ids[i] = list[0].Entry
		}
	}
	return ids, nil
}

// failuresOf reads lines of JSON, one for each failed attempt. A line that is cut off is left out.
func failuresOf(text string) []Failure {
	var list []Failure
	for line := range strings.Lines(text) {
		var f struct {
			Failure
			MS int64 `json:"ms"` // instead of At, where a script has noted it
		}
		if json.Unmarshal([]byte(line), &f) != nil {
			continue
		}
		if f.MS > 0 {
			f.At = time.UnixMilli(f.MS).UTC()
		}
		list = append(list, f.Failure)
	}
	return list
}

// A Detail is what a dispatcher knows of a message that the function's own commit has settled.
type Detail struct {
	Of   wire.Subscription
	ID   string // of the message
	Text string // JSON
}

// AddDetails adds to the record of calls, in one round trip.
func (c *Client) AddDetails(ctx context.Context, list []Detail) error {
	pipe := c.once.Pipeline()
	for _, d := range list {
		pipe.XAdd(ctx, &goredis.XAddArgs{
			Stream: keyDetails(d.Of),
			MaxLen: maxRecorded,
			Approx: true,
			Values: []string{"i", d.ID, "r", d.Text},
		})
		pipe.PExpire(ctx, keyDetails(d.Of), recordedFor)
	}
	_, err := pipe.Exec(ctx)
	return unavailable("add to the record of calls", err)
}

// Limits of one record and of its details; see settle.lua.
const (
	maxRecorded = 100_000 // entries
	recordedFor = 24 * time.Hour
)
