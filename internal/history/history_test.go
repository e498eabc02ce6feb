package history

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

var oven = hearth.Name{Function: "oven", Namespace: "shop"}

func newHistory(t *testing.T) *History {
	t.Helper()
	h := New(Config{
		Load:   func(hearth.Name) (router.Load, bool) { return router.Load{Known: 2}, true },
		Queued: func(hearth.Name) int { return 7 },
	})
	t.Cleanup(func() { require.NoError(t, h.Stop(context.WithoutCancel(t.Context()))) })
	return h
}

func TestQuantilesAreATenthOffAtMost(t *testing.T) {
	t.Parallel()
	var b buckets
	for i := 1; i <= 1000; i++ {
		b.add(time.Duration(i) * time.Millisecond)
	}
	for i, want := range []float64{500, 950, 990} {
		require.InEpsilon(t, want, b.quantiles()[i], 0.1, "%v", quantile[i])
	}
	b = buckets{}
	b.add(time.Hour)
	require.Positive(t, b.quantiles()[2], "the last bucket has no end")
	b = buckets{}
	b.add(0)
	require.LessOrEqual(t, b.quantiles()[0], float32(least))
}

func TestCallsBecomePointsOfBothSeries(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	r := h.Recorder(oven)
	f := h.find(oven)
	now := time.Now()
	// as if it had begun an hour ago
	f.fine, f.coarse = newSeries(fineStep, finePoints, now.Add(-time.Hour)),
		newSeries(coarseStep, coarsePoints, now.Add(-time.Hour))
	for range 27 {
		r.Ended(200, 20*time.Millisecond)
	}
	for range 3 {
		r.Ended(502, 20*time.Millisecond)
	}
	h.look(now.Add(fineStep))
	got, ok := h.Of(oven, false, now.Add(fineStep))
	require.True(t, ok)
	require.Equal(t, 15, got.StepS)
	require.Len(t, got.Points, finePoints)
	calls, errors := 0.0, 0.0
	for _, p := range got.Points {
		calls, errors = calls+p.Rate*15, errors+p.Errors*15
		if p.Rate > 0 {
			require.InEpsilon(t, 20, *p.P95, 0.2)
		}
	}
	require.InDelta(t, 30, calls, 0.01)
	require.InDelta(t, 3, errors, 0.01)
	last := got.Points[finePoints-1]
	require.Equal(t, 2, last.Replicas)
	require.Equal(t, 7, last.Queued)
	require.Nil(t, got.Points[0].P50, "no call ended in it")

	h.look(now.Add(coarseStep))
	got, _ = h.Of(oven, true, now.Add(coarseStep))
	require.Equal(t, 300, got.StepS)
	calls = 0
	for _, p := range got.Points {
		calls += p.Rate * 300
		if p.Rate > 0 {
			require.InEpsilon(t, 20, *p.P50, 0.2)
		}
	}
	require.InDelta(t, 30, calls, 0.01)
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	r := h.Recorder(oven)
	now := time.Now()
	for i := range 2 * coarsePoints {
		h.look(now.Add(time.Duration(i) * coarseStep))
		h.Scaled(oven, i, i+1, fmt.Sprint(i))
	}
	f := h.find(oven)
	require.Len(t, f.fine.list, finePoints)
	require.Len(t, f.coarse.list, coarsePoints)
	got, _ := h.Of(oven, true, now.Add(time.Duration(2*coarsePoints)*coarseStep))
	require.Len(t, got.Points, coarsePoints)
	require.Len(t, got.Scaling, maxChanges)
	require.Equal(t, fmt.Sprint(2*coarsePoints-1), got.Scaling[0].Reason, "the newest is first")

	r.Removed(nil)
	_, ok := h.Of(oven, false, now)
	require.False(t, ok)
	h.Scaled(oven, 1, 2, "nobody")
}

func TestAnIdleFunctionNeedsNoMemory(t *testing.T) {
	t.Parallel()
	h := New(Config{
		Load:   func(hearth.Name) (router.Load, bool) { return router.Load{}, true },
		Queued: func(hearth.Name) int { return 0 },
	})
	h.Recorder(oven)
	for i := range 10 {
		h.look(time.Now().Add(time.Duration(i) * fineStep))
	}
	f := h.find(oven)
	require.Empty(t, f.fine.list)
	require.Nil(t, f.fine.buckets)
}
