package redis_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestLostGroupIsSaidAndNotMadeAnewByTaking(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.raw.XGroupDestroy(t.Context(), q.sub.Stream, q.sub.Group)
		_, err := q.Take(t.Context(), q.sub, 1, redis.Holder{Instance: "me", Lease: time.Minute})
		require.ErrorIs(t, err, redis.ErrNoGroup)
		lost, err := q.Subscribe(t.Context(), q.sub)
		require.NoError(t, err)
		require.True(t, lost)
		q.raw.Del(t.Context(), q.sub.Stream)
		_, err = q.Take(t.Context(), q.sub, 1, redis.Holder{Instance: "me", Lease: time.Minute})
		require.ErrorIs(t, err, redis.ErrNoGroup)
		all, err := q.SubscribeAll(t.Context(), []wire.Subscription{q.sub, redis.TopicOf(fn, "a.b")})
		require.NoError(t, err)
		require.Equal(t, []wire.Subscription{q.sub}, all)
	})
}

func TestUnsubscribeKeepsWhatWaits(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("x")
		done, err := q.Unsubscribe(t.Context(), q.sub, false)
		require.NoError(t, err)
		require.False(t, done)
		require.Equal(t, 1, q.depth().Waiting)
		d := q.one()
		_, err = q.Settle(t.Context(), q.sub, d, nil)
		require.NoError(t, err)
		done, err = q.Unsubscribe(t.Context(), q.sub, false)
		require.NoError(t, err)
		require.True(t, done)
		require.Zero(t, q.raw.Exists(t.Context(), q.sub.Keys()...).Val())
		subs, err := q.Subscriptions(t.Context())
		require.NoError(t, err)
		require.Empty(t, subs)

		_, err = q.Subscribe(t.Context(), q.sub)
		require.NoError(t, err)
		q.enqueue("x")
		q.one()
		done, err = q.Unsubscribe(t.Context(), q.sub, true)
		require.NoError(t, err)
		require.True(t, done, "unless it is forced")
	})
}

func TestWatchWakesForNewEntries(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		w := q.NewWatch(q.WatchKey(q.sub.Stream))
		defer w.Close()
		topic := redis.CallbacksOf(fn)
		_, err := q.Subscribe(t.Context(), topic)
		require.NoError(t, err)
		positions := map[string]string{q.sub.Stream: "0-0", topic.Stream: "0-0"}
		fired := make(chan map[string]string, 1)
		go func() {
			for {
				got, err := w.Wait(t.Context(), positions)
				if err != nil || len(got) > 0 {
					fired <- got
					return
				}
			}
		}()
		id := q.raw.XAdd(t.Context(), &goredis.XAddArgs{Stream: topic.Stream,
			Values: []string{"body", "x"}}).Val()
		require.Equal(t, map[string]string{topic.Stream: id}, <-fired)
	})
}

func TestWatchIsInterrupted(t *testing.T) {
	t.Parallel()
	q := open(t, chaintest.Redis(t))
	w := q.NewWatch(q.WatchKey(q.sub.Stream))
	defer w.Close()
	done := make(chan error, 1)
	go func() { _, err := w.Wait(t.Context(), map[string]string{q.sub.Stream: "0-0"}); done <- err }()
	require.Eventually(t, func() bool {
		w.Interrupt(t.Context())
		select {
		case err := <-done:
			require.NoError(t, err)
			return true
		default:
			return false
		}
	}, 5*time.Second, time.Millisecond)
}

func TestFunctionSpecs(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		f := hearth.Function{Replicas: 2, CreatedAt: time.Now().UTC().Truncate(time.Millisecond),
			DeployedAt: time.Now().UTC(), Revision: "r"}
		f.Service, f.Namespace, f.Image, f.EnvVars = "oven", "openfaas-fn", "x/oven",
			map[string]string{"A": "b"}
		f = hearthtest.Parse(f)
		kept := func() (hearth.Function, bool) {
			all, err := q.Look(t.Context())
			require.NoError(t, err)
			require.Equal(t, []wire.Subscription{q.sub}, all.Subscriptions)
			one, err := q.LookAt(t.Context(), f.Name())
			require.NoError(t, err)
			require.Equal(t, all.Functions, one.Functions)
			require.Equal(t, all.Last, one.Last)
			kept, ok := one.Functions[f.Name()]
			return kept, ok
		}
		require.NoError(t, q.SaveFunction(t.Context(), f, "me"))
		got, ok := kept()
		require.True(t, ok)
		require.Equal(t, f, got)

		f.Replicas = 3
		require.NoError(t, q.SaveReplicas(t.Context(), f))
		got, _ = kept()
		require.Equal(t, 3, got.Replicas)
		other := f
		other.DeployedAt, other.Replicas = f.DeployedAt.Add(time.Second), 9
		require.NoError(t, q.SaveReplicas(t.Context(), other))
		got, _ = kept()
		require.Equal(t, f, got, "another spec is kept by now")

		require.NoError(t, q.DeleteFunction(t.Context(), f.Name(), nil, "you"))
		_, ok = kept()
		require.False(t, ok)
		require.NoError(t, q.SaveReplicas(t.Context(), f))
		_, ok = kept()
		require.False(t, ok, "it is gone, and stays so")
	})
}

func TestChangesAreTold(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		begun, err := q.Tell(t.Context(), hearth.Name{}, "me")
		require.NoError(t, err)
		w := q.WatchChanges()
		defer w.Close()
		var f hearth.Function
		f.Service, f.Namespace, f.Image = fn.Function, fn.Namespace, "x/oven"
		told := make(chan []redis.Change, 1)
		go func() {
			for {
				if changes, err := w.AwaitChanges(t.Context(), begun); err != nil || len(changes) > 0 {
					told <- changes
					return
				}
			}
		}()
		require.NoError(t, q.SaveFunction(t.Context(), f, "you"))
		first := <-told
		require.Len(t, first, 1)
		require.Equal(t, redis.Change{ID: first[0].ID, Function: fn, By: "you"}, first[0])
		require.NoError(t, q.DeleteFunction(t.Context(), fn, nil, "me"))
		id, err := q.Tell(t.Context(), hearth.Name{}, "them")
		require.NoError(t, err)
		more, err := q.Changes(t.Context(), first[0].ID)
		require.NoError(t, err)
		require.Equal(t, []redis.Change{{ID: more[0].ID, Function: fn, By: "me"}, {ID: id, By: "them"}}, more)
	})
}

func TestFullRedisDrainsAndAcceptsNothing(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	q := open(t, full.Client)
	for i := range 4 {
		q.enqueue(fmt.Sprint(i))
	}
	full.Fill(t)
	_, err := q.Enqueue(t.Context(), fn, redis.Call{Entry: wire.Entry{Body: []byte("x")}}, limit)
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "full")
	lost, err := q.Subscribe(t.Context(), q.sub) // as an instance does that starts, and that must empty it
	require.NoError(t, err)
	require.False(t, lost)
	for i, d := range q.take(4).Deliveries {
		switch i {
		case 0:
			_, err = q.Settle(t.Context(), q.sub, d, nil)
		case 1:
			_, err = q.Retry(t.Context(), q.sub, d, 0, redis.Failure{Reason: "r"})
		case 2:
			_, err = q.Bury(t.Context(), q.sub, d, redis.Failure{Reason: "r"}, nil)
		default:
			_, err = q.Busy(t.Context(), q.sub, d, time.Hour)
		}
		require.NoError(t, err)
	}
	_, err = q.Settle(t.Context(), q.sub, q.one(), nil)
	require.NoError(t, err)
	require.Equal(t, redis.Depth{Due: 1, Dead: 1}, q.depth())
}

func TestOpenRefusesARedisThatWouldLoseCalls(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	url := "unix://" + full.Options().Addr
	require.NoError(t, full.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	_, err := redis.Open(t.Context(), url)
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.ErrorContains(t, err, "noeviction")
	_, err = redis.Open(t.Context(), "unix:///nowhere")
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))
	_, err = redis.Open(t.Context(), "http://user:secret@x")
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.NotContains(t, err.Error(), "secret")
	require.False(t, errors.Is(err, redis.ErrNoGroup))
}
