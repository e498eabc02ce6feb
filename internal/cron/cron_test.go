package cron

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var (
	oven   = hearth.Name{Function: "oven", Namespace: "openfaas-fn"}
	monday = time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)
)

// A rig is a scheduler whose rounds the test makes, at times of its own.
type rig struct {
	*Scheduler
	t        *testing.T
	raw      *goredis.Client
	log      *buffer
	notified int
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// since is what was written since it was asked for the last time, but for the line that a schedule is kept.
func (b *buffer) since() (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.b.String()) {
		if !strings.Contains(line, "msg=scheduled") {
			lines = append(lines, line)
		}
	}
	b.b.Reset()
	return lines
}

func newRig(t *testing.T, raw *goredis.Client) *rig {
	t.Helper()
	client, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	client.UseRecords(redis.Records{Key: record.NewKey([]byte("the tests' secret"))})
	_, err = client.Subscribe(t.Context(), redis.CallsOf(oven))
	require.NoError(t, err)
	r := &rig{t: t, raw: raw, log: &buffer{}}
	r.Scheduler, err = New(Config{
		Queue:      client,
		Log:        slog.New(slog.NewTextHandler(r.log, nil)),
		QueueLimit: hearth.QueueLimit{Length: 5, Bytes: 1 << 20},
		Notify: func(n hearth.Name, s wire.Subscription) {
			require.Equal(t, redis.CallsOf(n), s)
			r.notified++
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
}

// deploy sets oven's schedule, as the registry does. Times are hours of Monday.
func (r *rig) deploy(schedule string, created, deployed float64) {
	r.Set(r.t.Context(), function(schedule, created, deployed))
}

func function(schedule string, created, deployed float64) hearth.Function {
	annotations := map[string]string{"topic": "cron-function", "schedule": schedule}
	if schedule == "" {
		annotations = nil
	}
	return hearthtest.Parse(hearth.Function{
		CreatedAt:  hour(created),
		DeployedAt: hour(deployed),
		FunctionDeployment: types.FunctionDeployment{
			Service:     "oven",
			Namespace:   "openfaas-fn",
			Annotations: &annotations,
		},
	})
}

func hour(n float64) time.Time { return monday.Add(time.Duration(n * float64(time.Hour))) }

// round makes one, at an hour of Monday, and returns the hour of the next.
func (r *rig) round(at float64) (next float64) {
	r.t.Helper()
	_, err := r.runOnce(r.t.Context(), hour(at))
	require.NoError(r.t, err)
	for _, j := range r.jobs {
		return j.at.Sub(monday).Hours()
	}
	return 0
}

// queued are the hours that were fired and not yet taken from the queue.
func (r *rig) queued() []float64 {
	r.t.Helper()
	hours := []float64{}
	for _, m := range r.raw.XRange(r.t.Context(), redis.CallsOf(oven).Stream, "-", "+").Val() {
		var fields []string
		for name, value := range m.Values {
			fields = append(fields, name, value.(string))
		}
		e, err := wire.ParseEntry(fields)
		require.NoError(r.t, err)
		require.Equal(r.t, "cron-function", e.Header.Get("X-Topic"))
		require.Equal(r.t, "POST", e.Method)
		require.Empty(r.t, e.Body)
		require.NotEmpty(r.t, e.CallID)
		when, err := time.Parse(time.RFC3339, e.Header.Get("X-Schedule-Time"))
		require.NoError(r.t, err)
		hours = append(hours, when.Sub(monday).Hours())
	}
	return hours
}

func TestEachTimeIsFiredOnceAndSaidOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	r.deploy("@hourly", 8.5, 8.5)
	require.EqualValues(t, 9, r.round(8.5))
	require.Empty(t, r.queued())
	require.EqualValues(t, 10, r.round(9))
	require.EqualValues(t, 10, r.round(9.5))
	require.EqualValues(t, 11, r.round(10.01))
	require.Equal(t, []float64{9, 10}, r.queued())
	require.Equal(t, 2, r.notified)
	lines := r.log.since()
	require.Len(t, lines, 2)
	require.NotContains(t, lines[0], "late")
	require.Contains(t, lines[1], "late=36s")
	require.Contains(t, lines[1], "scheduled=2024-05-06T10:00:00Z")
	require.Equal(t, []State{{Name: oven, Fired: 2, Next: hour(11)}}, r.States())
}

func TestMissedTimesAreFiredOnceAfterARestartThatDeploysAgain(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	r := newRig(t, raw)
	r.deploy("@hourly", 8.5, 8.5)
	r.round(9)

	for name, set := range map[string]func(*rig){
		"as it was": func(r *rig) { r.deploy("@hourly", 8.5, 8.5) },
		// The instance starts.
		"again": func(r *rig) { r.deploy("@hourly", 8.5, 8.5); r.deploy("@hourly", 8.5, 12.4) },
		"later": func(r *rig) { r.deploy("@hourly", 8.5, 12.4) }, // it died right after the spec was saved
	} {
		require.NoError(t, r.cfg.Queue.ForgetSchedule(t.Context(), oven))
		_, err := r.cfg.Queue.KeepSchedule(t.Context(), oven, "@hourly", hour(8.5), hour(9), redis.Cursor{})
		require.NoError(t, err)
		raw.XTrimMaxLen(t.Context(), redis.CallsOf(oven).Stream, 0)
		next := newRig(t, raw)
		set(next)
		require.EqualValues(t, 13, next.round(12.5), name)
		next.round(12.6)
		require.Equal(t, []float64{12}, next.queued(), name)
		require.Contains(t, next.log.since()[0], "late=30m0s", name)
	}
}

func TestAMissedFirstTimeIsFiredToo(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	newRig(t, raw).deploy("@hourly", 8.5, 8.5) // and dies before nine
	r := newRig(t, raw)
	r.deploy("@hourly", 8.5, 8.5)
	r.deploy("@hourly", 8.5, 9.5)
	r.round(9.5)
	require.Equal(t, []float64{9}, r.queued())
}

func TestNothingIsFiredForThePast(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(*rig){
		"a new schedule": func(r *rig) { r.deploy("30 * * * *", 1, 5.75) },
		"removed and created anew": func(r *rig) {
			r.Delete(r.t.Context(), oven)
			require.Zero(r.t, r.raw.Exists(r.t.Context(), "{fn:oven.openfaas-fn}:cron").Val())
			r.deploy("@hourly", 5.75, 5.75)
		},
		"created anew, and the note of the one before was left": func(r *rig) {
			r.deploy("@hourly", 5.75, 5.75)
		},
		"without a schedule for a while": func(r *rig) {
			r.deploy("", 1, 4)
			require.Zero(r.t, r.raw.Exists(r.t.Context(), "{fn:oven.openfaas-fn}:cron").Val())
			r.deploy("@hourly", 1, 5.75)
		},
		"Redis has lost it, and it is deployed again": func(r *rig) {
			r.raw.Del(r.t.Context(), "{fn:oven.openfaas-fn}:cron")
			r.deploy("@hourly", 1, 5.75)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, chaintest.Redis(t))
			r.deploy("@hourly", 1, 1)
			r.round(2)
			then(r)
			r.round(5.8)
			require.Equal(t, []float64{2}, r.queued())
			r.round(7)
			require.Len(t, r.queued(), 2, "but for what comes")
		})
	}
}

func TestAFullQueueIsTriedAgainUntilALaterTimeHasCome(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	r.deploy("@hourly", 0, 0)
	for n := range 5 {
		r.round(float64(n) + 1)
	}
	for _, at := range []float64{6, 6.1, 6.2} {
		require.InDelta(t, at+1/3600., r.round(at), 1e-6, "in a second")
	}
	lines := r.log.since()
	require.Len(t, lines, 6)
	require.Contains(t, lines[5], "the queue of oven is full: it may have 5 calls")
	require.Equal(t, hour(6), r.States()[0].Next, "it waits")
	r.raw.XTrimMaxLen(t.Context(), redis.CallsOf(oven).Stream, 4)
	require.EqualValues(t, 7, r.round(6.3))
	require.Equal(t, []float64{2, 3, 4, 5, 6}, r.queued())
	r.round(7)
	r.raw.XTrimMaxLen(t.Context(), redis.CallsOf(oven).Stream, 0)
	r.round(9.5)
	require.Equal(t, []float64{9}, r.queued(), "seven and eight are past")
}

func TestTwoHearthsFireATimeOnceAndTheSecondIsSilent(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	a, b := newRig(t, raw), newRig(t, raw)
	a.deploy("@hourly", 0, 0)
	b.deploy("@hourly", 0, 0.5)
	for n := 3; n < 5; n++ {
		a.round(float64(n))
		b.round(float64(n) + .001)
	}
	require.Equal(t, []float64{3, 4}, a.queued())
	require.Empty(t, b.log.since())
	require.Equal(t, []State{{Name: oven, Next: hour(5)}}, b.States())

	b.deploy("30 * * * *", 0, 4.25)
	for _, at := range []float64{4.5, 5, 5.5, 6} {
		a.round(at)
		b.round(at)
	}
	require.Equal(t, []float64{3, 4, 4.5, 5.5}, a.queued(), "the schedule that was deployed last counts")
	lines := a.log.since()
	require.Len(t, lines, 3)
	require.Contains(t, lines[2], "changed or removed by another instance")
	a.deploy("@hourly", 0, 6.25)
	a.round(7)
	b.round(7.5)
	require.Equal(t, []float64{3, 4, 4.5, 5.5, 7}, a.queued(), "and so it does when it is changed back")
}

func TestOneFunctionsTroubleIsNotTheOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	lost := function("@hourly", 0, 0)
	lost.Service = "lost" // it has no queue
	broken := function("@hourly", 0, 0)
	broken.Service = "broken" // somebody has overwritten its cursor
	require.NoError(t, r.raw.Set(t.Context(), "{fn:broken.openfaas-fn}:cron", "x", 0).Err())
	for _, f := range []hearth.Function{lost, broken, function("@hourly", 0, 0)} {
		r.Set(t.Context(), f)
	}
	r.round(1)
	require.Equal(t, []float64{1}, r.queued())
	require.Len(t, r.log.since(), 2, "a line for the lost one, and one for the tick")
	_, bad := r.cfg.Queue.Bad(redis.KindSchedule, broken.Name().String())
	require.True(t, bad)
}

func TestATimeThatComesWhileRedisIsAwayIsFiredWhenItIsBack(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	raw := goredis.NewClient(&goredis.Options{Addr: m.Addr()})
	defer func() { _ = raw.Close() }()
	r := newRig(t, raw)
	r.deploy("@hourly", 0, 0)
	r.round(1)
	m.Close()
	_, err := r.runOnce(t.Context(), hour(2))
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))
	r.deploy("30 * * * *", 0, 2.25) // Redis hears of it later
	_, err = r.runOnce(t.Context(), hour(2.5))
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))
	r.deploy("30 * * * *", 0, 2.75) // and of its first deployment
	require.NoError(t, m.Restart())
	require.EqualValues(t, 3.5, r.round(3))
	require.Equal(t, []float64{1, 2.5}, r.queued())
}

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	idle := newRig(t, raw)
	for range 2 {
		require.NoError(t, idle.Stop(t.Context()))
	}
	require.Error(t, idle.Start(t.Context()), "it was stopped")
	_, err := New(Config{Queue: idle.cfg.Queue, Log: idle.cfg.Log})
	require.ErrorContains(t, err, "required")
	for range 20 {
		r := newRig(t, raw)
		ctx, cancel := context.WithCancel(t.Context())
		go r.Set(ctx, function("@every 1s", 0, 0))
		require.NoError(t, r.Start(ctx))
		require.NoError(t, r.Start(ctx))
		cancel()
		require.NoError(t, r.Stop(t.Context()))
		require.NoError(t, r.Stop(t.Context()))
	}
}
