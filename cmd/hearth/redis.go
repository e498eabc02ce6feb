package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// redisPatience is how long to wait for a Redis that does not answer yet. After a power cut it starts at
// the same time and may have much to load.
const redisPatience = 5 * time.Minute

// openRedis connects to Redis. It waits for a Redis that does not answer yet until patience or ctx ends.
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
			log.Warn("waiting for Redis", "at_most", patience, "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// logDurability logs how Redis stores accepted calls. It is a warning if a crash may lose some, and the
// operator did not choose that with a flag of this command.
func logDurability(ctx context.Context, queue *redis.Client, chosen bool, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	d := queue.Durability(ctx)
	switch {
	case d.Risk == "":
		log.Info("Redis keeps accepted calls", "durability", d.Setting)
	case chosen:
		log.Info("Redis may lose accepted calls", "durability", d.Setting, "at_risk", d.Risk)
	default:
		log.Warn("Redis may lose accepted calls", "durability", d.Setting, "at_risk", d.Risk,
			"advice", "set appendonly yes and appendfsync always")
	}
}
