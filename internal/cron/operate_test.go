package cron

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

func (r *rig) pauseIt() Schedule {
	r.t.Helper()
	s, err := r.Pause(r.t.Context(), oven)
	require.NoError(r.t, err)
	return s
}

func (r *rig) resumeIt() Schedule {
	r.t.Helper()
	s, err := r.Resume(r.t.Context(), oven)
	require.NoError(r.t, err)
	return s
}

// list returns the only schedule.
func (r *rig) list() Schedule {
	r.t.Helper()
	list, err := r.List(r.t.Context())
	require.NoError(r.t, err)
	require.Len(r.t, list, 1)
	return list[0]
}

func TestPausedScheduleQueuesTheNewestMissedTickWhenItIsResumed(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	a, b := newRig(t, raw), newRig(t, raw)
	for _, r := range []*rig{a, b} {
		r.deploy("@hourly", 0, 0)
	}
	a.round(1)
	s := a.pauseIt()
	require.True(t, s.Paused)
	require.NotNil(t, s.PausedAt)
	require.Empty(t, s.Next)
	require.Equal(t, s.PausedAt, a.pauseIt().PausedAt)
	for n := 2; n < 5; n++ {
		require.EqualValues(t, n+1, a.round(float64(n)))
		require.EqualValues(t, n+1, b.round(float64(n)), "it has not been told, and finds out")
	}
	require.Equal(t, []float64{1}, a.queued())
	for _, r := range []*rig{a, b} {
		require.True(t, r.States()[0].Paused)
		require.False(t, r.States()[0].Next.Before(time.Now()), "no tick is late")
		require.True(t, r.list().Paused)
	}
	lines := a.log.since()
	require.Len(t, lines, 2, "a tick and the pause")

	a.deploy("@hourly", 0, 4.2)
	a.round(4.3)
	require.Equal(t, []float64{1}, a.queued(), "an update does not end it")

	s = b.resumeIt()
	require.False(t, s.Paused)
	require.Len(t, s.Next, 5)
	require.EqualValues(t, 5, b.round(4.5))
	require.Equal(t, []float64{1, 4}, a.queued(), "two and three are past")
	a.round(5)
	b.round(5)
	require.Equal(t, []float64{1, 4, 5}, a.queued(), "it has not been told, and finds out")
	require.False(t, a.States()[0].Paused)
}

func TestScheduleIsRunAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	r.deploy("@hourly", 0, 0)
	require.Nil(t, r.list().Last)
	call, err := r.Run(t.Context(), oven)
	require.NoError(t, err)
	require.Equal(t, 1, r.notified)
	last := r.list().Last
	require.Equal(t, call, last.CallID)
	require.Equal(t, "queued", last.State)
	require.Contains(t, r.log.since()[0], "by hand")
	require.Len(t, r.queued(), 1)
	r.raw.XTrimMaxLen(t.Context(), redis.CallsOf(oven).Stream, 0)
	require.Equal(t, "ended", r.list().Last.State)
	require.EqualValues(t, 2, r.round(1))
	require.Equal(t, []float64{1}, r.queued(), "the ticks stay as they are")

	r.pauseIt()
	for range 4 {
		_, err = r.Run(t.Context(), oven)
		require.NoError(t, err)
	}
	_, err = r.Run(t.Context(), oven)
	require.Equal(t, hearth.Exhausted, hearth.CodeOf(err))
}

func TestOnlyAScheduleCanBeRunOrPaused(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	r, other := newRig(t, raw), newRig(t, raw)
	_, err := r.Run(t.Context(), oven)
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
	_, err = r.Pause(t.Context(), oven)
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
	_, err = r.Resume(t.Context(), oven)
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
	list, err := r.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Schedule{}, list)

	r.deploy("@hourly", 0, 0)
	other.deploy("@daily", 0, 1)
	_, err = r.Run(t.Context(), oven)
	require.Equal(t, hearth.Conflict, hearth.CodeOf(err))
	require.NoError(t, raw.Set(t.Context(), "{fn:oven.openfaas-fn}:cron", "nonsense", 0).Err())
	require.False(t, r.list().Paused, "it is replaced soon")
	_, err = other.Pause(t.Context(), oven)
	require.Equal(t, hearth.Conflict, hearth.CodeOf(err))
	other.pauseIt()
}

func TestRunByHandHasATimeThatNoTickHas(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, time.Microsecond, 999500 * time.Microsecond} {
		at := hour(1).Add(after)
		got := momentOf(at)
		require.False(t, got.Truncate(time.Second).Equal(got))
		require.WithinDuration(t, at, got, 2*time.Millisecond)
	}
}
