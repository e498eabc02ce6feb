package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// A DeadLetter is an entry that was given up. It is still pending: redriving it cannot double it, and a late
// success takes it off the list.
type DeadLetter struct {
	ID       string     `json:"id"` // of the entry in its stream
	Queued   time.Time  `json:"queued"`
	Buried   time.Time  `json:"buried"`
	Attempts int        `json:"attempts"`
	Failures []Failure  `json:"failures"` // oldest first
	Entry    wire.Entry `json:"-"`
	Bad      string     `json:"bad,omitempty"` // why the entry cannot be read
}

// Reason is why it was given up: what the last attempt came to.
func (l DeadLetter) Reason() string {
	if l.Bad != "" {
		return l.Bad
	}
	if len(l.Failures) == 0 {
		return ""
	}
	return l.Failures[len(l.Failures)-1].Reason
}

// Status is the last answer's; 0 if there was none.
func (l DeadLetter) Status() int {
	if len(l.Failures) == 0 {
		return 0
	}
	return l.Failures[len(l.Failures)-1].Status
}

// DeadIDs are the ids of the dead letters that were buried after one time and not after another, the oldest
// burial first. A zero time is no bound; without the second, those that are buried from now on are not among
// them.
func (c *Client) DeadIDs(ctx context.Context, s wire.Subscription, after, until time.Time) ([]string, error) {
	first, last := "-inf", "+inf"
	if !after.IsZero() {
		first = "(" + strconv.FormatInt(after.UnixMilli(), 10)
	}
	if !until.IsZero() {
		last = strconv.FormatInt(until.UnixMilli(), 10)
	}
	ids, err := c.rdb.ZRangeArgs(ctx,
		goredis.ZRangeArgs{Key: s.Keys()[3], Start: first, Stop: last, ByScore: true}).Result()
	return ids, unavailable("list dead letters of "+s.Stream, err)
}

// DeadLettersOf are those with these ids. One that is dead no more is left out.
func (c *Client) DeadLettersOf(ctx context.Context, s wire.Subscription, ids []string) ([]DeadLetter, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	// Not ZMSCORE: it does not tell 0 from nothing in go-redis.
	pipe := c.rdb.Pipeline()
	scores := make([]*goredis.FloatCmd, len(ids))
	for i, id := range ids {
		scores[i] = pipe.ZScore(ctx, s.Keys()[3], id)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, unavailable("read dead letters of "+s.Stream, err)
	}
	var still []goredis.Z
	for i, score := range scores {
		if score.Err() == nil {
			still = append(still, goredis.Z{Score: score.Val(), Member: ids[i]})
		}
	}
	return c.letters(ctx, s, still)
}

// DeadLetter is one of them. ok is false if there is none with that id.
func (c *Client) DeadLetter(
	ctx context.Context, s wire.Subscription, id string,
) (letter DeadLetter, ok bool, err error) {
	letters, err := c.DeadLettersOf(ctx, s, []string{id})
	if err != nil || len(letters) == 0 {
		return letter, false, err
	}
	return letters[0], true, nil
}

func (c *Client) letters(ctx context.Context, s wire.Subscription, ids []goredis.Z) ([]DeadLetter, error) {
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
		return nil, unavailable("read dead letters of "+s.Stream, err)
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
			l.Failures = append(l.Failures, failuresOf(text)...)
		}
		if n := len(l.Failures); n > 0 {
			l.Attempts = l.Failures[n-1].Attempt // the look that found too many of them was none
		}
		l.Entry, l.Bad = readEntry(entries[i].Val())
		letters[i] = l
	}
	return letters, nil
}

func readEntry(found []goredis.XMessage) (wire.Entry, string) {
	if len(found) == 0 {
		return wire.Entry{}, "the entry is gone from its stream"
	}
	var fields []string
	for name, value := range found[0].Values {
		text, _ := value.(string)
		fields = append(fields, name, text)
	}
	e, err := wire.ParseEntry(fields)
	if err != nil {
		return e, err.Error()
	}
	return e, ""
}

// Redrive gives dead letters all their attempts again. It returns how many of these ids were dead.
func (c *Client) Redrive(ctx context.Context, s wire.Subscription, ids []string) (int, error) {
	n, err := redriveLua.Run(ctx, c.rdb, s.Keys(), anys(ids)...).Int()
	return n, unavailable("redrive dead letters of "+s.Stream, err)
}

// Purge throws dead letters away, and frees their Idempotency-Keys. It returns how many of these ids were
// dead.
func (c *Client) Purge(ctx context.Context, s wire.Subscription, ids []string) (int, error) {
	keys, _ := recorded(s)
	total := 0
	for some := range slices.Chunk(ids, endAtOnce) {
		args := append([]any{s.Group, c.recording()}, anys(some)...)
		n, err := purgeLua.Run(ctx, c.rdb, keys, args...).Int()
		if err != nil {
			return total, unavailable("purge dead letters of "+s.Stream, err)
		}
		total += n
	}
	return total, nil
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
