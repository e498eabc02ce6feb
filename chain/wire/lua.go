package wire

import (
	"context"
	_ "embed"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// SettleLua is the Lua that settles a message; it documents the keys of a subscription. Both a function's
// commit and the platform's scripts begin with it.
//
//go:embed lua/settle.lua
var SettleLua string

// A Lua is a script that runs in Redis. It is sent once and then called by its digest.
type Lua struct {
	flagged, plain *redis.Script
}

// unflagged remembers the servers that do not know script flags: the in-memory Redis of the tests.
var unflagged sync.Map

// NewLua makes a script.
//
// A script that only finishes work (settles, leases, reschedules, buries) drains: it runs also when Redis has
// used up its maxmemory, because otherwise a full Redis could never be emptied. A script that accepts work
// does not, and is refused as a whole then, before it has written anything. See "Script flags" in
// https://redis.io/docs/latest/develop/interact/programmability/lua-api/.
func NewLua(source string, drains bool) *Lua {
	flags := "#!lua\n"
	if drains {
		flags = "#!lua flags=allow-oom\n"
	}
	return &Lua{flagged: redis.NewScript(flags + source), plain: redis.NewScript(source)}
}

// Run calls the script. go-redis repeats a command whose answer was lost: so every script of this project is
// safe to repeat, or is given a client that never repeats.
func (l *Lua) Run(ctx context.Context, rdb redis.Scripter, keys []string, args ...any) *redis.Cmd {
	if _, ok := unflagged.Load(rdb); ok {
		return l.plain.Run(ctx, rdb, keys, args...)
	}
	cmd := l.flagged.Run(ctx, rdb, keys, args...)
	if err := cmd.Err(); err != nil && strings.Contains(err.Error(), "near '#'") {
		unflagged.Store(rdb, true)
		return l.plain.Run(ctx, rdb, keys, args...)
	}
	return cmd
}
