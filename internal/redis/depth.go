package redis

import (
	"context"
	"time"

	"github.com/hearthfaas/hearth/chain"
	goredis "github.com/redis/go-redis/v9"
)

// A Depth is how much of a subscription is where.
type Depth struct {
	Waiting int `json:"waiting"` // not yet taken; with several groups, an upper bound
	Leased  int `json:"leased"`  // being worked on
	Due     int `json:"due"`     // waiting for a retry
	Dead    int `json:"dead"`

	Oldest float64 `json:"oldest_seconds"` // for how long the first of those not yet taken has waited; 0 if there is none
}

// Depths are those of several subscriptions, in their order.
func (c *Client) Depths(ctx context.Context, subs []chain.Subscription) ([]Depth, error) {
	pipe := c.rdb.Pipeline()
	all := make([][4]*goredis.IntCmd, len(subs))
	for i, s := range subs {
		all[i] = countsOf(ctx, pipe, s)
	}
	if len(subs) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, away("measure queues", err)
		}
	}
	depths := make([]Depth, len(subs))
	for i, n := range all {
		d := Depth{Waiting: waitingOf(n), Leased: int(n[1].Val()), Due: int(n[2].Val()), Dead: int(n[3].Val())}
		if d.Waiting > 0 { // few have: it is one more question for each
			ms, err := oldestLua.Run(ctx, c.rdb, subs[i].Keys(), subs[i].Group).Int64()
			if err != nil {
				return nil, away("measure "+subs[i].Stream, err)
			}
			d.Oldest = (time.Duration(ms) * time.Millisecond).Seconds()
		}
		depths[i] = d
	}
	return depths, nil
}

// Waiting is how much of each of several subscriptions nobody has taken yet, in their order; with several groups, an upper bound.
func (c *Client) Waiting(ctx context.Context, subs []chain.Subscription) ([]int, error) {
	pipe := c.rdb.Pipeline()
	all := make([][4]*goredis.IntCmd, len(subs))
	for i, s := range subs {
		all[i] = countsOf(ctx, pipe, s)
	}
	if len(subs) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, away("measure queues", err)
		}
	}
	waiting := make([]int, len(subs))
	for i, n := range all {
		waiting[i] = waitingOf(n)
	}
	return waiting, nil
}

// countsOf asks for the length of a subscription's stream, and for how much is leased, due and dead.
func countsOf(ctx context.Context, pipe goredis.Pipeliner, s chain.Subscription) [4]*goredis.IntCmd {
	k := s.Keys()
	return [4]*goredis.IntCmd{pipe.XLen(ctx, k[0]), pipe.ZCard(ctx, k[1]), pipe.ZCard(ctx, k[2]), pipe.ZCard(ctx, k[3])}
}

func waitingOf(n [4]*goredis.IntCmd) int {
	return max(0, int(n[0].Val()-n[1].Val()-n[2].Val()-n[3].Val()))
}
