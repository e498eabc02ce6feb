package live

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// newLive returns a Live of functions on a Redis of its own, which samples when it is told to.
func newLive(t testing.TB, names ...string) (*Live, *redis.Client) {
	t.Helper()
	client, err := redis.Open(t.Context(), chaintest.URL(chaintest.Redis(t)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	list := make([]hearth.Function, len(names))
	for i, name := range names {
		list[i], err = hearth.Parse(types.FunctionDeployment{Service: name, Image: name})
		require.NoError(t, err)
	}
	l := New(Config{
		Functions: func() []hearth.Function { return list },
		Load: func(hearth.Name) (router.Load, bool) {
			return router.Load{Known: 3, Available: 2, Busy: 1, InFlight: 4, Held: 1}, true
		},
		Queues:   queue.New(queue.Config{Redis: client}).List,
		Redis:    client,
		Instance: "one",
		Version:  "1.2.3",
		Log:      slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { require.NoError(t, l.Stop(context.WithoutCancel(t.Context()))) })
	return l, client
}

func (l *Live) read(t *testing.T) (s snapshot) {
	t.Helper()
	text, _ := l.Snapshot()
	require.NoError(t, json.Unmarshal(text, &s))
	return s
}

func TestSnapshotsHaveFunctionsAndQueues(t *testing.T) {
	t.Parallel()
	l, client := newLive(t, "oven")
	n := hearth.Name{Function: "oven", Namespace: hearth.DefaultNamespace}
	_, err := client.Subscribe(t.Context(), redis.CallsOf(n))
	require.NoError(t, err)
	leave, err := l.Watch(t.Context())
	require.NoError(t, err)
	defer leave()
	s := l.read(t)
	require.Equal(t, []Function{{
		Name: "oven", Namespace: n.Namespace, Available: 2, Starting: 1, Busy: 1, InFlight: 5,
		Topics: []string{}, Emits: []string{},
	}}, s.Functions)
	require.True(t, s.Redis.Available)
	require.Equal(t, "one", s.Instances[0].Name)
	require.Equal(t, "1.2.3", s.Instances[0].Version)

	_, changed := l.Snapshot()
	l.sample(t.Context())
	require.Equal(t, s.At, l.read(t).At, "nothing has changed, so there is no other snapshot")
	select {
	case <-changed:
		t.Fatal("a watcher was woken for nothing")
	default:
	}

	_, err = client.Enqueue(t.Context(), n, redis.Call{Entry: wire.Entry{Body: []byte("dough")}},
		hearth.DefaultQueueLimit)
	require.NoError(t, err)
	l.sample(t.Context())
	<-changed
	s = l.read(t)
	require.Equal(t, 1, s.Functions[0].Queued)
	require.Equal(t, "oven:calls", s.Queues[0].Name)
	require.EqualValues(t, 1, *s.Queues[0].AcceptedTotal)
	require.EqualValues(t, 0, *s.Queues[0].DoneTotal)
	require.Equal(t, 1, s.Ledger.Accepted)
	require.Equal(t, 1, s.Ledger.Waiting)
	require.Equal(t, 1, l.Queued(n))
}

func TestASnapshotSaysThatRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	l, client := newLive(t, "oven")
	leave, err := l.Watch(t.Context())
	require.NoError(t, err)
	defer leave()
	require.NoError(t, client.Close())
	l.sample(t.Context())
	s := l.read(t)
	require.False(t, s.Redis.Available)
	require.NotEmpty(t, s.Functions, "what this instance knows is still there")
}

func TestTheNumberOfWatchersIsBounded(t *testing.T) {
	t.Parallel()
	l, _ := newLive(t, "oven")
	for range maxWatchers {
		leave, err := l.Watch(t.Context())
		require.NoError(t, err)
		defer leave()
	}
	_, err := l.Watch(t.Context())
	require.Equal(t, hearth.Exhausted, hearth.CodeOf(err))
}

// BenchmarkIdleSample takes a sample of 500 functions while one page watches and nothing happens. There is
// one a second, so 10 ms are 1% of a core.
func BenchmarkIdleSample(b *testing.B) {
	names := make([]string, 500)
	for i := range names {
		names[i] = fmt.Sprintf("oven-%d", i)
	}
	l, client := newLive(b, names...)
	for _, name := range names {
		n := hearth.Name{Function: name, Namespace: hearth.DefaultNamespace}
		_, err := client.Subscribe(b.Context(), redis.CallsOf(n))
		require.NoError(b, err)
	}
	leave, err := l.Watch(b.Context())
	require.NoError(b, err)
	defer leave()
	b.ReportAllocs()
	for b.Loop() {
		l.sample(b.Context())
	}
}

func TestInstancesAnnounceThemselves(t *testing.T) {
	t.Parallel()
	l, client := newLive(t, "oven")
	require.NoError(t, l.Start(t.Context()))
	now := l.announced
	require.NoError(t, client.Announce(t.Context(), redis.Instance{Name: "two", Started: now, Seen: now}))
	list, err := client.Instances(t.Context(), now)
	require.NoError(t, err)
	require.Len(t, list, 2)
	list, err = client.Instances(t.Context(), now.Add(presentEvery*3))
	require.NoError(t, err)
	require.Empty(t, list, "they have not been seen for long")
	require.NoError(t, l.Stop(t.Context()))
	list, err = client.Instances(context.Background(), now)
	require.NoError(t, err)
	require.Equal(t, "two", list[0].Name)
	require.Len(t, list, 1)
}
