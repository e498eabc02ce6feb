package dispatch_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// short lets tests see leases run out.
const short = 300 * time.Millisecond

func withLease(d time.Duration) func(*dispatch.Config) {
	return func(c *dispatch.Config) { c.Lease = d }
}

// peer is another dispatcher on the same Redis, with the same function. It is stopped when the test ends.
func (r *rig) peer(instance string, queue *redis.Client) *functions {
	r.t.Helper()
	cfg, fns := r.cfg, &functions{answer: always(200), room: 8}
	cfg.Instance, cfg.Queue = instance, queue
	d := begin(r.t, cfg, fns)
	r.t.Cleanup(func() { stop(d) })
	d.Set(r.spec, []dispatch.Subscription{{Subscription: redis.CallsOf(oven)}})
	return fns
}

func stop(d *dispatch.Dispatcher) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = d.Stop(ctx)
}

// hold lets calls wait until they may go on.
func (r *rig) hold() (began chan string, goOn func()) {
	began = make(chan string, 8)
	free := make(chan struct{})
	r.fns.answer = func(_ hearth.Name, _ *http.Request, body string) (int, http.Header, string, error) {
		began <- body
		<-free
		return http.StatusOK, nil, "", nil
	}
	goOn = sync.OnceFunc(func() { close(free) })
	r.t.Cleanup(goOn)
	return began, goOn
}

// leaseEnd is when the lease of the only delivery ends. It is in the past if there is none.
func (r *rig) leaseEnd() time.Time {
	r.t.Helper()
	leases := r.raw.ZRangeWithScores(r.t.Context(), redis.CallsOf(oven).Keys()[1], 0, -1).Val()
	if len(leases) == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(leases[0].Score))
}

// awaitRenewals waits until the lease has been renewed for several times as long as it lasts.
func (r *rig) awaitRenewals() {
	r.t.Helper()
	first := r.leaseEnd()
	eventually(r.t, func() bool { return r.leaseEnd().Sub(first) > 4*short })
}

func TestHealthyHolderKeepsItsDelivery(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), withLease(short))
	began, goOn := r.hold()
	r.subscribe()
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("long")}})
	<-began
	other := r.peer("me-too", r.queue)
	r.awaitRenewals()
	require.Empty(t, other.seen(), "nobody else makes the call while its holder lives")
	goOn()
	r.settled(redis.CallsOf(oven))
}

func TestStopKeepsLeasesUntilCallsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), withLease(short))
	began, goOn := r.hold()
	r.subscribe()
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("long")}})
	<-began
	other := r.peer("me-too", r.queue)
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop(r.d) }()
	r.awaitRenewals()
	goOn()
	<-stopped
	require.Empty(t, other.seen(), "it was drained by the one that stopped")
	r.settled(redis.CallsOf(oven))
}

// TestTakeoverOfADeadInstance: its connections break for good, as those of a process that is killed.
func TestTakeoverOfADeadInstance(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	r := newRig(t, raw, withLease(short))
	began, _ := r.hold()
	r.subscribe()
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("x")}})
	<-began
	alive, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	defer func() { _ = alive.Close() }()
	other := r.peer("me-too", alive)
	require.NoError(t, r.queue.Close())
	died := time.Now()
	eventually(t, func() bool { return len(other.seen()) == 1 })
	require.Less(t, time.Since(died), 10*short)
	eventually(t, func() bool { return raw.XLen(t.Context(), redis.CallsOf(oven).Stream).Val() == 0 })
}

// TestLapsedLeaseIsNotRunTwiceByItsHolder: Redis did not answer for longer than a lease, and then the holder
// takes its own delivery: the call that runs goes on as that one.
func TestLapsedLeaseIsNotRunTwiceByItsHolder(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), withLease(time.Hour)) // never renewed in this test
	began, goOn := r.hold()
	r.subscribe()
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("x")}})
	<-began
	calls := redis.CallsOf(oven)
	id := r.raw.ZRange(t.Context(), calls.Keys()[1], 0, 0).Val()[0]
	r.raw.ZAddXX(t.Context(), calls.Keys()[1], goredis.Z{Score: 1, Member: id})
	record := func() string { return r.raw.HGet(t.Context(), calls.Keys()[4], id).Val() }
	before := record()
	r.d.Notify(oven, calls)
	eventually(t, func() bool { return record() != before })
	time.Sleep(20 * time.Millisecond)
	require.Len(t, r.fns.seen(), 1)
	goOn()
	r.settled(calls)
	require.Len(t, r.fns.seen(), 1)
}

// TestLostLeaseIsLogged: another instance has taken the delivery, and the holder learns so when it renews.
// Its call goes on, as its success still counts.
func TestLostLeaseIsLogged(t *testing.T) {
	t.Parallel()
	var said lines
	r := newRig(t, chaintest.Redis(t), withLease(short), func(c *dispatch.Config) {
		c.Log = slog.New(slog.NewTextHandler(&said, nil))
	})
	began, goOn := r.hold()
	r.subscribe()
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("x")}})
	<-began
	calls := redis.CallsOf(oven)
	id := r.raw.ZRange(t.Context(), calls.Keys()[1], 0, 0).Val()[0]
	record := r.raw.HGet(t.Context(), calls.Keys()[4], id).Val()
	const stolen = "2 1 me-too:0123456789abcdef0123456789abcdef01234567 "
	r.raw.HSet(t.Context(), calls.Keys()[4], id, stolen+record[len("1 0000000000000 "):])
	eventually(t, func() bool { return said.contain("lost leases") })
	goOn()
	r.settled(calls)
	require.Len(t, r.fns.seen(), 1)
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) contain(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text.Bytes(), []byte(text))
}
