package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// redisPatience is for how long a Redis is waited for that does not answer yet: after a power cut it
// starts when we do, and may have much to load.
const redisPatience = 5 * time.Minute

// openRedis connects, and waits for a Redis that does not answer yet, until patience or ctx ends.
func openRedis(ctx context.Context, url string, patience time.Duration,
	log *slog.Logger) (*redis.Client, error) {
	const shortest, longest = 100 * time.Millisecond, 2 * time.Second
	began, said := time.Now(), false
	for wait := shortest; ; wait = min(2*wait, longest) {
		c, err := redis.Open(ctx, url)
		if hearth.CodeOf(err) != hearth.Unavailable || time.Since(began) > patience || ctx.Err() != nil {
			return c, err
		}
		if !said {
			said = true
			log.Warn("waiting for Redis", "at most", patience, "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
