package redis_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// dies queues a call, and gives it up. It returns the id.
func (q queue) dies(c redis.Call) string {
	q.t.Helper()
	_, err := q.Enqueue(q.t.Context(), fn, c, limit)
	require.NoError(q.t, err)
	d := q.one()
	held, err := q.Bury(q.t.Context(), q.sub, d, redis.Failure{Attempt: 1, Reason: "no flour", Status: 500}, nil)
	require.NoError(q.t, err)
	require.True(q.t, held)
	return d.ID
}

func (q queue) edit(id, body string) string {
	q.t.Helper()
	copied, err := q.Edit(q.t.Context(), q.sub, id, redis.Edit{Body: []byte(body)}, limit)
	require.NoError(q.t, err)
	return copied
}

func TestEditedDeadLetterIsQueuedWithAllButItsBody(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		was := wire.Entry{
			Body:        []byte("with a mistake"),
			ContentType: "text/plain",
			CallID:      "call",
			Traceparent: "00-1-2-01",
			Method:      "PUT",
			Path:        "/a",
			Query:       "x=1",
			Header:      http.Header{"X-Own": {"1", "2"}},
			Callback:    "http://example.com/",
			DeliverAt:   time.UnixMilli(1),
		}
		id := q.dies(redis.Call{Entry: was})
		copied, err := q.Edit(t.Context(), q.sub, id,
			redis.Edit{Body: []byte("right"), ContentType: "text/x"}, limit)
		require.NoError(t, err)
		require.NotEqual(t, id, copied)
		require.Equal(t, redis.Depth{Waiting: 1}, q.depth())

		d := q.one()
		require.Equal(t, copied, d.ID)
		require.Equal(t, 1, d.Attempt, "it has all its attempts")
		got, err := wire.ParseEntry(d.Fields)
		require.NoError(t, err)
		was.Body, was.ContentType, was.DeliverAt = []byte("right"), "text/x", time.Time{}
		require.Equal(t, was, got)

		held, err := q.Bury(t.Context(), q.sub, d, redis.Failure{Attempt: 1, Reason: "no butter"}, nil)
		require.NoError(t, err)
		require.True(t, held)
		letters := q.letters()
		require.Len(t, letters, 1)
		var reasons []string
		for _, f := range letters[0].Failures {
			reasons = append(reasons, f.Reason)
		}
		require.Equal(t, []string{"edited: it was the dead letter " + id, "no flour", "no butter"}, reasons)
		require.False(t, letters[0].Failures[0].At.IsZero())

		q.edit(copied, "at last")
		d = q.one()
		require.Equal(t, "at last", body(t, d))
		done, err := q.Settle(t.Context(), q.sub, d, nil)
		require.NoError(t, err)
		require.True(t, done)
		q.empty()
		require.Equal(t, [2]int{}, q.bytes())
	})
}

func TestEditIsMadeOnce(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		id := q.dies(redis.Call{Entry: wire.Entry{Body: []byte("1"), CallID: "c"}})
		copied := q.edit(id, "2")
		require.Equal(t, copied, q.edit(id, "2"))
		done, err := q.Settle(t.Context(), q.sub, q.one(), nil)
		require.NoError(t, err)
		require.True(t, done)
		require.Equal(t, copied, q.edit(id, "2"), "also when it has ended")
		ended, err := q.Ended(t.Context(), []wire.Subscription{q.sub}, []string{""}, 10)
		require.NoError(t, err)
		require.Len(t, ended[0], 1, "the dead letter is in the record of calls, once; a settled call needs a text")
		require.Equal(t, id, ended[0][0].ID)
		require.Contains(t, ended[0][0].Text, `"dead"`)
		other, err := q.Edit(t.Context(), q.sub, id, redis.Edit{Body: []byte("3")}, limit)
		require.ErrorIs(t, err, redis.ErrEditedBefore)
		require.Equal(t, copied, other)
		q.empty()
		for _, unknown := range []string{"1-1", "nonsense", "", copied} {
			_, err = q.Edit(t.Context(), q.sub, unknown, redis.Edit{}, limit)
			require.ErrorIs(t, err, redis.ErrNotDead, unknown)
		}
		n, err := q.Redrive(t.Context(), q.sub, []string{id})
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

func TestLateSuccessOfAnEditedCallCountsForNothing(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.enqueue("1")
		late := q.one()
		held, err := q.Bury(t.Context(), q.sub, late, redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		require.True(t, held)
		q.edit(late.ID, "2")
		done, err := q.Settle(t.Context(), q.sub, late, nil)
		require.NoError(t, err)
		require.False(t, done)
		require.Equal(t, "2", body(t, q.one()))

		q.enqueue("3")
		late = q.one()
		_, err = q.Bury(t.Context(), q.sub, late, redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		done, err = q.Settle(t.Context(), q.sub, late, nil)
		require.NoError(t, err)
		require.True(t, done)
		_, err = q.Edit(t.Context(), q.sub, late.ID, redis.Edit{Body: []byte("4")}, limit)
		require.ErrorIs(t, err, redis.ErrNotDead, "it succeeded before")
	})
}

func TestEditedCallKeepsItsIdempotencyKey(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		call := redis.Call{Entry: wire.Entry{Body: []byte("1"), CallID: "first"}, Key: "k"}
		copied := q.edit(q.dies(call), "2")
		ask := func() redis.QueuedCall {
			got, err := q.Enqueue(t.Context(), fn, call, limit)
			require.NoError(t, err)
			require.True(t, got.Before)
			require.Equal(t, "first", got.CallID)
			require.Equal(t, copied, got.ID)
			return got
		}
		require.Equal(t, redis.Queued, ask().State)
		d := q.one()
		require.Equal(t, redis.InFlight, ask().State)
		done, err := q.Settle(t.Context(), q.sub, d, nil)
		require.NoError(t, err)
		require.True(t, done)
		require.Equal(t, redis.Finished, ask().State)
		require.Equal(t, [2]int{}, q.bytes())
	})
}

func TestEditStaysWithinTheLimit(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		id := q.dies(redis.Call{Entry: wire.Entry{Body: make([]byte, 1000), CallID: "c"}})
		small := hearth.QueueLimit{Length: 1, Bytes: 2000}
		before := q.bytes()
		_, err := q.Edit(t.Context(), q.sub, id, redis.Edit{Body: make([]byte, 2000)}, small)
		require.Equal(t, hearth.Exhausted, hearth.CodeOf(err))
		require.Equal(t, before, q.bytes())
		require.Len(t, q.letters(), 1, "nothing was done")

		copied, err := q.Edit(t.Context(), q.sub, id, redis.Edit{Body: make([]byte, 1500)}, small)
		require.NoError(t, err, "the number of calls is the same")
		require.Greater(t, q.bytes()[0], before[0]+500)
		d := q.one()
		require.Equal(t, copied, d.ID)
		held, err := q.Bury(t.Context(), q.sub, d, redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		require.True(t, held)
		small.Bytes = 10
		copied, err = q.Edit(t.Context(), q.sub, copied, redis.Edit{Body: []byte("x")}, small)
		require.NoError(t, err, "a smaller one makes room")
		n, _, err := q.Cancel(t.Context(), fn, "c", copied)
		require.NoError(t, err)
		require.Len(t, n, 1)
		require.Equal(t, [2]int{}, q.bytes())
	})
}

func TestEditedCallbackIsCountedAndDelivered(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		q.sub = redis.CallbacksOf(fn)
		_, err := q.Subscribe(t.Context(), q.sub)
		require.NoError(t, err)
		calls := q
		calls.sub = redis.CallsOf(fn)
		calls.enqueue("1")
		calls.answered(100)
		q.buryCallback()
		q.edit(q.letters()[0].ID, strings.Repeat("x", 300))
		require.Greater(t, calls.bytes()[1], 300)
		done, err := q.Settle(t.Context(), q.sub, q.one(), nil)
		require.NoError(t, err)
		require.True(t, done)
		require.Equal(t, [2]int{}, calls.bytes())
	})
}

func TestEditedMessageOfATopicIsForItsSubscriptionAlone(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		oven, baker := q, q
		oven.sub = redis.TopicOf(fn, "bakery.dough")
		baker.sub = redis.TopicOf(hearth.Name{Function: "baker", Namespace: "openfaas-fn"}, "bakery.dough")
		for _, s := range []queue{oven, baker} {
			_, err := q.Subscribe(t.Context(), s.sub)
			require.NoError(t, err)
		}
		put := func(body string) {
			require.NoError(t, q.raw.XAdd(t.Context(),
				&goredis.XAddArgs{Stream: oven.sub.Stream, Values: []string{"body", body}}).Err())
		}
		put("1")
		d := oven.one()
		held, err := q.Bury(t.Context(), oven.sub, d, redis.Failure{Reason: "no"}, nil)
		require.NoError(t, err)
		require.True(t, held)
		put("2")
		copied := oven.edit(d.ID, "edited")
		put("3")

		bodies := func(b redis.Batch) (list []string) {
			for _, d := range b.Deliveries {
				list = append(list, body(t, d))
			}
			return list
		}
		first := baker.take(2)
		require.Equal(t, []string{"1", "2"}, bodies(first), "the original is still for the other")
		rest := baker.take(5)
		require.Equal(t, []string{"3"}, bodies(rest))
		require.True(t, rest.Drained)
		mine := oven.take(5)
		require.Equal(t, []string{"2", "edited", "3"}, bodies(mine))
		for s, all := range map[*queue][]redis.Delivery{
			&baker: append(first.Deliveries, rest.Deliveries...), &oven: mine.Deliveries,
		} {
			for _, d := range all {
				done, err := q.Settle(t.Context(), s.sub, d, nil)
				require.NoError(t, err)
				require.True(t, done)
			}
		}
		baker.empty()
		oven.empty()
		require.NotEqual(t, d.ID, copied)
	})
}

func TestDeadLetterWithoutItsEntryCannotBeEdited(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		id := q.dies(redis.Call{Entry: wire.Entry{Body: []byte("1"), CallID: "c"}})
		require.NoError(t, q.raw.XDel(t.Context(), q.sub.Stream, id).Err())
		_, err := q.Edit(t.Context(), q.sub, id, redis.Edit{Body: []byte("2")}, limit)
		require.ErrorIs(t, err, redis.ErrEntryGone)
		require.Len(t, q.letters(), 1)
	})
}

func TestEditsAreRememberedWithinBounds(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		edits := q.sub.Stream + ":" + q.sub.Group + ":edits"
		for i := range 1000 {
			q.raw.HSet(t.Context(), edits, fmt.Sprintf("%d-9", i), "1-1 digest")
		}
		q.edit(q.dies(redis.Call{Entry: wire.Entry{Body: []byte("1"), CallID: "c"}}), "2")
		require.EqualValues(t, 1, q.raw.HLen(t.Context(), edits).Val())
		require.Positive(t, q.raw.PTTL(t.Context(), edits).Val())
	})
}
