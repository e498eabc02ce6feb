package chain_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A chain of two steps whose effects are sums, so that an effect which happens twice, or never, shows. Each
// message carries a number.
var (
	firstSum  = sumScript("first", "props.two")
	secondSum = sumScript("second")
	steps     = []struct {
		topic  string
		handle func(handler.Request) (handler.Response, error)
	}{
		{"props.one", adding("props.one", firstSum)},
		{"props.two", adding("props.two", secondSum)},
	}
)

func sumScript(name string, emits ...string) *chain.Script {
	emit := ""
	if len(emits) > 0 {
		emit = "emit('" + emits[0] + "', {by = args.by})"
	}
	return chain.NewScript(name, emit+`
		local sum = tonumber(redis.call('HGET', keys.sums, '`+name+`') or '0') + args.by
		return function() redis.call('HSET', keys.sums, '`+name+`', sum) end`,
		[]chain.Key{{Name: "sums", Key: "{props}:sums", Type: "hash"}}, emits...)
}

func adding(topic string, s *chain.Script) func(handler.Request) (handler.Response, error) {
	return chain.Handle(topic, func(_ context.Context, a add) (chain.Commit, error) {
		return chain.Commit{Script: s, Args: a}, nil
	})
}

// flow is one random run of the chain. Its subscriptions' dead and due sets are filled as a dispatcher fills
// them.
type flow struct {
	t     *testing.T
	rnd   *rand.Rand
	rdb   redis.UniversalClient
	calm  context.Context
	cut   context.Context
	subs  []wire.Subscription
	calls []call2
	total int
}

// call2 is a delivery of one of the two steps.
type call2 struct {
	step int
	m    chaintest.Message
}

func newFlow(t *testing.T, seed uint64, rdb redis.UniversalClient) *flow {
	f := &flow{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), rdb: rdb}
	for _, s := range steps {
		f.subs = append(f.subs, chaintest.Subscribe(t, f.rdb, s.topic, "g"))
	}
	var mu sync.Mutex
	coin := func(int) bool { mu.Lock(); defer mu.Unlock(); return f.rnd.IntN(3) == 0 }
	faults := &chaintest.Faults{Before: coin, After: coin}
	f.calm = chain.WithRedis(t.Context(), f.rdb)
	f.cut = chain.WithRedis(t.Context(), faults.Client(t, f.rdb))
	return f
}

// TestEffectsHappenOnce: whatever happens to deliveries, each message's effect is there exactly once in the
// end.
func TestEffectsHappenOnce(t *testing.T) {
	for _, seed := range chaintest.Seeds(t, 20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			f := newFlow(t, seed, chaintest.Redis(t))
			for range 150 {
				f.event()
			}
			f.finish()
		})
	}
}

func TestEffectsHappenOnceOnACluster(t *testing.T) {
	t.Parallel()
	rdb := chaintest.Cluster(t)
	for _, seed := range chaintest.Seeds(t, 1) {
		t.Logf("seed %d", seed)
		f := newFlow(t, seed, rdb)
		for range 150 {
			f.event()
		}
		f.finish()
	}
}

// TestEffectsHappenOnceOnManyReplicas lets commits of the same message meet in Redis.
func TestEffectsHappenOnceOnManyReplicas(t *testing.T) {
	for _, seed := range chaintest.Seeds(t, 10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			f := newFlow(t, seed, chaintest.Redis(t))
			for range 20 {
				for range 8 {
					f.event()
				}
				var replicas sync.WaitGroup
				for _, c := range f.calls {
					for range 3 {
						replicas.Go(func() { _, _ = steps[c.step].handle(c.m.Request(f.calm)) })
					}
				}
				replicas.Wait()
			}
			f.finish()
		})
	}
}

func (f *flow) event() {
	step := f.rnd.IntN(len(steps))
	sub := f.subs[step]
	switch n := f.rnd.IntN(100); {
	case n < 20:
		f.total += len(f.calls) + 1
		chaintest.Put(f.t, f.rdb, steps[0].topic, fmt.Sprintf(`{"by":%d}`, len(f.calls)+1))
	case n < 45:
		m, ok, err := chaintest.Take(f.t.Context(), f.rdb, sub)
		require.NoError(f.t, err)
		if ok {
			f.calls = append(f.calls, call2{step, m})
		}
	case n < 60: // the lease ran out: delivered again
		f.again(f.pick())
	case n < 70: // buried; and redriven now and then
		if c, ok := f.pick(); ok && f.pending(c) {
			keys := f.subs[c.step].Keys()
			require.NoError(f.t, f.rdb.ZAdd(f.t.Context(), keys[3], redis.Z{Score: 1, Member: c.m.ID}).Err())
			if f.rnd.IntN(2) == 0 {
				f.rdb.ZRem(f.t.Context(), keys[3], c.m.ID)
				f.again(c, true)
			}
		}
	case n < 95: // a replica works, and may do it again much later
		if c, ok := f.pick(); ok {
			ctx := f.calm
			if f.rnd.IntN(2) == 0 {
				ctx = f.cut
			}
			answer, err := steps[c.step].handle(c.m.Request(ctx))
			require.NoError(f.t, err)
			if answer.StatusCode == http.StatusOK {
				require.False(f.t, f.pending(c), "200 means that it is settled")
			}
		}
	default: // deleted, and redeployed
		require.NoError(f.t, f.rdb.XGroupDestroy(f.t.Context(), sub.Stream, sub.Group).Err())
		f.rdb.Del(f.t.Context(), sub.Keys()[1:]...)
		require.NoError(f.t, f.rdb.XGroupCreateMkStream(f.t.Context(), sub.Stream, sub.Group, "0").Err())
	}
}

func (f *flow) pick() (call2, bool) {
	if len(f.calls) == 0 {
		return call2{}, false
	}
	return f.calls[f.rnd.IntN(len(f.calls))], true
}

func (f *flow) again(c call2, ok bool) {
	if !ok || !f.pending(c) {
		return
	}
	m, err := chaintest.Retake(f.t.Context(), f.rdb, f.subs[c.step], c.m.ID)
	require.NoError(f.t, err)
	f.calls = append(f.calls, call2{c.step, m})
}

func (f *flow) pending(c call2) bool {
	sub := f.subs[c.step]
	p, err := f.rdb.XPendingExt(f.t.Context(), &redis.XPendingExtArgs{
		Stream: sub.Stream,
		Group:  sub.Group,
		Start:  c.m.ID,
		End:    c.m.ID,
		Count:  1,
	}).Result()
	require.NoError(f.t, err)
	return len(p) > 0
}

// finish delivers what is left, lets every zombie work once more, and counts.
func (f *flow) finish() {
	deliver := func(step int, m chaintest.Message) {
		answer, err := steps[step].handle(m.Request(f.calm))
		require.NoError(f.t, err)
		require.Equal(f.t, http.StatusOK, answer.StatusCode, string(answer.Body))
	}
	for step, sub := range f.subs {
		pending, err := f.rdb.XPendingExt(f.t.Context(), &redis.XPendingExtArgs{
			Stream: sub.Stream,
			Group:  sub.Group,
			Start:  "-",
			End:    "+",
			Count:  10_000,
		}).Result()
		require.NoError(f.t, err)
		for _, p := range pending {
			m, err := chaintest.Retake(f.t.Context(), f.rdb, sub, p.ID)
			require.NoError(f.t, err)
			deliver(step, m)
		}
		for {
			m, ok, err := chaintest.Take(f.t.Context(), f.rdb, sub)
			require.NoError(f.t, err)
			if !ok {
				break
			}
			deliver(step, m)
			f.calls = append(f.calls, call2{step, m})
		}
	}
	for _, c := range slices.Backward(f.calls) {
		_, err := steps[c.step].handle(c.m.Request(f.calm))
		require.NoError(f.t, err)
	}
	sums := f.rdb.HGetAll(f.t.Context(), "{props}:sums").Val()
	for _, name := range []string{"first", "second"} {
		got, _ := strconv.Atoi(sums[name])
		require.Equal(f.t, f.total, got, name)
	}
	for _, sub := range f.subs {
		require.Zero(f.t, f.rdb.XLen(f.t.Context(), sub.Stream).Val())
		require.Zero(f.t, f.rdb.Exists(f.t.Context(), sub.Keys()[1:]...).Val(),
			"nothing is noted about settled messages, also not that they were dead")
	}
}

// TestLostAnswerThatGoRedisSendsAgain cuts the connection behind the commit, below go-redis, which then sends
// it again.
func TestLostAnswerThatGoRedisSendsAgain(t *testing.T) {
	t.Parallel()
	calm := chaintest.Redis(t)
	_, sub, first := pending(t, calm, `{"by":1}`)
	opt := *calm.Options()
	var cuts atomic.Int32
	dial := redis.NewDialer(&opt)
	opt.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &forgetful{Conn: c, cuts: &cuts}, err
	}
	rdb := redis.NewClient(&opt)
	defer func() { _ = rdb.Close() }()
	ctx := chain.WithRedis(t.Context(), rdb)
	require.Equal(t, http.StatusOK, call(t, adder, first.Request(ctx)).StatusCode,
		"now Redis knows the script")
	chaintest.Put(t, calm, "test.add", `{"by":2}`)
	m, ok, err := chaintest.Take(t.Context(), calm, sub)
	require.NoError(t, err)
	require.True(t, ok)
	cuts.Store(1)
	answer := call(t, adder, m.Request(ctx))
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	require.JSONEq(t, `{"done":"before"}`, string(answer.Body),
		"the second sending found the first one's work")
	require.Equal(t, "3", sum(t, calm))
	require.Zero(t, calm.XLen(t.Context(), sub.Stream).Val())
}

// forgetful is a connection that reads an answer and throws it away, so many times.
type forgetful struct {
	net.Conn
	cuts *atomic.Int32
}

func (c *forgetful) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.cuts.Add(-1) >= 0 {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}
