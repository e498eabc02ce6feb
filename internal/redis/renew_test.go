package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// ends is when the lease of a delivery ends.
func (q queue) ends(d redis.Delivery) float64 {
	q.t.Helper()
	return q.raw.ZScore(q.t.Context(), q.sub.Keys()[1], d.ID).Val()
}

// retake lets all leases run out, and has another instance take one entry.
func (q queue) retake(by redis.Holder) redis.Delivery {
	q.t.Helper()
	q.expire()
	b, err := q.Take(q.t.Context(), q.sub, 1, by)
	require.NoError(q.t, err)
	require.Len(q.t, b.Deliveries, 1)
	return b.Deliveries[0]
}

var other = redis.Holder{Instance: "me-too", Lease: time.Minute}

func TestRenewedLeaseIsNotTaken(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		d := q.one()
		before := q.ends(d)
		require.Equal(t, []redis.Renewal{redis.Renewed}, q.renew(d))
		require.Greater(t, q.ends(d), before)
		b, err := q.Take(t.Context(), q.sub, 1, other)
		require.NoError(t, err)
		require.Empty(t, b.Deliveries)
	})
}

func TestRenewAfterExpiryKeepsTheDelivery(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		d := q.one()
		q.expire()
		require.Equal(t, []redis.Renewal{redis.Renewed}, q.renew(d), "nobody has taken it")
		b, err := q.Take(t.Context(), q.sub, 1, other)
		require.NoError(t, err)
		require.Empty(t, b.Deliveries)
		held, err := q.Retry(t.Context(), q.sub, d, 0, redis.Failure{Reason: "no"})
		require.NoError(t, err)
		require.True(t, held)
	})
}

func TestRenewAfterTakeoverIsRefused(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		old := q.one()
		d := q.retake(other)
		before := q.ends(d)
		require.Equal(t, []redis.Renewal{redis.Lost}, q.renew(old))
		require.InDelta(t, before, q.ends(d), 0)
		require.Equal(t, []redis.Renewal{redis.Lost, redis.Renewed}, q.renew(old, d))
		require.Greater(t, q.ends(d), before)

		held, err := q.Retry(t.Context(), q.sub, old, 0, redis.Failure{Reason: "no"})
		require.NoError(t, err)
		require.False(t, held, "whoever lost the lease cannot give it back")
		held, err = q.Bury(t.Context(), q.sub, old, redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		require.False(t, held, "nor bury it")
		done, err := q.Settle(t.Context(), q.sub, old, nil)
		require.NoError(t, err)
		require.True(t, done, "a late success is a success")
		require.Equal(t, []redis.Renewal{redis.Gone}, q.renew(d))
		q.empty()
	})
}

func TestRenewOfWhatIsNotHeld(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for _, body := range []string{"settled", "retried", "dead", "reclaimed"} {
			q.enqueue(body)
		}
		all := q.take(4).Deliveries
		_, err := q.Settle(t.Context(), q.sub, all[0], nil)
		require.NoError(t, err)
		_, err = q.Retry(t.Context(), q.sub, all[1], time.Hour, redis.Failure{})
		require.NoError(t, err)
		_, err = q.Bury(t.Context(), q.sub, all[2], redis.Failure{}, nil)
		require.NoError(t, err)
		require.Equal(t, []redis.Renewal{redis.Gone, redis.Lost, redis.Lost, redis.Renewed}, q.renew(all...))
		require.Equal(t, redis.Depth{Leased: 1, Due: 1, Dead: 1}, q.depth())
	})
}

// TestKillBetweenRenewals: an instance that dies right after a renewal, or right before one, holds its
// deliveries until the lease runs out; started again it takes them at once.
func TestKillBetweenRenewals(t *testing.T) {
	for name, renews := range map[string]bool{"after one": true, "before one": false} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, q queue) {
				q.enqueue("x")
				d := q.one()
				if renews {
					q.renew(d)
				}
				b, err := q.Take(t.Context(), q.sub, 1, other)
				require.NoError(t, err)
				require.Empty(t, b.Deliveries)
				require.Positive(t, b.Next, "and knows when to look again")

				n, err := q.Reclaim(t.Context(), q.sub, "me")
				require.NoError(t, err)
				require.Equal(t, 1, n)
				again := q.one()
				require.Equal(t, []redis.Renewal{redis.Lost}, q.renew(d), "its former life")
				require.Equal(t, []redis.Renewal{redis.Renewed}, q.renew(again))
			})
		})
	}
}

// TestPatienceLeavesLapsedLeases: after an outage of Redis, holders may renew what ran out meanwhile.
func TestPatienceLeavesLapsedLeases(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		d := q.one()
		q.raw.ZAddXX(t.Context(), q.sub.Keys()[1], goredis.Z{Score: 1, Member: d.ID})
		patient := other
		patient.Patience = time.Second
		b, err := q.Take(t.Context(), q.sub, 1, patient)
		require.NoError(t, err)
		require.Empty(t, b.Deliveries)
		require.Equal(t, time.Second, b.Next)
		require.Equal(t, []redis.Renewal{redis.Renewed}, q.renew(d))

		_, err = q.Reclaim(t.Context(), q.sub, "me")
		require.NoError(t, err)
		b, err = q.Take(t.Context(), q.sub, 1, patient)
		require.NoError(t, err)
		require.Len(t, b.Deliveries, 1, "a lease that was ended is nobody's")
	})
}

// TestManyLeasesAreRenewedAtOnce: more than one script takes, of several subscriptions, also on a Redis that
// has forgotten the script.
func TestManyLeasesAreRenewedAtOnce(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		var all []redis.Leases
		for i, n := range []int{600, 1, 3} {
			name := hearth.Name{Function: fmt.Sprint("f", i), Namespace: "openfaas-fn"}
			sub := redis.CallsOf(name)
			_, err := q.Subscribe(t.Context(), sub)
			require.NoError(t, err)
			for range n {
				q.raw.XAdd(t.Context(), &goredis.XAddArgs{Stream: sub.Stream, Values: []string{"body", "b"}})
			}
			b, err := q.Take(t.Context(), sub, n, other)
			require.NoError(t, err)
			all = append(all, redis.Leases{Of: sub, Length: time.Hour, Deliveries: b.Deliveries})
		}
		all[2].Deliveries[1].Token = "me-too:0123456789abcdef0123456789abcdef01234567"
		got, err := q.Renew(t.Context(), all)
		require.NoError(t, err)
		require.Len(t, got[0], 600)
		require.NotContains(t, got[0], redis.Lost)
		require.Equal(t, []redis.Renewal{redis.Renewed}, got[1])
		require.Equal(t, []redis.Renewal{redis.Renewed, redis.Lost, redis.Renewed}, got[2])
	})
}

func BenchmarkRenew(b *testing.B) {
	raw := chaintest.Redis(b)
	c, err := redis.Open(b.Context(), chaintest.URL(raw))
	require.NoError(b, err)
	defer func() { _ = c.Close() }()
	var all []redis.Leases
	for i := range 20 {
		sub := redis.CallsOf(hearth.Name{Function: fmt.Sprint("f", i), Namespace: "openfaas-fn"})
		_, err := c.SubscribeAll(b.Context(), []wire.Subscription{sub})
		require.NoError(b, err)
		for range 50 {
			raw.XAdd(b.Context(), &goredis.XAddArgs{Stream: sub.Stream, Values: []string{"body", "b"}})
		}
		got, err := c.Take(b.Context(), sub, 50, other)
		require.NoError(b, err)
		all = append(all, redis.Leases{Of: sub, Length: time.Hour, Deliveries: got.Deliveries})
	}
	for b.Loop() {
		_, err := c.Renew(context.Background(), all)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/lease")
}
