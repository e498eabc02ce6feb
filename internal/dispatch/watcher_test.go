package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// TestSlowGroupIsToldWhatCameWhileItLooked: an entry comes between its look and its being watched, and
// another group of the stream has been told of it already.
func TestSlowGroupIsToldWhatCameWhileItLooked(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	defer func() { _ = queue.Close() }()
	fired := make(chan wire.Subscription, 10)
	w := newWatcher(queue.NewWatch(""), func(subs []wire.Subscription) {
		for _, s := range subs {
			fired <- s
		}
	}, func(error) {}, func() {}, func() {})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.run(ctx) }()

	quick, slow := wire.Subscription{Stream: "{news}.today", Group: "quick"},
		wire.Subscription{Stream: "{news}.today", Group: "slow"}
	id, err := raw.XAdd(t.Context(),
		&goredis.XAddArgs{Stream: quick.Stream, Values: []string{"body", "x"}}).Result()
	require.NoError(t, err)
	w.add(quick, id)
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.waiting[quick.Stream] == id && !w.poking
	}, 10*time.Second, time.Millisecond, "it waits for what comes behind the entry")
	w.add(slow, "0-0")
	select {
	case s := <-fired:
		require.Equal(t, slow, s)
	case <-time.After(time.Minute):
		t.Fatal("slow is not told")
	}
	stop()
	w.end()
	<-ended
}

// TestRedisIsBackWithoutAnythingNew: the watcher says so when it can connect again, not when the next entry
// comes.
func TestRedisIsBackWithoutAnythingNew(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	queue, err := redis.Open(t.Context(), chaintest.URL(full.Client))
	require.NoError(t, err)
	defer func() { _ = queue.Close() }()
	back := make(chan struct{}, 1)
	w := newWatcher(
		queue.NewWatch(""),
		func([]wire.Subscription) {},
		func(error) {},
		func() { back <- struct{}{} },
		func() {},
	)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.run(ctx) }()
	require.Eventually(t, func() bool {
		return strings.Contains(full.ClientList(t.Context()).Val(), "cmd=xread ")
	}, time.Minute, time.Millisecond)
	require.NoError(t, full.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
	select {
	case <-back:
	case <-time.After(time.Minute):
		t.Fatal("it waits for an entry")
	}
	stop()
	w.end()
	<-ended
}

// TestNoWatcherHasTooManyStreams: what is more than one can have is watched by others, and is told all the
// same.
func TestNoWatcherHasTooManyStreams(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	defer func() { _ = queue.Close() }()
	d, err := New(Config{Queue: queue, Log: slog.New(slog.DiscardHandler), Instance: "me"}, nowhere{})
	require.NoError(t, err)
	require.NoError(t, d.Start(t.Context()))
	ws := d.watch
	many := make([]wire.Subscription, maxStreams+50)
	for i := range many {
		many[i] = wire.Subscription{Stream: fmt.Sprintf("{many}.%d", i), Group: "g"}
		ws.add(many[i], "0-0")
		ws.add(wire.Subscription{Stream: many[i].Stream, Group: "h"}, "0-0")
	}
	require.Len(t, ws.byKey, 3, "700 queues")
	for _, w := range ws.byKey {
		require.LessOrEqual(t, w.len(), maxStreams+1)
	}
	for _, i := range []int{0, maxStreams / 2, len(many) - 1} {
		id, err := raw.XAdd(t.Context(),
			&goredis.XAddArgs{Stream: many[i].Stream, Values: []string{"body", "x"}}).Result()
		require.NoError(t, err)
		w := ws.byKey[ws.keyOf[many[i].Stream]]
		require.Eventually(t, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.watched[many[i]] == id
		}, 10*time.Second, time.Millisecond)
	}
	for _, s := range many {
		ws.remove(s)
		require.Contains(t, ws.keyOf, s.Stream, "the other group's")
		ws.remove(wire.Subscription{Stream: s.Stream, Group: "h"})
	}
	require.Empty(t, ws.keyOf)
	ws.add(many[7], "0-0")
	require.Equal(t, 1, ws.byKey[""].len())
	require.NoError(t, d.Stop(t.Context()))
}

// nowhere is a Target without room.
type nowhere struct{}

func (nowhere) RoundTrip(hearth.Name, *http.Request) (*http.Response, error) { return nil, nil }
func (nowhere) Room(hearth.Name) int                                         { return 0 }
