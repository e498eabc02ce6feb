package redis

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
)

var usageLua = chain.NewLua(luaText("usage"), false) // a full Redis refuses it

// maxUsage is how many values one script keeps: it must not hold others up, and Lua passes on no more than some thousands.
const maxUsage = 500

// A Used is what one function used on a day, as one hearth has counted it.
type Used struct {
	Function string // or whatever else was metered under a name without spaces
	Instance string
	Value    []byte // only package meter reads it
}

// KeepUsage keeps what functions used on a day, in UTC, in place of what was kept of those before. The day is forgotten when nothing was
// kept of it for so long. It may be repeated. If it returns an error, some of it may have been kept.
func (c *Client) KeepUsage(ctx context.Context, day time.Time, used []Used, forget time.Duration) error {
	for some := range slices.Chunk(used, maxUsage) {
		args := make([]any, 1, 1+2*len(some))
		args[0] = forget.Milliseconds()
		for _, u := range some {
			args = append(args, u.Function+" "+u.Instance, u.Value)
		}
		if err := usageLua.Run(ctx, c.rdb, []string{keyUsage(day)}, args...).Err(); err != nil {
			return away("keep what functions used", err)
		}
	}
	return nil
}

// Usage is what functions used on a day.
func (c *Client) Usage(ctx context.Context, day time.Time) ([]Used, error) {
	fields, err := c.rdb.HGetAll(ctx, keyUsage(day)).Result()
	if err != nil {
		return nil, away("read what functions used", err)
	}
	used := make([]Used, 0, len(fields))
	for field, value := range fields {
		if function, instance, ok := strings.Cut(field, " "); ok {
			used = append(used, Used{function, instance, []byte(value)})
		}
	}
	return used, nil
}
