package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

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
