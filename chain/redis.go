package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

type redisKey struct{}

// WithRedis gives a call its Redis, instead of the one that REDIS_URL names. It is for tests.
func WithRedis(ctx context.Context, rdb redis.UniversalClient) context.Context {
	return context.WithValue(ctx, redisKey{}, rdb)
}

// Redis is the Redis of a call: WithRedis's, or else the process's own, which is opened when it is first needed from the
// environment variable REDIS_URL, so that a function starts without waiting for it.
func Redis(ctx context.Context) (redis.UniversalClient, error) {
	if rdb, ok := ctx.Value(redisKey{}).(redis.UniversalClient); ok {
		return rdb, nil
	}
	return shared()
}

var shared = sync.OnceValues(func() (redis.UniversalClient, error) {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		return nil, errors.New("REDIS_URL is not set: give the function the address of Redis, such as redis://redis:6379")
	}
	redis.SetLogger(silent{}) // it speaks of each failed dial, which the errors of calls say too
	return Open(url)
})

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Open makes a client for a URL: redis://[user:password@]host:port[/db], rediss:// for TLS, or unix://PATH. It does not
// connect yet.
func Open(url string) (*redis.Client, error) {
	opt, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", redact(err, url))
	}
	Tune(opt)
	return redis.NewClient(opt), nil
}

// Tune sets what all of this project's clients share: deadlines of the caller's context hold, and a new connection costs
// one round trip.
func Tune(opt *redis.Options) {
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true
	opt.DialerRetries = 1 // the command itself is retried
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// redact keeps a URL, which may hold a password, out of an error.
func redact(err error, url string) error {
	return errors.New(strings.ReplaceAll(err.Error(), url, "the URL"))
}

// IsAway tells whether an error means that Redis cannot do anything now: it cannot be reached, it is loading, it is full,
// or it is a replica. The same call may work later.
func IsAway(err error) bool {
	var network *net.OpError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &network), errors.Is(err, os.ErrDeadlineExceeded): // go-redis strips a timeout down to the latter; or a dial that took too long
		return true
	case errors.Is(err, os.ErrDeadlineExceeded): // it took the connection, and says nothing: go-redis tells that bare
		return true
	case errors.Is(err, context.DeadlineExceeded): // it is the caller who gave up
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, redis.ErrClosed),
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EPIPE):
		return true
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	for _, prefix := range [...]string{"LOADING", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS"} {
		if strings.HasPrefix(reply.Error(), prefix) {
			return true
		}
	}
	return false
}
