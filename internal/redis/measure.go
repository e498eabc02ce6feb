package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// A Total is how many messages a subscription has had. A counter begins again when its stream was removed.
type Total struct {
	Added    uint64 // to the stream
	Length   int    // of the stream now
	Groups   int    // of the stream: with several, an entry stays until all have settled it
	Recorded uint64 // ended messages of the subscription, in the record of calls
}

var (
	measureText = "#!lua flags=no-writes\n" + luaText("measure")
	measureLua  = goredis.NewScript(measureText)
)

// Totals returns the totals of several subscriptions, in their order. Each is of one moment. It returns none
// for a Redis that does not count what was added, as the one in memory.
func (c *Client) Totals(ctx context.Context, subs []wire.Subscription) ([]Total, error) {
	if len(subs) == 0 || c.embedded {
		return nil, nil
	}
	got, err := c.measure(ctx, subs)
	if err != nil && strings.Contains(err.Error(), "NOSCRIPT") {
		if err := c.rdb.ScriptLoad(ctx, measureText).Err(); err != nil {
			return nil, unavailable("measure queues", err)
		}
		got, err = c.measure(ctx, subs)
	}
	if err != nil {
		return nil, unavailable("measure queues", err)
	}
	totals := make([]Total, len(subs))
	for i, cmd := range got {
		n, err := cmd.Int64Slice()
		if err != nil || len(n) != 4 || n[0] < 0 {
			return nil, unavailable("measure "+subs[i].Stream, err)
		}
		totals[i] = Total{Added: uint64(n[0]), Length: int(n[1]), Groups: int(n[2]), Recorded: uint64(n[3])}
	}
	return totals, nil
}

// measure runs the script for all subscriptions, in one round trip.
func (c *Client) measure(ctx context.Context, subs []wire.Subscription) ([]*goredis.Cmd, error) {
	pipe := c.rdb.Pipeline()
	cmds := make([]*goredis.Cmd, len(subs))
	for i, s := range subs {
		cmds[i] = pipe.EvalSha(ctx, measureLua.Hash(), []string{s.Stream, s.Record()})
	}
	_, err := pipe.Exec(ctx)
	return cmds, err
}

// moving are the commands that move messages and subscriptions. Leases of instances, which are renewed all
// the time, use others.
var moving = []string{"xadd", "xdel", "xack", "xgroup", "xreadgroup", "xtrim", "zadd", "zrem", "hset", "hdel",
	"del", "unlink", "flushall", "flushdb", "restore", "rename"}

// Mark returns a text that changes whenever messages are moved, by anybody. It is "" where that is not known.
func (c *Client) Mark(ctx context.Context) (string, error) {
	if c.cluster != nil || c.embedded {
		return "", nil
	}
	info, err := c.rdb.Info(ctx, "commandstats").Result()
	if err != nil {
		return "", unavailable("ask what was done", err)
	}
	sum := uint64(0)
	for line := range strings.Lines(info) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		name, _, _ = strings.Cut(name, "|")
		if slices.Contains(moving, name) {
			calls, _, _ := strings.Cut(rest, ",")
			n, _ := strconv.ParseUint(calls, 10, 64)
			sum += n
		}
	}
	if sum == 0 { // a managed Redis may hide it
		return "", nil
	}
	return strconv.FormatUint(sum, 10), nil
}
