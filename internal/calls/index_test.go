package calls_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

func TestSearchHasPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 25 {
		w.settled(fmt.Sprint("c", i), calls.Entry{Status: 200, Attempt: 1, Took: float64(i)})
	}
	w.queued("waits")
	var seen []string
	q := calls.Query{Limit: 7}
	index := w.fresh()
	for range 10 {
		page, err := index.Search(t.Context(), q)
		require.NoError(t, err)
		for _, c := range page.Calls {
			seen = append(seen, c.CallID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
		require.Len(t, page.Calls, 7)
	}
	want := []string{"waits"}
	for i := 24; i >= 0; i-- {
		want = append(want, fmt.Sprint("c", i))
	}
	require.Equal(t, want, seen, "each once, the newest first")

	require.Len(t, w.search(calls.Query{MinRun: 20}).Calls, 5)
	require.Len(t, w.search(calls.Query{CallID: "c3"}).Calls, 1)
	require.Empty(t, w.search(calls.Query{Status: 500}).Calls)
	require.Empty(t, w.search(calls.Query{Before: time.Now().Add(-time.Hour)}).Calls)
	other := hearth.Name{Function: "baker", Namespace: hearth.DefaultNamespace}
	require.Empty(t, w.search(calls.Query{Function: &other}).Calls)
	_, err := w.fresh().Search(t.Context(), calls.Query{Cursor: "???"})
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.ErrorContains(t, err, "cursor")
}

func TestAnUnknownCallIsNotFoundAndAnExpiredOneSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := uuid.MustParse("019adf2e-7c55-7a0b-9d3e-1f7f0d3b2f4a")
	recent, err := uuid.NewV7()
	require.NoError(t, err)
	for id, want := range map[string]string{
		"never":         `no call "never"`,
		recent.String(): "it never existed, or its record was dropped",
		old.String():    "finished more than 24 h ago",
	} {
		_, err := w.fresh().Get(t.Context(), id)
		require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
		require.ErrorContains(t, err, want)
	}
	_, err = w.fresh().Trace(t.Context(), "never")
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
}

func TestTheRecordIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	subs := []wire.Subscription{redis.CallsOf(oven), dough}
	for i := range 300 {
		w.settled(fmt.Sprint("c", i), calls.Entry{Path: strings.Repeat("p", 200), Attempt: 1})
	}
	entries, bytes, err := w.TrimRecords(t.Context(), subs,
		redis.RecordLimit{Calls: 1000, Bytes: 1 << 30, Age: time.Hour})
	require.NoError(t, err)
	require.EqualValues(t, 300, entries)
	require.Positive(t, bytes)

	entries, _, err = w.TrimRecords(t.Context(), subs,
		redis.RecordLimit{Calls: 100, Bytes: 1 << 30, Age: time.Hour})
	require.NoError(t, err)
	require.LessOrEqual(t, entries, int64(100))
	page := w.search(calls.Query{Limit: 500})
	require.Len(t, page.Calls, int(entries))
	if entries > 0 {
		require.Equal(t, "c299", page.Calls[0].CallID, "the oldest went first")
	}

	_, bytes, err = w.TrimRecords(t.Context(), subs,
		redis.RecordLimit{Calls: 100, Bytes: 4096, Age: time.Hour})
	require.NoError(t, err)
	require.LessOrEqual(t, bytes, int64(4096))

	_, _, err = w.TrimRecords(t.Context(), subs, redis.RecordLimit{Calls: 100, Bytes: 1 << 30})
	require.NoError(t, err)
	require.Empty(t, w.search(calls.Query{}).Calls, "all are older than the age")
}

func TestAnIndexFollowsTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settled("first", calls.Entry{Attempt: 1})
	count := func() int {
		page, err := w.index.Search(context.WithoutCancel(t.Context()), calls.Query{})
		require.NoError(t, err)
		return len(page.Calls)
	}
	require.Equal(t, 1, count())
	w.settled("second", calls.Entry{Attempt: 1})
	require.Eventually(t, func() bool { return count() == 2 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, w.DropRecords(t.Context(), []wire.Subscription{redis.CallsOf(oven)}))
	require.Eventually(t, func() bool { return count() == 0 }, time.Minute, 10*time.Millisecond)
}
