package redis

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	goredis "github.com/redis/go-redis/v9"
)

// A DeadLetter is an entry that was given up. It is still pending: redriving it cannot double it, and a late success takes
// it off the list.
type DeadLetter struct {
	ID       string      `json:"id"` // of the entry in its stream
	Queued   time.Time   `json:"queued"`
	Buried   time.Time   `json:"buried"`
	Attempts int         `json:"attempts"`
	Failures []Failure   `json:"failures"` // oldest first
	Entry    chain.Entry `json:"-"`
	Bad      string      `json:"bad,omitempty"` // why the entry cannot be read
}

// DeadLetters lists those of a subscription, oldest burial first, from the given position, at most limit of them.
func (c *Client) DeadLetters(ctx context.Context, s chain.Subscription, from, limit int) ([]DeadLetter, error) {
	ids, err := c.rdb.ZRangeWithScores(ctx, s.Keys()[3], int64(from), int64(from+limit-1)).Result()
	if err != nil {
		return nil, away("list dead letters of "+s.Stream, err)
	}
	return c.letters(ctx, s, ids)
}

// DeadLetter is one of them. ok is false if there is none with that id.
func (c *Client) DeadLetter(ctx context.Context, s chain.Subscription, id string) (letter DeadLetter, ok bool, err error) {
	score, err := c.rdb.ZScore(ctx, s.Keys()[3], id).Result()
	if err == goredis.Nil {
		return letter, false, nil
	}
	if err != nil {
		return letter, false, away("read a dead letter of "+s.Stream, err)
	}
	letters, err := c.letters(ctx, s, []goredis.Z{{Score: score, Member: id}})
	if err != nil || len(letters) == 0 {
		return letter, false, err
	}
	return letters[0], true, nil
}

func (c *Client) letters(ctx context.Context, s chain.Subscription, ids []goredis.Z) ([]DeadLetter, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	keys := s.Keys()
	pipe := c.rdb.Pipeline()
	names := make([]string, len(ids))
	entries := make([]*goredis.XMessageSliceCmd, len(ids))
	for i, z := range ids {
		names[i] = z.Member.(string)
		entries[i] = pipe.XRange(ctx, s.Stream, names[i], names[i])
	}
	deliveries, failures := pipe.HMGet(ctx, keys[4], names...), pipe.HMGet(ctx, keys[5], names...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, away("read dead letters of "+s.Stream, err)
	}
	letters := make([]DeadLetter, len(ids))
	for i, z := range ids {
		l := DeadLetter{ID: names[i], Buried: time.UnixMilli(int64(z.Score)).UTC(), Failures: []Failure{}}
		if ms, err := strconv.ParseInt(strings.SplitN(names[i], "-", 2)[0], 10, 64); err == nil {
			l.Queued = time.UnixMilli(ms).UTC()
		}
		if text, ok := deliveries.Val()[i].(string); ok {
			l.Attempts, _ = strconv.Atoi(strings.SplitN(text, " ", 2)[0])
		}
		if text, ok := failures.Val()[i].(string); ok {
			for line := range strings.Lines(text) {
				var f Failure
				if json.Unmarshal([]byte(line), &f) == nil {
					l.Failures = append(l.Failures, f)
				}
			}
		}
		l.Entry, l.Bad = readEntry(entries[i].Val())
		letters[i] = l
	}
	return letters, nil
}

func readEntry(found []goredis.XMessage) (chain.Entry, string) {
	if len(found) == 0 {
		return chain.Entry{}, "the entry is gone from its stream"
	}
	var fields []string
	for name, value := range found[0].Values {
		text, _ := value.(string)
		fields = append(fields, name, text)
	}
	e, err := chain.ParseEntry(fields)
	if err != nil {
		return e, err.Error()
	}
	return e, ""
}

// Redrive gives dead letters all their attempts again. It returns how many of these ids were dead.
func (c *Client) Redrive(ctx context.Context, s chain.Subscription, ids []string) (int, error) {
	n, err := redriveLua.Run(ctx, c.rdb, s.Keys(), anys(ids)...).Int()
	return n, away("redrive dead letters of "+s.Stream, err)
}

// Purge throws dead letters away. It returns how many of these ids were dead.
func (c *Client) Purge(ctx context.Context, s chain.Subscription, ids []string) (int, error) {
	n, err := purgeLua.Run(ctx, c.rdb, s.Keys(), append([]any{s.Group}, anys(ids)...)...).Int()
	return n, away("purge dead letters of "+s.Stream, err)
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// DeadBefore are the ids of the dead letters that were buried before a time, or at it.
func (c *Client) DeadBefore(ctx context.Context, s chain.Subscription, before time.Time) ([]string, error) {
	ids, err := c.rdb.ZRangeArgs(ctx, goredis.ZRangeArgs{Key: s.Keys()[3], Start: "-inf", Stop: before.UnixMilli(), ByScore: true}).Result()
	return ids, away("list dead letters of "+s.Stream, err)
}
