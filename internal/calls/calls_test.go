package calls_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	redis.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

var oven = hearth.Name{Function: "oven", Namespace: hearth.DefaultNamespace}

var limit = redis.RecordLimit{Calls: calls.DefaultCalls, Bytes: calls.DefaultBytes, Age: calls.DefaultAge}

// world is a Redis with queues of the function oven, and an index of their calls.
type world struct {
	*redis.Client
	raw   goredis.UniversalClient
	index *calls.Index
	ring  *calls.Ring
	t     *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	raw := chaintest.Redis(t)
	c, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.SubscribeAll(t.Context(), []wire.Subscription{redis.CallsOf(oven), dough})
	require.NoError(t, err)
	w := &world{Client: c, raw: raw, ring: &calls.Ring{Instance: "one"}, t: t}
	w.index = calls.NewIndex(calls.Config{
		Redis: c,
		Sync:  w.ring,
		Limit: limit,
		Why:   func(hearth.Name) string { return "No replica is ready yet." },
	})
	return w
}

var dough = redis.TopicOf(oven, "bakery.dough")

// queued queues a call, and returns its entry's id.
func (w *world) queued(callID string, change ...func(*redis.Call)) string {
	w.t.Helper()
	call := redis.Call{Entry: wire.Entry{Body: []byte("dough"), CallID: callID}}
	for _, c := range change {
		c(&call)
	}
	q, err := w.Enqueue(w.t.Context(), oven, call, hearth.DefaultQueueLimit)
	require.NoError(w.t, err)
	return q.ID
}

func (w *world) take(s wire.Subscription) redis.Delivery {
	w.t.Helper()
	b, err := w.Take(w.t.Context(), s, 1, redis.Holder{Instance: "one", Lease: time.Minute})
	require.NoError(w.t, err)
	require.Len(w.t, b.Deliveries, 1)
	return b.Deliveries[0]
}

// settled queues a call and settles it, with what the record keeps.
func (w *world) settled(callID string, e calls.Entry) {
	w.t.Helper()
	w.queued(callID)
	d := w.take(redis.CallsOf(oven))
	e.CallID = callID
	d.Record = e.Text()
	done, err := w.Settle(w.t.Context(), redis.CallsOf(oven), d, nil)
	require.NoError(w.t, err)
	require.True(w.t, done)
}

func (w *world) get(id string) calls.Story {
	w.t.Helper()
	s, err := w.fresh().Get(w.t.Context(), id)
	require.NoError(w.t, err)
	return s
}

// fresh returns an index that has read nothing yet.
func (w *world) fresh() *calls.Index {
	return calls.NewIndex(calls.Config{
		Redis: w.Client,
		Sync:  w.ring,
		Limit: limit,
		Why:   func(hearth.Name) string { return "No replica is ready yet." },
	})
}

func (w *world) search(q calls.Query) calls.Page {
	w.t.Helper()
	page, err := w.fresh().Search(w.t.Context(), q)
	require.NoError(w.t, err)
	return page
}

func (w *world) fail(d redis.Delivery, bury bool) {
	w.t.Helper()
	why := redis.Failure{
		At:      time.Now().UTC(),
		Attempt: d.Attempt,
		Reason:  "answered 503",
		Status:  503,
		Body:    "no gas",
		Replica: "oven-1",
	}
	var held bool
	var err error
	if bury {
		held, err = w.Bury(w.t.Context(), redis.CallsOf(oven), d, why, nil)
	} else {
		held, err = w.Retry(w.t.Context(), redis.CallsOf(oven), d, time.Hour, why)
	}
	require.NoError(w.t, err)
	require.True(w.t, held)
}

func TestACallIsKnownInEachOfItsStates(t *testing.T) {
	t.Parallel()
	for state, c := range map[calls.State]struct {
		reach func(w *world)
		why   string
	}{
		calls.Queued: {func(w *world) { w.queued("c") }, "No replica is ready yet."},
		calls.Delayed: {func(w *world) {
			w.queued("c", func(c *redis.Call) { c.DeliverAt = time.Now().Add(time.Hour) })
			b, err := w.Take(w.t.Context(), redis.CallsOf(oven), 1,
				redis.Holder{Instance: "one", Lease: time.Minute})
			require.NoError(w.t, err)
			require.Empty(w.t, b.Deliveries)
		}, "It is delivered at "},
		calls.InFlight: {func(w *world) { w.queued("c"); w.take(redis.CallsOf(oven)) }, ""},
		calls.Retrying: {func(w *world) {
			w.queued("c")
			w.fail(w.take(redis.CallsOf(oven)), false)
		}, "Attempt 2 comes in "},
		calls.Dead: {func(w *world) { w.queued("c"); w.fail(w.take(redis.CallsOf(oven)), true) }, ""},
		calls.Succeeded: {func(w *world) {
			w.settled("c", calls.Entry{Attempt: 1, Status: 200, Replica: "oven-2", Took: 12.5, Cold: 2})
		}, ""},
		calls.Cancelled: {func(w *world) {
			w.queued("c")
			ids, _, err := w.Cancel(w.t.Context(), oven, "c", "")
			require.NoError(w.t, err)
			require.Len(w.t, ids, 1)
		}, ""},
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.reach(w)
			s := w.get("c")
			require.Equal(t, state, s.State)
			require.Equal(t, "oven:calls", s.Queue)
			require.Equal(t, calls.Async, s.Kind)
			require.NotNil(t, s.QueuedAt)
			if c.why == "" {
				require.Empty(t, s.Why)
			} else {
				require.Contains(t, s.Why, c.why)
			}
			require.Equal(t, s.Call.ID, w.get(s.Call.ID).Call.ID, "its own id finds it, too")
			require.Len(t, w.search(calls.Query{States: []calls.State{state}}).Calls, 1)
			for _, other := range calls.States {
				if other != state {
					require.Empty(t, w.search(calls.Query{States: []calls.State{other}}).Calls, other)
				}
			}
		})
	}
}

func TestACallOfAPausedQueueSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queued("c")
	_, err := w.Pause(t.Context(), redis.CallsOf(oven))
	require.NoError(t, err)
	require.Equal(t, "The queue is paused.", w.get("c").Why)
}

func TestACallTellsItsAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queued("c")
	w.fail(w.take(redis.CallsOf(oven)), false)
	for _, id := range w.raw.ZRange(t.Context(), redis.CallsOf(oven).Keys()[2], 0, -1).Val() {
		w.raw.ZAdd(t.Context(), redis.CallsOf(oven).Keys()[2], goredis.Z{Member: id})
	}
	d := w.take(redis.CallsOf(oven))
	require.Equal(t, 2, d.Attempt)
	d.Record = calls.Entry{CallID: "c", Attempt: 2, Status: 200, Replica: "oven-2"}.Text()
	_, err := w.Settle(t.Context(), redis.CallsOf(oven), d, nil)
	require.NoError(t, err)
	s := w.get("c")
	require.Len(t, s.Attempts, 2)
	require.Equal(t, 503, s.Attempts[0].Status)
	require.Equal(t, "no gas", s.Attempts[0].Body)
	require.Equal(t, "oven-1", s.Attempts[0].Replica)
	require.Equal(t, 2, s.Attempts[1].Attempt)
	require.Equal(t, 200, s.Attempts[1].Status)
	require.Equal(t, "oven-2", s.Attempts[1].Replica)
}

func TestAPurgedDeadLetterStaysInTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.queued("c")
	w.fail(w.take(redis.CallsOf(oven)), true)
	n, err := w.Purge(t.Context(), redis.CallsOf(oven), []string{id})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	s := w.get("c")
	require.Equal(t, calls.Dead, s.State)
	require.Equal(t, "answered 503", s.Reason)
	require.Len(t, s.Attempts, 1)
}

// The commit of a function settles the message and records it in one step. What the dispatcher knows comes
// later, or never if the dispatcher dies in between.
func TestACommitRecordsItsMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	const own = "00-0123456789abcdef0123456789abcdef-fedcba9876543210-01"
	id, err := w.raw.XAdd(t.Context(), &goredis.XAddArgs{
		Stream: dough.Stream,
		Values: []string{"body", "{}", "call-id", "c", "traceparent", parent},
	}).Result()
	require.NoError(t, err)
	d := w.take(dough)
	entry := calls.Entry{CallID: "c", Trace: own, Parent: parent, Attempt: 1, Taken: d.Since.UnixMilli()}
	_, done, err := chain.Commit{}.Settle(t.Context(), w.raw, wire.Delivery{
		Topic:  "bakery.dough",
		Group:  dough.Group,
		ID:     id,
		Token:  d.Token,
		Record: entry.Text(),
	}, []byte("{}"))
	require.NoError(t, err)
	require.False(t, done)
	s := w.get("c")
	require.Equal(t, calls.Succeeded, s.State)
	require.Equal(t, "bakery.dough", s.Topic)
	require.Equal(t, "0123456789abcdef0123456789abcdef", s.TraceID)
	require.Empty(t, s.Replica)
	require.False(t, s.Measured(), "its dispatcher has not told how long it took")
	before, err := w.fresh().Trace(t.Context(), s.TraceID)
	require.NoError(t, err)
	require.Nil(t, before.Hops[0].Phases.Run)

	entry.Status, entry.Replica, entry.Took, entry.Commit = 200, "oven-7", 20, 5
	details, err := calls.NewDetails(w.Client, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, details.Start(t.Context()))
	details.Add(dough, id, entry)
	require.NoError(t, details.Stop(t.Context()))
	s = w.get("c")
	require.Equal(t, "oven-7", s.Replica)
	require.True(t, s.Measured())
	require.EqualValues(t, 1, w.raw.XLen(t.Context(), dough.Record()).Val(),
		"the record has one entry for each message: the ledger counts them")
	require.Empty(t, s.Caused, "it is one call")

	j, err := w.fresh().Trace(t.Context(), s.TraceID)
	require.NoError(t, err)
	require.Len(t, j.Hops, 1)
	require.Equal(t, "fedcba9876543210", j.Hops[0].Span)
	require.Equal(t, "0123456789abcdef", j.Hops[0].Parent)
}

func TestAJourneyHasThePartsOfEachHop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	span := func(n int) string { return fmt.Sprintf("00-%032x-%016x-01", 7, n) }
	w.ring.Add(calls.SyncCall{
		Name:    hearth.Name{Function: "cashier", Namespace: hearth.DefaultNamespace},
		CallID:  "c",
		Trace:   span(1),
		Method:  "POST",
		Path:    "/",
		Status:  200,
		Started: time.Now().Add(-time.Second),
		Ended:   time.Now(),
	})
	w.settled("c", calls.Entry{
		Trace:   span(2),
		Parent:  span(1),
		Attempt: 1,
		Status:  200,
		Started: time.Now().UnixMilli(),
		Took:    30,
		Cold:    10,
		Commit:  5,
	})
	w.settled("c", calls.Entry{Trace: span(3), Parent: span(2), Attempt: 1, Status: 200, Started: 1, Took: 1})
	j, err := w.fresh().Trace(t.Context(), "c")
	require.NoError(t, err, "a call id finds the journey")
	require.Len(t, j.Hops, 3)
	require.Equal(t, fmt.Sprintf("%032x", 7), j.TraceID)
	require.Equal(t, calls.Sync, j.Hops[0].Kind)
	hop := j.Hops[1]
	require.Equal(t, j.Hops[0].Span, hop.Parent)
	require.InDelta(t, 10, *hop.Phases.ColdStart, 1e-9)
	require.InDelta(t, 15, *hop.Phases.Run, 1e-9)
	require.InDelta(t, 5, *hop.Phases.Commit, 1e-9)
	require.NotNil(t, hop.Phases.HandOff, "the third hop is its child")
	require.Nil(t, j.Hops[2].Phases.HandOff)

	s := w.get("c")
	require.Equal(t, calls.Sync, s.Kind, "the first call is shown")
	require.Len(t, s.Caused, 2)
}

func TestBodiesAreRecordedWithoutSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := wire.Entry{
		Body:        []byte(`{"cookie":"brownie"}`),
		ContentType: "application/json",
		Query:       "tray=1",
		Header: http.Header{
			"Authorization":    {"Bearer hush"},
			"Cookie":           {"session=hush"},
			"X-Api-Key":        {"hush"},
			"X-Shop-Token":     {"hush"},
			"X-Hub-Signature":  {"hush"},
			"Accept-Language":  {"de"},
			"X-Client-Secret1": {"hush"},
		},
	}
	w.settled("c", calls.Entry{Attempt: 1, Status: 200, Bodies: calls.BodiesOf(e, []byte("baked"))})
	s := w.get("c")
	require.NotNil(t, s.Bodies)
	require.Equal(t, string(e.Body), string(s.Bodies.Request))
	require.Equal(t, "baked", string(s.Bodies.Answer))
	require.Equal(t, map[string][]string{"Accept-Language": {"de"}}, s.Bodies.Header)
	text, err := json.Marshal(s)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")

	n, call, err := w.fresh().Replayed(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, oven, n)
	require.Equal(t, e.Body, call.Body)
	require.Equal(t, "tray=1", call.Query)

	e.Body = make([]byte, 1<<20)
	w.settled("large", calls.Entry{Attempt: 1, Status: 200, Bodies: calls.BodiesOf(e, nil)})
	_, _, err = w.fresh().Replayed(t.Context(), "large")
	require.Equal(t, hearth.Conflict, hearth.CodeOf(err))
	require.ErrorContains(t, err, "too large")
	w.settled("without", calls.Entry{Attempt: 1, Status: 200})
	_, _, err = w.fresh().Replayed(t.Context(), "without")
	require.ErrorContains(t, err, "com.hearth.record: bodies")
}

func TestAnInstanceRemembersTheLastSyncCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := time.Now().Add(-time.Hour)
	for i := range 10_005 {
		w.ring.Add(calls.SyncCall{
			Name:    oven,
			CallID:  fmt.Sprint("s", i),
			Status:  200 + 300*(i%2),
			Started: at.Add(time.Duration(i) * time.Millisecond),
			Ended:   at.Add(time.Duration(i+1) * time.Millisecond),
		})
	}
	page := w.search(calls.Query{Limit: 2})
	require.Equal(t, []string{"s10004", "s10003"}, []string{page.Calls[0].CallID, page.Calls[1].CallID})
	require.Equal(t, calls.Failed, page.Calls[1].State)
	_, err := w.fresh().Get(t.Context(), "s4")
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err), "the first ones are forgotten")
	require.Equal(t, "s5", w.get("s5").CallID)
}
