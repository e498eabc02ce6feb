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
	type counts struct{ length, leased, due, dead *goredis.IntCmd }
	all := make([]counts, len(subs))
	for i, s := range subs {
		k := s.Keys()
		all[i] = counts{pipe.XLen(ctx, k[0]), pipe.ZCard(ctx, k[1]), pipe.ZCard(ctx, k[2]), pipe.ZCard(ctx, k[3])}
	}
	if len(subs) > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, away("measure queues", err)
		}
	}
	depths := make([]Depth, len(subs))
	for i, n := range all {
		d := Depth{Leased: int(n.leased.Val()), Due: int(n.due.Val()), Dead: int(n.dead.Val())}
		d.Waiting = max(0, int(n.length.Val())-d.Leased-d.Due-d.Dead)
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
