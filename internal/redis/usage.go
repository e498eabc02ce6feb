package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
)

var usageLua = wire.NewLua(luaText("usage"), false) // a full Redis refuses it

// maxUsage is how many values one script keeps: it must not hold others up, and Lua passes on no more than
// some thousands.
const maxUsage = 500

// A Used is what one function used on a day, as one instance has counted it.
type Used struct {
	Function string // or whatever else was metered under a name without spaces
	Instance string
	Value    []byte // only package meter reads it
}

// KeepUsage keeps what functions used on a day, in UTC, in place of what was kept of those before. The day is
// forgotten when nothing was kept of it for so long. It may be repeated. If it returns an error, some of it
// may have been kept.
func (c *Client) KeepUsage(ctx context.Context, day time.Time, used []Used, forget time.Duration) error {
	if c.records.Key.IsZero() {
		return fmt.Errorf("keep what functions used: %w", errNoKey)
	}
	key := keyUsage(day)
	for some := range slices.Chunk(used, maxUsage) {
		args := make([]any, 1, 1+2*len(some))
		args[0] = forget.Milliseconds()
		for _, u := range some {
			field := u.Function + " " + u.Instance
			args = append(args, field, c.records.Key.Sign(key, field, u.Value))
		}
		err := usageLua.Run(ctx, c.rdb, []string{key}, args...).Err()
		if c.mended(ctx, err, key, "hash") {
			err = usageLua.Run(ctx, c.rdb, []string{key}, args...).Err()
		}
		if err != nil {
			return unavailable("keep what functions used", err)
		}
	}
	return nil
}

// Usage is what functions used on a day.
func (c *Client) Usage(ctx context.Context, day time.Time) ([]Used, error) {
	key := keyUsage(day)
	fields, err := c.rdb.HGetAll(ctx, key).Result()
	if c.mended(ctx, err, key, "hash") {
		err = nil
	}
	if err != nil {
		return nil, unavailable("read what functions used", err)
	}
	used := make([]Used, 0, len(fields))
	for field, value := range fields {
		content, err := c.records.Key.Open(key, field, []byte(value))
		function, instance, ok := strings.Cut(field, " ")
		if err == nil && !ok {
			err = errElsewhere
		}
		c.Judge(KindUsage, strings.TrimPrefix(key, keyUsageOf)+" "+field, err)
		if err == nil {
			used = append(used, Used{function, instance, content})
		}
	}
	return used, nil
}
