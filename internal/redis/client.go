package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// Client is the platform's connection to Redis, or to a Redis Cluster.
type Client struct {
	rdb  goredis.UniversalClient // repeats a command whose answer was lost
	once scripts                 // never does

	accepting sync.Map // WatchKey -> *together: sends the calls that are queued on one server
	memory    sync.Map // address of a server of a cluster, or "" -> *memory

	making sync.Mutex // room in memory
	made   time.Time  // when that was tried last

	records  recordsOf // signs and checks records
	noRecord bool      // calls that end are not recorded

	single   *goredis.Client        // once, if it is one server
	cluster  *goredis.ClusterClient // rdb, if it is a cluster
	embedded bool                   // it is the in-memory server, which lacks some commands
}

// scripts runs scripts, one by one or in a pipeline.
type scripts interface {
	goredis.Scripter
	Pipeline() goredis.Pipeliner
}

// poolSize is how many connections a client has to one server, unless the URL says otherwise.
const poolSize = 64

// Open connects, and checks that this Redis keeps what it is given. A server that is a node of a cluster
// stands for the whole cluster; see wire.Open for the forms of a URL.
//
// It returns an error of code Unavailable if Redis cannot be reached, and Invalid if it is older than 7.0, or
// would evict queued calls when it is full.
func Open(ctx context.Context, url string) (*Client, error) {
	one, all, err := wire.ParseURL(url)
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid,
			"the Redis URL cannot be read: want redis://[user:password@]host:port[/db], rediss:// "+
				"or unix://PATH; of a cluster's nodes, redis://host:port?addr=host:port")
	}
	c := &Client{}
	if all == nil {
		one.PoolSize = cmp.Or(one.PoolSize, poolSize)
		never := *one
		never.MaxRetries = -1
		rdb := goredis.NewClient(one)
		c.rdb, c.single = rdb, goredis.NewClient(&never)
		c.once = c.single
		clustered, err := wire.InCluster(ctx, rdb)
		switch {
		case err != nil:
			_ = c.Close()
			return nil, noAnswer(err)
		case clustered && one.DB != 0:
			_ = c.Close()
			return nil, hearth.Errorf(hearth.Invalid,
				"the Redis URL names database %d, and this Redis is a cluster, which only has database 0",
				one.DB)
		case clustered:
			_ = c.Close()
			all = wire.Cluster(one)
		}
	}
	if all != nil {
		all.PoolSize = cmp.Or(all.PoolSize, poolSize)
		c.cluster = wire.NewCluster(all)
		c.rdb, c.once, c.single = c.cluster, &onceInCluster{c.cluster}, nil
	}
	if err := c.check(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func noAnswer(err error) error {
	if !wire.IsUnavailable(err) && !errors.Is(err, context.DeadlineExceeded) { // as for a wrong password
		return &hearth.Error{
			Code:    hearth.Invalid,
			Message: fmt.Sprintf("Redis refuses the connection: %v", err),
			Err:     err,
		}
	}
	return &hearth.Error{
		Code:    hearth.Unavailable,
		Message: fmt.Sprintf("Redis does not answer: %v", err),
		Err:     err,
	}
}

// LogTo sends the messages of go-redis to a log, at debug level: it reports each failed dial, which errors of
// calls do, too.
func LogTo(log *slog.Logger) { goredis.SetLogger(logging{log}) }

type logging struct{ log *slog.Logger }

func (l logging) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, v...))
}

// Close closes the connections.
func (c *Client) Close() error {
	err := c.rdb.Close()
	if c.single != nil {
		err = errors.Join(err, c.single.Close())
	}
	return err
}

// Stall makes Redis answer nobody for a while. It is for demonstrations of a slow Redis.
func (c *Client) Stall(ctx context.Context, d time.Duration) error {
	return c.eachServer(ctx, func(ctx context.Context, server *goredis.Client) error {
		return unavailable("make it slow", server.Do(ctx, "CLIENT", "PAUSE", d.Milliseconds(), "ALL").Err())
	})
}

// Ping returns an error if Redis does not answer.
func (c *Client) Ping(ctx context.Context) error {
	return unavailable("reach it", c.rdb.Ping(ctx).Err())
}

func (c *Client) check(ctx context.Context) error {
	if c.cluster == nil {
		return c.checkServer(ctx, c.rdb)
	}
	// The first question finds the nodes. One that is unavailable does not keep the others from working.
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return noAnswer(err)
	}
	return c.cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		err := c.checkServer(ctx, node)
		if hearth.CodeOf(err) == hearth.Unavailable {
			return nil
		}
		return err
	})
}

func (c *Client) checkServer(ctx context.Context, rdb goredis.UniversalClient) error {
	if err := rdb.Ping(ctx).Err(); err != nil {
		return noAnswer(err)
	}
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		c.embedded = c.cluster == nil && strings.Contains(err.Error(), "not supported") // miniredis
		return nil
	}
	version := infoField(info, "redis_version")
	if major, _ := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); major < 7 {
		return hearth.Errorf(hearth.Invalid, "this Redis is %s, and Hearth needs 7.0 or newer", version)
	}
	policy, err := rdb.ConfigGet(ctx, "maxmemory-policy").Result()
	if err != nil {
		return nil // a managed Redis may hide its configuration
	}
	if p := policy["maxmemory-policy"]; p != "noeviction" {
		return hearth.Errorf(hearth.Invalid,
			"this Redis has maxmemory-policy %s, so it would delete queued calls when it is full: set it "+
				"to noeviction", p)
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

// unavailable wraps an error of Redis, and gives it the code Unavailable if the same call may work later.
// what is what was being done.
func unavailable(what string, err error) error {
	if err == nil {
		return nil
	}
	if wire.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) {
		reason := "Redis is unavailable"
		if strings.HasPrefix(err.Error(), "OOM") {
			reason = "Redis is full"
		}
		return &hearth.Error{Code: hearth.Unavailable, Message: reason + ": could not " + what, Err: err}
	}
	return fmt.Errorf("%s: %w", what, err)
}
