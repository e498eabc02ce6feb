package redis

import (
	"context"
	"sync"

	"github.com/hearthfaas/hearth/chain/wire"
	goredis "github.com/redis/go-redis/v9"
)

// A Durability says whether Redis still has a write that it acknowledged when it has died, or its machine
// has.
type Durability struct {
	// Setting is the configuration of Redis in a few words, such as "appendfsync always".
	Setting string `json:"durability"`
	// Risk is what a crash may lose, or "" if nothing.
	Risk string `json:"risk,omitempty"`

	rank int // of several servers, the highest counts
}

var (
	fsyncAlways = Durability{Setting: "appendfsync always"}
	fsyncSecond = Durability{
		Setting: "appendfsync everysec",
		Risk:    "accepted calls of the last second or two",
		rank:    1,
	}
	fsyncNever = Durability{
		Setting: "appendfsync no",
		Risk: "accepted calls that the operating system has not written to disk yet, often those of the " +
			"last 30 seconds",
		rank: 2,
	}
	unreached = Durability{Setting: "unknown", Risk: "unknown: Redis does not answer", rank: 3}
	hidden    = Durability{
		Setting: "unknown",
		Risk:    "unknown: this Redis does not show its configuration",
		rank:    3,
	}
	noLog = Durability{
		Setting: "appendonly no",
		Risk:    "all accepted calls since the last snapshot",
		rank:    4,
	}
	inMemory = Durability{Setting: "in memory", Risk: "all accepted calls", rank: 5}
)

// Durability asks Redis how it stores what it acknowledges. For a cluster, it returns the weakest answer of
// its masters.
func (c *Client) Durability(ctx context.Context) Durability {
	if c.embedded {
		return inMemory
	}
	if c.cluster == nil {
		return durabilityOf(ctx, c.rdb)
	}
	var mu sync.Mutex
	weakest := fsyncAlways
	err := c.cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		d := durabilityOf(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		if d.rank > weakest.rank {
			weakest = d
		}
		return nil
	})
	if err != nil && weakest.rank < unreached.rank {
		return unreached
	}
	return weakest
}

// durabilityOf asks one server.
func durabilityOf(ctx context.Context, rdb goredis.UniversalClient) Durability {
	got, err := rdb.ConfigGet(ctx, "append*").Result()
	switch {
	case err != nil && (wire.IsUnavailable(err) || ctx.Err() != nil):
		return unreached
	case err != nil || got["appendonly"] == "": // a managed Redis may hide its configuration
		return hidden
	case got["appendonly"] != "yes":
		return noLog
	case got["appendfsync"] == "always":
		return fsyncAlways
	case got["appendfsync"] == "everysec":
		return fsyncSecond
	}
	return fsyncNever
}
