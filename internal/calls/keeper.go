package calls

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hearthfaas/hearth/internal/redis"
)

// Limits of the record, by default.
const (
	DefaultCalls = 100_000
	DefaultBytes = 64 << 20
	DefaultAge   = 24 * time.Hour
)

// keepEvery is how often a Keeper looks. In between, the record may grow beyond its limits by what ends.
const keepEvery = 10 * time.Second

// A Keeper keeps the record within its limits. Each instance has one: to drop entries twice does no harm.
type Keeper struct {
	redis *redis.Client
	limit redis.RecordLimit
	log   *slog.Logger
	stop  context.CancelFunc
	done  chan struct{}
}

// NewKeeper makes a keeper, which does nothing before Start.
func NewKeeper(c *redis.Client, limit redis.RecordLimit, log *slog.Logger) (*Keeper, error) {
	switch {
	case c == nil || log == nil:
		return nil, errors.New("make a keeper of the record: the Redis client and the log are required")
	case limit.Calls < 0 || limit.Bytes < 0 || limit.Age < 0:
		return nil, errors.New("make a keeper of the record: limits must not be negative")
	}
	return &Keeper{redis: c, limit: limit, log: log, done: make(chan struct{})}, nil
}

// Start begins to look. The end of ctx does not stop it: Stop does.
func (k *Keeper) Start(ctx context.Context) error {
	if k.stop != nil {
		return errors.New("start the keeper of the record: it was started before")
	}
	loop, stop := context.WithCancel(context.WithoutCancel(ctx))
	k.stop = stop
	go k.run(loop)
	return nil
}

// Stop ends the look that is in progress.
func (k *Keeper) Stop(context.Context) error {
	if k.stop == nil {
		return nil
	}
	k.stop()
	<-k.done
	return nil
}

func (k *Keeper) run(ctx context.Context) {
	defer close(k.done)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := k.keep(ctx); err != nil && ctx.Err() == nil {
			k.log.Debug("could not trim the record of calls", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (k *Keeper) keep(ctx context.Context) error {
	subs, err := k.redis.Subscriptions(ctx)
	if err != nil {
		return err
	}
	_, _, err = k.redis.TrimRecords(ctx, subs, k.limit)
	return err
}
