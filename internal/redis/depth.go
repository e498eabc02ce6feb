package redis

import (
	"context"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// A Depth is how much of a subscription is where.
type Depth struct {
	Waiting int `json:"waiting"` // not yet taken; with several groups, an upper bound
	Leased  int `json:"leased"`  // being worked on
	Due     int `json:"due"`     // waiting for a retry
	Delayed int `json:"delayed"` // waiting for their time
	Dead    int `json:"dead"`

	Paused   bool      `json:"-"` // nothing is taken
	PausedAt time.Time `json:"-"`

	// for how long the first of those not yet taken has waited; 0 if there is none
	Oldest float64 `json:"oldest_seconds"`
}

// Depths are those of several subscriptions, in their order.
func (c *Client) Depths(ctx context.Context, subs []wire.Subscription) ([]Depth, error) {
	depths, err := c.counts(ctx, subs)
	if err != nil {
		return nil, err
	}
	for i, s := range subs {
		if depths[i].Waiting == 0 { // most have nothing: it is one more question for each
			continue
		}
		ms, err := oldestLua.Run(ctx, c.rdb, s.Keys(), s.Group).Int64()
		if err != nil {
			return nil, unavailable("measure "+s.Stream, err)
		}
		depths[i].Oldest = (time.Duration(ms) * time.Millisecond).Seconds()
	}
	return depths, nil
}

// Waiting is how much of each of several subscriptions is to be taken now, in their order: what nobody has
// taken yet, and nothing of one that is paused. With several groups it is an upper bound.
func (c *Client) Waiting(ctx context.Context, subs []wire.Subscription) ([]int, error) {
	depths, err := c.counts(ctx, subs)
	if err != nil {
		return nil, err
	}
	waiting := make([]int, len(depths))
	for i, d := range depths {
		if !d.Paused {
			waiting[i] = d.Waiting
		}
	}
	return waiting, nil
}

// counts are depths without Oldest, in one round trip.
func (c *Client) counts(ctx context.Context, subs []wire.Subscription) ([]Depth, error) {
	depths := make([]Depth, len(subs))
	if len(subs) == 0 {
		return depths, nil
	}
	pipe := c.rdb.Pipeline()
	type counts struct {
		length, leased, due, dead, delivered *goredis.IntCmd
		paused                               *goredis.StringCmd // "" without an error if it is not
	}
	all := make([]counts, len(subs))
	for i, s := range subs {
		k := s.Keys()
		all[i] = counts{pipe.XLen(ctx, k[0]), pipe.ZCard(ctx, k[1]), pipe.ZCard(ctx, k[2]),
			pipe.ZCard(ctx, k[3]), pipe.HLen(ctx, k[4]), pipe.GetRange(ctx, keyPaused(s), 0, -1)}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable("measure queues", err)
	}
	for i, n := range all {
		d := Depth{Leased: int(n.leased.Val()), Due: int(n.due.Val()), Dead: int(n.dead.Val())}
		d.Waiting = max(0, int(n.length.Val())-d.Leased-d.Due-d.Dead)
		// what was never delivered is noted nowhere else
		d.Delayed = min(d.Due, max(0, d.Leased+d.Due+d.Dead-int(n.delivered.Val())))
		d.Due -= d.Delayed
		if text := n.paused.Val(); text != "" {
			d.Paused, d.PausedAt = true, pausedSince(text)
		}
		depths[i] = d
	}
	return depths, nil
}
