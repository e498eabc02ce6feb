package redis

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// TestOnceInAClusterIsSentOnce: an answer that is lost is an error, and not a second call; a slot that has
// moved is neither.
func TestOnceInAClusterIsSentOnce(t *testing.T) {
	t.Parallel()
	cluster := chaintest.OwnCluster(t, 0)
	opt := wire.Cluster(&goredis.Options{Addr: cluster.Nodes[1].Addr})
	var cuts atomic.Int32
	dial := goredis.NewDialer(&goredis.Options{DialTimeout: time.Second})
	opt.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &forgetful{Conn: c, cuts: &cuts}, err
	}
	rdb := goredis.NewClusterClient(opt)
	c := &Client{rdb: rdb, once: &onceInCluster{rdb}, cluster: rdb}
	defer func() { _ = c.Close() }()
	ctx, n := t.Context(), hearth.Name{Function: "oven", Namespace: "openfaas-fn"}
	calls := CallsOf(n)
	_, err := c.Subscribe(ctx, calls)
	require.NoError(t, err)
	queued := func() int { return int(cluster.XLen(ctx, calls.Stream).Val()) }
	enqueue := func() error {
		_, err := c.Enqueue(ctx, n, Call{Entry: wire.Entry{Body: []byte("x"), CallID: "c"}},
			hearth.QueueLimit{Length: 100, Bytes: 1 << 20})
		return err
	}
	require.NoError(t, enqueue())
	require.Equal(t, 1, queued())
	cuts.Store(1)
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(enqueue()))
	require.Equal(t, 2, queued(), "it has run, and once")

	// With a key it is sent again, and known as what was sent before.
	cuts.Store(1)
	keyed, err := c.Enqueue(ctx, n, Call{Key: "k", Entry: wire.Entry{Body: []byte("x"), CallID: "c"}},
		hearth.QueueLimit{Length: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, Queued, keyed.State)
	require.False(t, keyed.Before, "it is no repeat: the caller has asked once")
	require.Equal(t, 3, queued())

	cuts.Store(1)
	require.NoError(t,
		rdb.XAdd(ctx, &goredis.XAddArgs{Stream: calls.Stream, Values: []string{"body", "x"}}).Err())
	require.Equal(t, 5, queued(), "go-redis would send it again")

	// Also when several go together.
	before := queued()
	var callers sync.WaitGroup
	for i := range 50 {
		if i == 25 {
			cuts.Store(1)
		}
		callers.Go(func() {
			_, _ = c.Enqueue(ctx, n,
				Call{Entry: wire.Entry{Body: []byte("x"), CallID: fmt.Sprint("together-", i)}},
				hearth.QueueLimit{Length: 100, Bytes: 1 << 20})
		})
	}
	callers.Wait()
	cuts.Store(0)
	ids := map[any]bool{}
	for _, entry := range cluster.XRange(ctx, calls.Stream, "-", "+").Val()[before:] {
		require.False(t, ids[entry.Values["call-id"]], "%v", entry.Values)
		ids[entry.Values["call-id"]] = true
	}
	require.NotEmpty(t, ids)
	before = queued()

	// The slot moves to another node, of which the client has not heard.
	from, to := cluster.MasterOf(t, calls.Stream), cluster.Nodes[0]
	if from == to {
		to = cluster.Nodes[1]
	}
	move(t, cluster, calls.Stream, from, to)
	require.NoError(t, enqueue())
	require.Equal(t, before+1, queued())
	b, err := c.Take(ctx, calls, 100, Holder{Instance: "me", Lease: time.Minute})
	require.NoError(t, err)
	require.Len(t, b.Deliveries, before+1)
}

func TestOpenLooksAtEachMasterOfACluster(t *testing.T) {
	t.Parallel()
	cluster := chaintest.OwnCluster(t, 0)
	one := "redis://" + cluster.Nodes[2].Addr
	c, err := Open(t.Context(), one)
	require.NoError(t, err)
	require.NotNil(t, c.cluster, "it finds out by itself")
	require.NoError(t, c.Close())
	_, err = Open(t.Context(), one+"/3")
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.ErrorContains(t, err, "database 3")

	node := goredis.NewClient(&goredis.Options{Addr: cluster.Nodes[0].Addr})
	defer func() { _ = node.Close() }()
	require.NoError(t, node.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	_, err = Open(t.Context(), one)
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "noeviction")
	require.NoError(t, node.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())

	cluster.Nodes[1].Kill()
	c, err = Open(t.Context(), "redis://"+cluster.Nodes[1].Addr+"?addr="+cluster.Nodes[2].Addr)
	require.NoError(t, err, "one that is away keeps nobody from working")
	require.NoError(t, c.Close())
	_, err = Open(t.Context(), "redis://user:secret@x?addr=y&nonsense=1")
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.NotContains(t, err.Error(), "secret")
}

// move moves the slot of a key with all that it has.
func move(t *testing.T, cluster *chaintest.RedisCluster, key string, from, to *chaintest.Node) {
	t.Helper()
	ctx := t.Context()
	open := func(n *chaintest.Node) *goredis.Client {
		c := goredis.NewClient(&goredis.Options{Addr: n.Addr})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := open(from), open(to)
	slot := a.ClusterKeySlot(ctx, key).Val()
	aID, bID := a.Do(ctx, "CLUSTER", "MYID").Val(), b.Do(ctx, "CLUSTER", "MYID").Val()
	require.NoError(t, b.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", aID).Err())
	require.NoError(t, a.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", bID).Err())
	host, port, err := net.SplitHostPort(to.Addr)
	require.NoError(t, err)
	for _, k := range a.ClusterGetKeysInSlot(ctx, int(slot), 100).Val() {
		require.NoError(t, a.Migrate(ctx, host, port, k, 0, 5*time.Second).Err())
	}
	for _, n := range []*goredis.Client{b, a} {
		require.NoError(t, n.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", bID).Err())
	}
	cluster.ReloadState(ctx)
}

// forgetful is a connection that reads an answer about a queue and throws it away, so many times.
type forgetful struct {
	net.Conn
	cuts   *atomic.Int32
	queues bool // what was sent last is about a queue
}

func (c *forgetful) Write(p []byte) (int, error) {
	c.queues = bytes.Contains(p, []byte("{fn:"))
	return c.Conn.Write(p)
}

func (c *forgetful) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.queues && c.cuts.Add(-1) >= 0 {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}
