package chain

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/redis/go-redis/v9"
)

type redisKey struct{}

// WithRedis gives a call its Redis instead of the one that REDIS_URL names. It is for tests.
func WithRedis(ctx context.Context, rdb redis.UniversalClient) context.Context {
	return context.WithValue(ctx, redisKey{}, rdb)
}

// Redis returns the Redis of a call: that of WithRedis, or else the process's own. The latter is opened at
// first use from the environment variable REDIS_URL, so a function starts without waiting for it. If it
// cannot be reached, wire.IsUnavailable is true for the error, and the next call tries again.
func Redis(ctx context.Context) (redis.UniversalClient, error) {
	if rdb, ok := ctx.Value(redisKey{}).(redis.UniversalClient); ok {
		return rdb, nil
	}
	if rdb := own.Load(); rdb != nil {
		return *rdb, nil
	}
	url := os.Getenv("REDIS_URL")
	if url == "" {
		return nil, errors.New(
			"REDIS_URL is not set: give the function the address of Redis, such as redis://redis:6379")
	}
	redis.SetLogger(silent{}) // it logs each failed dial, which errors of calls report, too
	rdb, err := wire.Open(ctx, url)
	if err != nil {
		return nil, &redisError{err}
	}
	if !own.CompareAndSwap(nil, &rdb) { // another call was faster
		_ = rdb.Close()
	}
	return *own.Load(), nil
}

var own atomic.Pointer[redis.UniversalClient]

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}
