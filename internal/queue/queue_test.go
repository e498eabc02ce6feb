package queue_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

var (
	oven  = hearth.Name{Function: "oven", Namespace: hearth.DefaultNamespace}
	night = hearth.Name{Function: "oven", Namespace: "night"}
)

// world is a Redis with queues.
type world struct {
	*redis.Client
	t *testing.T
}

// newWorld makes a Redis with the async calls of two functions, and a topic for one.
func newWorld(t *testing.T) world {
	t.Helper()
	rdb, err := redis.Open(t.Context(), chaintest.URL(chaintest.Redis(t)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	subs := []wire.Subscription{redis.CallsOf(oven), redis.CallsOf(night),
		redis.TopicOf(oven, "bakery.dough")}
	_, err = rdb.SubscribeAll(t.Context(), subs)
	require.NoError(t, err)
	return world{rdb, t}
}

func (w world) admin(change ...func(*queue.Config)) *queue.Admin {
	cfg := queue.Config{Redis: w.Client}
	for _, c := range change {
		c(&cfg)
	}
	return queue.New(cfg)
}

// enqueue queues async calls.
func (w world) enqueue(n hearth.Name, calls int) {
	w.t.Helper()
	for i := range calls {
		call := redis.Call{Entry: wire.Entry{Body: []byte(fmt.Sprint(i)), Callback: "http://u:hush@h/"}}
		_, err := w.Enqueue(w.t.Context(), n, call, hearth.DefaultQueueLimit)
		require.NoError(w.t, err)
	}
}

// bury makes dead letters of calls, each with the status of its attempt.
func (w world) bury(n hearth.Name, statuses ...int) {
	w.t.Helper()
	w.enqueue(n, len(statuses))
	batch, err := w.Take(w.t.Context(), redis.CallsOf(n), len(statuses),
		redis.Holder{Instance: "me", Lease: time.Minute})
	require.NoError(w.t, err)
	for i, status := range statuses {
		why := redis.Failure{Status: status, Reason: fmt.Sprint("No Flour: ", status)}
		held, err := w.Bury(w.t.Context(), redis.CallsOf(n), batch.Deliveries[i], why, nil)
		require.NoError(w.t, err)
		require.True(w.t, held)
	}
}

func names(list []queue.Queue) (names []string) {
	for _, q := range list {
		names = append(names, q.Name)
	}
	return names
}

func TestQueuesAreListedWithTheirStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(oven, 500)
	w.enqueue(oven, 3)
	_, err := w.Take(t.Context(), redis.CallsOf(oven), 1, redis.Holder{Instance: "me", Lease: time.Minute})
	require.NoError(t, err)
	failure := &dispatch.Failure{Reason: "no flour"}
	a := w.admin(func(c *queue.Config) {
		c.Deployed = func(n hearth.Name) bool { return n == oven }
		c.LastFailure = func(s wire.Subscription) *dispatch.Failure {
			if s == redis.CallsOf(oven) {
				return failure
			}
			return nil
		}
	})
	list, err := a.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"oven.night:calls", "oven:bakery.dough", "oven:calls"}, names(list))
	require.False(t, list[0].Deployed)
	calls := list[2]
	require.Equal(t, "oven.openfaas-fn", calls.Function)
	require.True(t, calls.Deployed)
	require.Equal(t, []int{2, 0, 1, 0, 1},
		[]int{calls.Queued, calls.Retrying, calls.InFlight, calls.Delayed, calls.Dead})
	require.Equal(t, failure, calls.LastError)
	n, ok := calls.CallsOf()
	require.True(t, ok)
	require.Equal(t, oven, n)
	_, ok = list[1].CallsOf()
	require.False(t, ok)
}

func TestFindSelectsByNameAndFunction(t *testing.T) {
	t.Parallel()
	a := newWorld(t).admin()
	for _, tt := range []struct {
		queue, function string
		want            []string
	}{
		{"", "", []string{"oven.night:calls", "oven:bakery.dough", "oven:calls"}},
		{"oven:calls", "", []string{"oven:calls"}},
		{"", "oven", []string{"oven:bakery.dough", "oven:calls"}},
		{"", "oven.night", []string{"oven.night:calls"}},
		{"oven:calls", "oven", []string{"oven:calls"}},
	} {
		list, err := a.Find(t.Context(), tt.queue, tt.function)
		require.NoError(t, err)
		require.Equal(t, tt.want, names(list))
	}
	for _, wrong := range [][2]string{{"oven:nothing", ""}, {"", "baker"}, {"oven:calls", "oven.night"}} {
		_, err := a.Find(t.Context(), wrong[0], wrong[1])
		require.Equal(t, hearth.NotFound, hearth.CodeOf(err), wrong)
	}
}

func TestQueuesArePausedAndResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var notified []wire.Subscription
	a := w.admin(func(c *queue.Config) {
		c.Notify = func(_ hearth.Name, s wire.Subscription) { notified = append(notified, s) }
	})
	list, err := a.Find(t.Context(), "oven:calls", "")
	require.NoError(t, err)
	require.False(t, list[0].Paused)
	q, err := a.Pause(t.Context(), list[0])
	require.NoError(t, err)
	require.True(t, q.Paused)
	list, err = a.List(t.Context())
	require.NoError(t, err)
	for _, other := range list {
		require.Equal(t, other.Name == q.Name, other.Paused, other.Name)
		require.Equal(t, other.Paused, other.PausedAt != nil)
	}
	q, err = a.Resume(t.Context(), list[2])
	require.NoError(t, err)
	require.False(t, q.Paused)
	require.Equal(t, []wire.Subscription{redis.CallsOf(oven), redis.CallsOf(oven)}, notified)
	changes, err := w.Changes(t.Context(), "0")
	require.NoError(t, err)
	require.Len(t, changes, 2, "the other instances are told")

	done, err := w.Unsubscribe(t.Context(), redis.CallsOf(oven), true)
	require.NoError(t, err)
	require.True(t, done)
	_, err = a.Pause(t.Context(), q)
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
}

func TestDeadLettersAreSelected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(oven, 500, 502, 502)
	w.bury(night, 500)
	a := w.admin()
	for name, tt := range map[string]struct {
		s     queue.Selection
		count int
	}{
		"all":           {queue.Selection{}, 4},
		"of a function": {queue.Selection{Function: "oven"}, 3},
		"of a queue":    {queue.Selection{Queue: "oven.night:calls"}, 1},
		"of a status":   {queue.Selection{Status: 502}, 2},
		"of a reason":   {queue.Selection{Reason: "flour: 500"}, 2},
		"of both":       {queue.Selection{Function: "oven", Status: 500}, 1},
		"before":        {queue.Selection{Before: time.Now().Add(-time.Hour)}, 0},
		"after":         {queue.Selection{After: time.Now().Add(-time.Hour)}, 4},
	} {
		count := 0
		require.NoError(t, a.EachDeadLetter(t.Context(), tt.s, func(queue.DeadLetter) error {
			count++
			return nil
		}))
		require.Equal(t, tt.count, count, name)
	}
	enough := errors.New("enough")
	require.ErrorIs(t, a.EachDeadLetter(t.Context(), queue.Selection{}, func(l queue.DeadLetter) error {
		require.Nil(t, l.Body)
		one, err := a.DeadLetter(t.Context(), l.Queue, l.ID)
		require.NoError(t, err)
		require.NotEmpty(t, one.WithCall().Body)
		require.NotContains(t, one.WithCall().Callback, "hush")
		return enough
	}), enough)
	_, err := a.DeadLetter(t.Context(), "oven:calls", "1-1")
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
}

func TestDeadLettersAreRedrivenAndPurged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(oven, 500, 502, 502)
	var notified []hearth.Name
	a := w.admin(func(c *queue.Config) {
		c.Notify = func(n hearth.Name, _ wire.Subscription) { notified = append(notified, n) }
	})
	for _, unclear := range []queue.Selection{
		{}, {All: true, IDs: []string{"1-1"}}, {IDs: []string{"1-1"}}, {Queue: "q",
			IDs: make([]string, queue.MaxIDs+1)},
	} {
		_, err := a.Purge(t.Context(), unclear)
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	}
	n, err := a.Redrive(t.Context(), queue.Selection{All: true, Function: "oven", Status: 500})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []hearth.Name{oven}, notified)
	var id string
	require.NoError(t, a.EachDeadLetter(t.Context(), queue.Selection{}, func(l queue.DeadLetter) error {
		id = l.ID
		return nil
	}))
	n, err = a.Purge(t.Context(), queue.Selection{Queue: "oven:calls", IDs: []string{id}})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	list, err := a.Find(t.Context(), "oven:calls", "")
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{list[0].Queued, list[0].Dead})

	cleared, err := a.Clear(t.Context(), list[0], true, false)
	require.NoError(t, err)
	require.Equal(t, 1, cleared.Queued)
}

func TestDeadLettersAreEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(oven, 500)
	var notified []hearth.Name
	most := hearth.QueueLimit{Length: 10, Bytes: 1000}
	a := w.admin(func(c *queue.Config) {
		c.Notify = func(n hearth.Name, _ wire.Subscription) { notified = append(notified, n) }
		c.Limit = func(hearth.Name) hearth.QueueLimit { return most }
	})
	var id string
	require.NoError(t, a.EachDeadLetter(t.Context(), queue.Selection{}, func(l queue.DeadLetter) error {
		id = l.ID
		return nil
	}))
	edit := func(queue, id, body string) (queue.Edited, hearth.Code) {
		done, err := a.Edit(t.Context(), queue, id, redis.Edit{Body: []byte(body)})
		return done, hearth.CodeOf(err)
	}
	_, code := edit("oven:calls", id, strings.Repeat("x", 2000))
	require.Equal(t, hearth.Exhausted, code)
	done, code := edit("oven:calls", id, "x")
	require.Empty(t, code)
	require.Equal(t, id, done.Was)
	require.Equal(t, []hearth.Name{oven}, notified)
	again, code := edit("oven:calls", id, "x")
	require.Empty(t, code)
	require.Equal(t, done, again)
	_, code = edit("oven:calls", id, "y")
	require.Equal(t, hearth.Conflict, code)
	for _, unknown := range [][2]string{{"oven:calls", "1-1"}, {"nobody:calls", id}, {"oven.night:calls", id}} {
		_, code = edit(unknown[0], unknown[1], "x")
		require.Equal(t, hearth.NotFound, code)
	}
	list, err := a.Find(t.Context(), "oven:calls", "")
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, []int{list[0].Queued, list[0].Dead})
}
