package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	neturl "net/url"
	"os"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open makes a client for a URL: redis://[user:password@]host:port[/db], rediss:// for TLS, or unix://PATH.
// It asks the server whether it is a node of a Redis Cluster; then it makes a client of the cluster. More
// nodes, in case that one is unavailable, follow as ?addr=host:port&addr=host:port, as in go-redis; then it
// does not connect yet.
func Open(ctx context.Context, url string) (redis.UniversalClient, error) {
	one, all, err := ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	if all != nil {
		return NewCluster(all), nil
	}
	rdb := redis.NewClient(one)
	clustered, err := InCluster(ctx, rdb)
	if err == nil && !clustered {
		return rdb, nil
	}
	_ = rdb.Close()
	if err != nil {
		return nil, err
	}
	if one.DB != 0 {
		return nil, fmt.Errorf("REDIS_URL: it names database %d, and a cluster only has database 0", one.DB)
	}
	return NewCluster(Cluster(one)), nil
}

// ParseURL reads a URL as Open does, without asking the server. It returns either all, the options of a
// cluster, if the URL names several nodes; or one, those of a server, which may be a node of a cluster.
func ParseURL(url string) (one *redis.Options, all *redis.ClusterOptions, err error) {
	if u, err := neturl.Parse(url); err == nil && u.Query().Has("addr") {
		all, err := redis.ParseClusterURL(url)
		if err != nil {
			return nil, nil, redact(err, url)
		}
		all.ContextTimeoutEnabled, all.DisableIdentity = true, true
		all.DialerRetries, all.MaintNotificationsConfig = 1, noNotices()
		return nil, all, nil
	}
	one, err = redis.ParseURL(url)
	if err != nil {
		return nil, nil, redact(err, url)
	}
	Tune(one)
	return one, nil, nil
}

// InCluster asks a server whether it is a node of a cluster. A server that does not answer that is not.
func InCluster(ctx context.Context, rdb *redis.Client) (bool, error) {
	info, err := rdb.Info(ctx, "cluster").Result()
	var reply redis.Error
	if err != nil && errors.As(err, &reply) && !IsUnavailable(err) && !RefusesUser(err) {
		return strings.Contains(err.Error(), "cluster mode"), nil // which refuses a database other than 0
	}
	return strings.Contains(info, "cluster_enabled:1"), err
}

// RefusesUser reports whether an error means that Redis does not know the user or its password. Hearth
// creates a function's user again within seconds if a Redis has lost it, so the same call may work later.
func RefusesUser(err error) bool {
	return err != nil &&
		(strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "NOAUTH"))
}

// Cluster returns the options of a cluster from those of one of its nodes.
func Cluster(one *redis.Options) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs:                    []string{one.Addr},
		ClientName:               one.ClientName,
		OnConnect:                one.OnConnect,
		Protocol:                 one.Protocol,
		Username:                 one.Username,
		Password:                 one.Password,
		TLSConfig:                one.TLSConfig,
		MinRetryBackoff:          one.MinRetryBackoff,
		MaxRetryBackoff:          one.MaxRetryBackoff,
		DialTimeout:              one.DialTimeout,
		ReadTimeout:              one.ReadTimeout,
		WriteTimeout:             one.WriteTimeout,
		PoolFIFO:                 one.PoolFIFO,
		PoolSize:                 one.PoolSize,
		PoolTimeout:              one.PoolTimeout,
		MinIdleConns:             one.MinIdleConns,
		MaxIdleConns:             one.MaxIdleConns,
		MaxActiveConns:           one.MaxActiveConns,
		ConnMaxIdleTime:          one.ConnMaxIdleTime,
		ConnMaxLifetime:          one.ConnMaxLifetime,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		DialerRetries:            1,
		MaintNotificationsConfig: noNotices(),
	}
}

// NewCluster makes a client of a cluster. It asks again which node has which slot whenever a node does not
// answer: go-redis alone asks only when it is redirected, and a dead node does not redirect.
func NewCluster(opt *redis.ClusterOptions) *redis.ClusterClient {
	c := redis.NewClusterClient(opt)
	c.AddHook(asking{c})
	return c
}

type asking struct{ cluster *redis.ClusterClient }

// DialHook implements redis.Hook.
func (a asking) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (a asking) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if IsUnavailable(err) {
			a.cluster.ReloadState(ctx) // it does not wait, and several at once are one
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (a asking) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if IsUnavailable(err) {
			a.cluster.ReloadState(ctx)
		}
		return err
	}
}

// Tune sets the options that all of this project's clients share: the deadline of the caller's context holds,
// and a new connection costs one round trip.
func Tune(opt *redis.Options) {
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true
	opt.DialerRetries = 1 // the command itself is retried
	opt.MaintNotificationsConfig = noNotices()
}

func noNotices() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// redact removes a URL, which may hold a password, from an error.
func redact(err error, url string) error {
	return errors.New(strings.ReplaceAll(err.Error(), url, "the URL"))
}

// IsUnavailable reports whether an error means that Redis cannot do its work now: it cannot be reached, is
// loading, is full, or is a replica. The same call may work later.
func IsUnavailable(err error) bool {
	var network *net.OpError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return false
	// go-redis strips a timeout down to the latter; or a dial that took too long
	case errors.As(err, &network), errors.Is(err, os.ErrDeadlineExceeded):
		return true
	case errors.Is(err, context.DeadlineExceeded): // it is the caller who gave up
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, redis.ErrClosed),
		errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, syscall.ECONNREFUSED),
		errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EPIPE):
		return true
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		// none that answers is known now; go-redis has no name for it
		return strings.HasSuffix(err.Error(), "redis: cluster has no nodes")
	}
	for _, prefix := range [...]string{
		"LOADING", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF",
		"NOREPLICAS", "MOVED", "ASK", // MOVED and ASK if a cluster's nodes do not agree yet
	} {
		if strings.HasPrefix(reply.Error(), prefix) {
			return true
		}
	}
	return false
}
