package bakery

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// salts keeps the salt of each Redis that this process talks to: it never changes once it is there.
var salts sync.Map

// saltOf is the secret that order ids are derived with, made by whoever needs it first.
func saltOf(ctx context.Context, rdb redis.UniversalClient) (string, error) {
	if salt, ok := salts.Load(rdb); ok {
		return salt.(string), nil
	}
	if err := rdb.SetNX(ctx, keySalt, rand.Text(), 0).Err(); err != nil {
		return "", fmt.Errorf("make the salt of order ids: %w", err)
	}
	salt, err := rdb.Get(ctx, keySalt).Result()
	if err != nil {
		return "", fmt.Errorf("read the salt of order ids: %w", err)
	}
	salts.Store(rdb, salt)
	return salt, nil
}
