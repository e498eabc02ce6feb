package chaintest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// ErrCut is what a function sees of a Fault: a connection that was cut.
var ErrCut = errors.New("the connection was cut")

// Faults make commands fail, before Redis runs them or after. A pipeline is one command. The zero Faults only
// count.
type Faults struct {
	Before func(n int) bool // the n-th command, from 0, is not sent
	After  func(n int) bool // it is run, and its answer is lost

	mu sync.Mutex
	n  int
}

// Commands is how many commands there were.
func (f *Faults) Commands() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Client is a second client of the Redis that a test has, with faults.
func (f *Faults) Client(t testing.TB, rdb redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	var faulty redis.UniversalClient
	switch c := rdb.(type) {
	case *RedisCluster:
		opt := *c.Options()
		faulty = redis.NewClusterClient(&opt)
		t.Cleanup(func() { _ = faulty.Close() })
	case *redis.Client:
		opt := *c.Options()
		faulty = client(t, &opt)
	default:
		t.Fatalf("chaintest: a %T has no faults", rdb)
	}
	if err := faulty.Ping(t.Context()).Err(); err != nil { // so that connecting is not among the commands
		t.Fatalf("chaintest: %v", err)
	}
	faulty.AddHook(f)
	return faulty
}

// DialHook implements redis.Hook.
func (f *Faults) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (f *Faults) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return f.run(func() error { return next(ctx, cmd) }, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (f *Faults) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return f.run(func() error { return next(ctx, cmds) }, cmds...)
	}
}

func (f *Faults) run(send func() error, cmds ...redis.Cmder) error {
	f.mu.Lock()
	n := f.n
	f.n++
	f.mu.Unlock()
	cut := func() error {
		for _, c := range cmds {
			c.SetErr(ErrCut)
		}
		return ErrCut
	}
	if f.Before != nil && f.Before(n) {
		return cut()
	}
	err := send()
	if f.After != nil && f.After(n) {
		return cut()
	}
	return err
}
