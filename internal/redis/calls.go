package redis

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// The record of calls is one stream for each subscription, which the scripts that end messages add to; see
// settle.lua. It gives way first: TrimRecords bounds all records together, and drops them when Redis has no
// room for calls.

var liveLua = lua("live")

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

// A Live is a call that has not ended.
type Live struct {
	ID       string
	State    string // queued, delayed, in_flight, retrying or dead
	Until    time.Time
	Attempts int
	Since    time.Time // when it was first taken; zero if it was not
	Last     *Failure  // of the last failed attempt
	Entry    wire.Entry
}

// NotEmpty returns those of the subscriptions that have messages, and whether each is paused.
func (c *Client) NotEmpty(
	ctx context.Context, subs []wire.Subscription,
) (paused map[wire.Subscription]bool, err error) {
	depths, err := c.counts(ctx, subs)
	if err != nil {
		return nil, err
	}
	paused = map[wire.Subscription]bool{}
	for i, d := range depths {
		if d.Waiting+d.Leased+d.Due+d.Delayed+d.Dead > 0 {
			paused[subs[i]] = d.Paused
		}
	}
	return paused, nil
}

// A LiveQuery chooses calls that have not ended. An empty field chooses all.
type LiveQuery struct {
	CallID string
	Only   string // the id of the only entry that is meant
	Before string // the id of an entry: those that were queued before it
	Most   int    // how many; at least 1
}

// Live returns the newest of the chosen calls of a subscription.
//
// Until is when a delayed call may be delivered, when the lease of one in flight ends, or when a dead letter
// was given up. Bodies and headers are left out.
func (c *Client) Live(
	ctx context.Context, s wire.Subscription, q LiveQuery,
) (list []Live, err error) {
	keys, _ := counted(s)
	from := "+"
	if q.Before != "" {
		from = q.Before
	}
	for from != "" && len(list) < q.Most {
		got, err := liveLua.Run(ctx, c.rdb, keys, s.Group, from, lookAtOnce, q.CallID, q.Only).Slice()
		if err != nil {
			if strings.Contains(err.Error(), "no such key") {
				return list, nil
			}
			return nil, unavailable("look for calls on "+s.Stream, err)
		}
		from = got[0].(string)
		for _, item := range got[1].([]any) {
			list = append(list, liveOf(item.([]any)))
		}
	}
	return list[:min(len(list), q.Most)], nil
}

func liveOf(item []any) Live {
	text := func(i int) string { value, _ := item[i].(string); return value }
	l := Live{ID: text(0), State: text(1)}
	if ms, err := strconv.ParseFloat(text(2), 64); err == nil && ms > 0 {
		l.Until = time.UnixMilli(int64(ms)).UTC()
	}
	if record := strings.Fields(text(3)); len(record) > 1 {
		l.Attempts, _ = strconv.Atoi(record[0])
		if ms, err := strconv.ParseInt(record[1], 10, 64); err == nil && ms > 0 {
			l.Since = time.UnixMilli(ms).UTC()
		}
	}
	if list := failuresOf(text(4)); len(list) > 0 {
		l.Last = &list[len(list)-1]
	}
	fields := []string{wire.FieldBody, ""}
	for _, f := range item[5].([]any) {
		text, _ := f.(string)
		fields = append(fields, text)
	}
	l.Entry, _ = wire.ParseEntry(fields)
	return l
}

// RecordLimit bounds all records of calls together.
type RecordLimit struct {
	Calls int64         // that have ended
	Bytes int64         // of Redis's memory
	Age   time.Duration // since the end
}

// trimRounds is how often TrimRecords tries to get below a limit in one go: how many entries are older than a
// moment is estimated.
const trimRounds = 8

// TrimRecords drops the oldest entries of the records of these subscriptions, until all together are within
// the limit. It returns how many entries and bytes are left, about.
func (c *Client) TrimRecords(
	ctx context.Context, subs []wire.Subscription, limit RecordLimit,
) (entries, bytes int64, err error) {
	oldest := time.Now().Add(-limit.Age).UnixMilli()
	for range trimRounds {
		if err := c.dropRecorded(ctx, subs, oldest); err != nil {
			return 0, 0, err
		}
		first := int64(0)
		entries, bytes, first, err = c.measureRecords(ctx, subs)
		if err != nil || entries <= limit.Calls && bytes <= limit.Bytes {
			return entries, bytes, err
		}
		keep := min(float64(limit.Calls)/float64(max(entries, 1)),
			float64(limit.Bytes)/float64(max(bytes, 1)))
		// A little less than the limit, so that the next call does not come at once.
		now := time.Now().UnixMilli()
		first = max(first, oldest)
		oldest = now - int64(float64(now-first)*keep*0.95)
	}
	return entries, bytes, nil
}

// DropRecords empties the records of these subscriptions.
func (c *Client) DropRecords(ctx context.Context, subs []wire.Subscription) error {
	return c.dropRecorded(ctx, subs, time.Now().UnixMilli()+1)
}

// dropRecorded drops the entries that were added before a moment, in ms since 1970.
func (c *Client) dropRecorded(ctx context.Context, subs []wire.Subscription, before int64) error {
	if len(subs) == 0 {
		return nil
	}
	pipe := c.rdb.Pipeline()
	for _, s := range subs {
		pipe.XTrimMinID(ctx, s.Record(), strconv.FormatInt(max(before, 0), 10))
		pipe.XTrimMinID(ctx, keyDetails(s), strconv.FormatInt(max(before, 0), 10))
	}
	_, err := pipe.Exec(ctx)
	return unavailable("trim the record of calls", err)
}

// measureRecords returns the size of all records, and the ms at which the first call of them ended.
func (c *Client) measureRecords(
	ctx context.Context, subs []wire.Subscription,
) (entries, bytes, first int64, err error) {
	if len(subs) == 0 {
		return 0, 0, 0, nil
	}
	pipe := c.rdb.Pipeline()
	lengths, sizes := make([]*goredis.IntCmd, len(subs)), make([]*goredis.IntCmd, 0, 2*len(subs))
	for i, s := range subs {
		lengths[i] = pipe.XLen(ctx, s.Record())
		sizes = append(sizes, pipe.MemoryUsage(ctx, s.Record()), pipe.MemoryUsage(ctx, keyDetails(s)))
	}
	_, _ = pipe.Exec(ctx) // MEMORY USAGE has no answer where there is no key
	for i := range subs {
		if err := lengths[i].Err(); err != nil {
			return 0, 0, 0, unavailable("measure the record of calls", err)
		}
		entries += lengths[i].Val()
	}
	for _, size := range sizes {
		bytes += size.Val()
	}
	oldest, err := c.OldestEnded(ctx, subs)
	if err != nil {
		return 0, 0, 0, err
	}
	for _, id := range oldest {
		text, _, _ := strings.Cut(id, "-")
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && (first == 0 || ms < first) {
			first = ms
		}
	}
	return entries, bytes, first, nil
}
