package redis_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var fn = hearth.Name{Function: "oven", Namespace: "openfaas-fn"}

// recordKey is what the tests' records are signed with.
var recordKey = record.NewKey([]byte("the tests' secret"))

// limit is one that no test reaches.
var limit = hearth.QueueLimit{Length: 10_000, Bytes: 1 << 20}

// queue is a client of an empty Redis with fn's subscription, and go-redis's own view of the same database.
type queue struct {
	*redis.Client
	raw goredis.UniversalClient
	sub wire.Subscription
	t   *testing.T
}

func servers(t *testing.T, test func(t *testing.T, q queue)) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, open(t, chaintest.Redis(t))) })
	t.Run("cluster", func(t *testing.T) { t.Parallel(); test(t, open(t, chaintest.Cluster(t))) })
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); test(t, open(t, chaintest.Mini(t))) })
}

func open(t *testing.T, raw goredis.UniversalClient) queue {
	t.Helper()
	c, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	memory, err := record.OpenMemory(filepath.Join(t.TempDir(), "records.json"))
	require.NoError(t, err)
	c.UseRecords(redis.Records{Key: recordKey, Memory: memory})
	q := queue{c, raw, redis.CallsOf(fn), t}
	lost, err := c.Subscribe(t.Context(), q.sub)
	require.NoError(t, err)
	require.False(t, lost)
	return q
}

func (q queue) enqueue(body string) {
	q.t.Helper()
	_, err := q.Enqueue(q.t.Context(), fn, redis.Call{Entry: wire.Entry{Body: []byte(body),
		CallID: "c-" + body}}, limit)
	require.NoError(q.t, err)
}

func (q queue) take(n int) redis.Batch {
	q.t.Helper()
	b, err := q.Take(q.t.Context(), q.sub, n, redis.Holder{Instance: "me", Lease: time.Minute})
	require.NoError(q.t, err)
	return b
}

func (q queue) one() redis.Delivery {
	q.t.Helper()
	b := q.take(1)
	require.Len(q.t, b.Deliveries, 1)
	return b.Deliveries[0]
}

// renew renews leases for an hour, and returns what became of each.
func (q queue) renew(held ...redis.Delivery) []redis.Renewal {
	q.t.Helper()
	got, err := q.Renew(q.t.Context(), []redis.Leases{{Of: q.sub, Length: time.Hour, Deliveries: held}})
	require.NoError(q.t, err)
	return got[0]
}

// letters are all dead letters.
func (q queue) letters() []redis.DeadLetter {
	q.t.Helper()
	ids, err := q.DeadIDs(q.t.Context(), q.sub, time.Time{}, time.Time{})
	require.NoError(q.t, err)
	letters, err := q.DeadLettersOf(q.t.Context(), q.sub, ids)
	require.NoError(q.t, err)
	return letters
}

// depth is without Oldest, which is another one each time.
func (q queue) depth() redis.Depth {
	q.t.Helper()
	d, err := q.Depths(q.t.Context(), []wire.Subscription{q.sub})
	require.NoError(q.t, err)
	d[0].Oldest = 0
	return d[0]
}

// expire ends all leases and waits now.
func (q queue) expire() {
	for _, key := range q.sub.Keys()[1:3] {
		for _, id := range q.raw.ZRange(q.t.Context(), key, 0, -1).Val() {
			q.raw.ZAdd(q.t.Context(), key, goredis.Z{Score: 0, Member: id})
		}
	}
}

// empty means that nothing is left, not even notes.
func (q queue) empty() {
	q.t.Helper()
	require.Equal(q.t, redis.Depth{}, q.depth())
	require.Zero(q.t, q.raw.Exists(q.t.Context(), q.sub.Keys()[1:]...).Val())
	require.Zero(q.t, q.raw.XPending(q.t.Context(), q.sub.Stream, q.sub.Group).Val().Count)
}

func body(t *testing.T, d redis.Delivery) string {
	t.Helper()
	e, err := wire.ParseEntry(d.Fields)
	require.NoError(t, err)
	return string(e.Body)
}
