package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// Client is the platform's connection to Redis.
type Client struct {
	rdb  *goredis.Client // repeats a command whose answer was lost
	once *goredis.Client // never does

	accepting together // calls that are being queued

	embedded bool // it is the in-memory one, which knows less
}

// Open connects, and checks that this Redis can keep what it is given.
//
// It returns an error of code Unavailable if Redis cannot be reached, and Invalid if it is older than 7.0, or would evict
// queued calls when it is full.
func Open(ctx context.Context, url string) (*Client, error) {
	opt, err := goredis.ParseURL(url)
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid, "the Redis URL cannot be read: want redis://[user:password@]host:port[/db], rediss:// or unix://PATH")
	}
	chain.Tune(opt)
	if opt.PoolSize == 0 {
		opt.PoolSize = 64
	}
	never := *opt
	never.MaxRetries = -1
	c := &Client{rdb: goredis.NewClient(opt), once: goredis.NewClient(&never)}
	c.accepting.client = func() goredis.UniversalClient { return c.once }
	if err := c.check(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// LogTo sends what go-redis has to say to a log. It speaks of each failed dial, which the errors of calls say too.
func LogTo(log *slog.Logger) { goredis.SetLogger(logging{log}) }

type logging struct{ log *slog.Logger }

func (l logging) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, v...))
}

// Close ends the connections.
func (c *Client) Close() error {
	err := c.rdb.Close()
	if e := c.once.Close(); err == nil {
		err = e
	}
	return err
}

// Ping tells whether Redis answers.
func (c *Client) Ping(ctx context.Context) error { return away("reach it", c.rdb.Ping(ctx).Err()) }

func (c *Client) check(ctx context.Context) error {
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return &hearth.Error{Code: hearth.Unavailable, Message: fmt.Sprintf("Redis does not answer: %v", err), Err: err}
	}
	info, err := c.rdb.Info(ctx, "server").Result()
	if err != nil {
		c.embedded = strings.Contains(err.Error(), "not supported") // miniredis
		return nil
	}
	version := infoField(info, "redis_version")
	if major, _ := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); major < 7 {
		return hearth.Errorf(hearth.Invalid, "this Redis is %s, and Hearth needs 7.0 or newer", version)
	}
	policy, err := c.rdb.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return nil // a managed Redis may hide its configuration
	}
	if p := policy["maxmemory-policy"]; p != "noeviction" {
		return hearth.Errorf(hearth.Invalid,
			"this Redis has maxmemory-policy %s, so it would throw queued calls away when it is full: set it to noeviction", p)
	}
	return nil
}

func infoField(info, name string) string {
	for line := range strings.SplitSeq(info, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// Durability says how much of what Redis acknowledged survives its death, for people.
func (c *Client) Durability(ctx context.Context) string {
	if c.embedded {
		return "none: in memory"
	}
	got, err := c.rdb.ConfigGet(ctx, "append*").Result()
	switch {
	case err != nil:
		return "unknown: this Redis hides its configuration"
	case got["appendonly"] != "yes":
		return "none: this Redis has appendonly no"
	}
	return "appendfsync " + got["appendfsync"]
}

// away gives an error of Redis the code that callers act on.
func away(what string, err error) error {
	if err == nil {
		return nil
	}
	if chain.IsAway(err) || errors.Is(err, context.DeadlineExceeded) {
		reason := "Redis is away"
		if strings.HasPrefix(err.Error(), "OOM") {
			reason = "Redis is full"
		}
		return &hearth.Error{Code: hearth.Unavailable, Message: reason + ": could not " + what, Err: err}
	}
	return fmt.Errorf("%s: %w", what, err)
}
