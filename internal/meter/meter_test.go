package meter

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	signing "github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestAFunctionIsMeteredByTheHour(t *testing.T) {
	everywhere(t, func(t *testing.T, raw goredis.UniversalClient) {
		r := newRig(t, raw, "me")
		r.deploy(oven, "512Mi")
		r.deploy(baker, "")
		r.work(oven, 3, 2*time.Second, 10*time.Second)
		r.recorders[oven].Held()
		r.recorders[oven].Held()
		r.recorders[oven].Given(40 * time.Millisecond)
		r.recorders[oven].Denied()
		for _, d := range []dispatch.Delivered{
			{Outcome: dispatch.Done, Attempt: 1, Waited: 30 * time.Millisecond},
			{Outcome: dispatch.Retried, Attempt: 1, Waited: 10 * time.Millisecond},
			{Outcome: dispatch.Done, Attempt: 2, Waited: time.Hour},
			{Outcome: dispatch.Busy, Attempt: 1, Waited: time.Hour},
			{Outcome: dispatch.Done, Attempt: 1, Waited: time.Hour, Callback: true},
		} {
			r.Delivered(oven, d)
		}
		require.True(t, r.saves())
		r.at(noon.Add(time.Hour))
		r.work(oven, 1, time.Second, 5*time.Second)
		r.work(baker, 1, 3*time.Second, 0)

		got := r.report(Query{By: ByHour})
		lambda := LambdaPrices()
		require.Equal(t, []Row{
			{Start: noon, Function: "oven.openfaas-fn", Calls: 3, BusySeconds: 2, ReplicaSeconds: 10,
				GBSeconds: 1, ReplicaGBSeconds: 5,
				ColdStarts: ColdStarts{2, 1, 43, 43}, QueueWait: QueueWait{2, 20, 30},
				Cost: lambda.Cost(Usage{Calls: 2, BusyMemory: 2000 * 512})},
			{Start: noon.Add(time.Hour), Function: "baker.night", Calls: 1, BusySeconds: 3, GBSeconds: 3. / 8,
				MemoryAssumed: true, Cost: lambda.Cost(Usage{Calls: 1, BusyMemory: 3000 * 128})},
			{Start: noon.Add(time.Hour), Function: "oven.openfaas-fn", Calls: 1, BusySeconds: 1,
				ReplicaSeconds: 5, GBSeconds: .5, ReplicaGBSeconds: 2.5,
				Cost: lambda.Cost(Usage{Calls: 1, BusyMemory: 1000 * 512})},
		}, got.Rows)
		require.EqualValues(t, 5, got.Total.Calls)
		require.True(t, got.Total.MemoryAssumed)
		require.Equal(t, DefaultMemory, got.DefaultMemory)

		require.Len(t, r.report(Query{By: ByDay}).Rows, 2)
		require.Equal(t, "baker.night", r.report(Query{Namespace: "night"}).Rows[0].Function)
		only := r.report(Query{Function: oven.String(), From: noon.Add(90 * time.Minute),
			To: noon.Add(100 * time.Minute)})
		require.EqualValues(t, 1, only.Total.Calls, "an hour that has a part of it counts")
		require.Empty(t, r.report(Query{To: noon}).Rows)
	})
}

func TestAReportThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	for what, q := range map[string]Query{
		"by is":     {By: "week"},
		"from is":   {From: noon, To: noon.Add(-time.Hour)},
		"2026-11-2": {From: noon.Add(time.Hour)},
	} {
		_, err := r.Report(t.Context(), q)
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
		require.ErrorContains(t, err, what)
	}
}

func TestTwoHearthsAreSummedUp(t *testing.T) {
	everywhere(t, func(t *testing.T, raw goredis.UniversalClient) {
		one, two := newRig(t, raw, "one"), newRig(t, raw, "two")
		for _, r := range []*rig{one, two} {
			r.deploy(oven, "1Gi")
			r.work(oven, 2, time.Second, time.Second)
			require.True(t, r.saves())
			require.True(t, r.saves())
		}
		require.EqualValues(t, 4, one.report(Query{}).Total.Calls)
		require.EqualValues(t, 2, two.report(Query{}).Total.GBSeconds)
	})
}

func TestAFunctionThatIsRemovedKeepsWhatItUsedToTheLast(t *testing.T) {
	everywhere(t, func(t *testing.T, raw goredis.UniversalClient) {
		r := newRig(t, raw, "me")
		r.deploy(oven, "1Gi")
		r.work(oven, 5, 5*time.Second, 9*time.Second)
		r.look()
		r.work(oven, 1, time.Second, time.Second) // that nobody has looked at
		late := r.recorders[oven]
		_, ended := r.remove(oven)
		ended()
		late.Denied() // a call that was held for it
		_, ok := r.Since(oven)
		require.False(t, ok)

		r.deploy(oven, "2Gi")
		r.work(oven, 1, time.Second, time.Second)
		got := r.report(Query{}).Total
		require.EqualValues(t, 7, got.Calls)
		require.EqualValues(t, 1, got.ColdStarts.Failed)
		require.EqualValues(t, 6+2, got.GBSeconds)
		u, ok := r.Since(oven)
		require.True(t, ok)
		require.EqualValues(t, 1, u.Calls, "Prometheus's counters begin anew")
	})
}

// TestAFunctionIsMeteredUntilItsLastReplicaHasEnded: also beside one that was deployed in
// its place, with another limit of memory.
func TestAFunctionIsMeteredUntilItsLastReplicaHasEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	r.deploy(oven, "1Gi")
	r.work(oven, 1, time.Second, time.Second)
	old, ended := r.remove(oven)
	require.EqualValues(t, 1, r.report(Query{}).Total.GBSeconds)
	old.BusyTime, old.ReplicaTime = 11*time.Second, 11*time.Second
	require.EqualValues(t, 11, r.report(Query{}).Total.GBSeconds, "it is looked at while it drains")

	r.deploy(oven, "4Gi")
	r.work(oven, 1, time.Second, time.Second)
	old.BusyTime, old.ReplicaTime = 21*time.Second, 22*time.Second
	ended()
	old.BusyTime, old.ReplicaTime = time.Hour, time.Hour
	total := r.report(Query{}).Total
	require.EqualValues(t, 21+4, total.GBSeconds, "10 s more of the old one, and one of the new one")
	require.EqualValues(t, 22+4, total.ReplicaGBSeconds)
	require.EqualValues(t, 2, total.Calls)
	u, _ := r.Since(oven)
	require.EqualValues(t, 1, u.Calls)
}

// TestAFunctionThatIsRemovedAtOnceIsChargedForItsMemory: nobody has looked at it before.
func TestAFunctionThatIsRemovedAtOnceIsChargedForItsMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	r.deploy(oven, "1Gi")
	old, ended := r.remove(oven)
	old.Calls, old.BusyTime = 1, 10*time.Second
	ended()
	require.EqualValues(t, 10, r.report(Query{}).Total.GBSeconds)
}

func TestAnotherLimitOfMemoryCountsFromThen(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	r.deploy(oven, "1Gi")
	r.work(oven, 1, time.Second, 0)
	r.look()
	r.deploy(oven, "3Gi")
	r.work(oven, 1, time.Second, 0)
	r.look()
	r.deploy(oven, "100") // bytes: it has the 6 MiB that are the least
	r.work(oven, 1, 1024*time.Second, 0)
	require.EqualValues(t, 1+3+6, r.report(Query{}).Total.GBSeconds)
}

func TestPartsOfAMillisecondAreNotLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	r.deploy(oven, "")
	for range 1000 {
		r.work(oven, 0, 300*time.Microsecond, 700*time.Microsecond)
		r.look()
	}
	got := r.report(Query{}).Total
	require.Equal(t, [2]float64{.3, .7}, [2]float64{got.BusySeconds, got.ReplicaSeconds})
}

func TestAClockThatGoesBackLosesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, raw goredis.UniversalClient) {
		r := newRig(t, raw, "me")
		r.deploy(oven, "")
		for _, at := range []time.Time{noon, noon.Add(24 * time.Hour), noon.Add(-24 * time.Hour), noon,
			noon.Add(24 * time.Hour)} {
			r.at(at)
			r.work(oven, 1, 0, 0)
			require.True(t, r.saves())
		}
		require.Len(t, r.books.days, 1, "days that are over and written are not in memory")
		got := map[time.Time]uint64{}
		for _, row := range r.report(Query{By: ByHour}).Rows {
			got[row.Start] = row.Calls
		}
		require.Equal(t, map[time.Time]uint64{noon.Add(-24 * time.Hour): 1, noon: 2,
			noon.Add(24 * time.Hour): 2}, got)
	})
}

func TestRedisAwayMeteringGoesOnAndIsWrittenLater(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	raw := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = raw.Close() })
	r := newRig(t, raw, "me")
	r.deploy(oven, "")
	r.deploy(baker, "")
	r.work(oven, 1, 0, 0)
	r.work(baker, 1, 0, 0)
	require.True(t, r.saves())
	server.Close()
	r.work(oven, 1, 0, 0)
	require.False(t, r.saves())
	r.at(noon.Add(24 * time.Hour)) // and on the next day
	r.work(oven, 1, 0, 0)
	require.False(t, r.saves())
	_, err := r.Report(t.Context(), Query{})
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err))

	require.NoError(t, server.Restart())
	server.FlushAll() // it has forgotten, too
	require.Eventually(t, r.saves, time.Minute, 10*time.Millisecond)
	require.EqualValues(t, 2, r.kept(noon)[oven.String()].Calls)
	require.EqualValues(t, 1, r.kept(noon)[baker.String()].Calls, "that has not changed since")
	require.EqualValues(t, 1, r.kept(noon.Add(24 * time.Hour))[oven.String()].Calls)
}

func TestAHearthThatStartsWhileRedisIsAwayOverwritesNothing(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	raw := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = raw.Close() })
	before := newRig(t, raw, "me")
	before.deploy(oven, "")
	before.work(oven, 3, 0, 0)
	require.True(t, before.saves())
	after := newRig(t, raw, "me")
	server.Close()
	after.deploy(oven, "")
	after.work(oven, 1, 0, 0)
	require.False(t, after.saves())
	require.NoError(t, server.Restart())
	require.Eventually(t, after.saves, time.Minute, 10*time.Millisecond)
	require.EqualValues(t, 4, after.kept(noon)[oven.String()].Calls)
}

func TestAFullRedisTakesUsageLater(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	r := newRig(t, full.Client, "me")
	r.deploy(oven, "")
	r.work(oven, 1, 0, 0)
	full.Fill(t)
	require.False(t, r.saves())
	require.EqualValues(t, 1, r.report(Query{}).Total.Calls, "it can be asked for")
	r.work(oven, 1, 0, 0)
	require.NoError(t, full.ConfigSet(t.Context(), "maxmemory", "0").Err())
	require.True(t, r.saves())
	require.EqualValues(t, 2, r.kept(noon)[oven.String()].Calls)
}

func TestTooManyFunctionsOfADayAreSummedUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	for i := range maxFunctions + 3 {
		r.books.charge(fmt.Sprintf("f%d.a", i), Usage{Calls: 1})
	}
	require.Eventually(t, r.saves, time.Minute, time.Millisecond) // one save may take longer than patience
	kept := r.kept(noon)
	require.Len(t, kept, maxFunctions+1)
	require.EqualValues(t, 3, kept[Others].Calls)
	require.EqualValues(t, maxFunctions+3, r.report(Query{}).Total.Calls)
}

func TestDaysThatRedisNeverTakesDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	for i := range 3 * maxDays {
		r.at(noon.Add(time.Duration(i) * 24 * time.Hour))
		r.books.charge("f.a", Usage{Calls: 1})
	}
	require.Len(t, r.books.days, maxDays)
	require.NotNil(t, r.books.days[dayOf(r.now)])
}

func TestNothingIsWrittenThatHasNotChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	r.deploy(oven, "")
	r.deploy(baker, "")
	r.work(oven, 1, time.Second, 0)
	require.True(t, r.saves())
	require.Len(t, r.kept(noon), 1, "one that does nothing has nothing")
	require.NoError(t, r.raw.FlushDB(t.Context()).Err())
	r.work(baker, 1, 0, 0)
	require.True(t, r.saves())
	require.Len(t, r.kept(noon), 1)
}

func TestStopWritesWhatIsLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	for range 2 {
		require.NoError(t, r.Start(t.Context()))
	}
	r.deploy(oven, "")
	r.work(oven, 1, 0, 0)
	for range 2 {
		require.NoError(t, r.Stop(t.Context()))
	}
	require.Error(t, r.Start(t.Context()), "it was stopped")
	require.EqualValues(t, 1, r.kept(noon)[oven.String()].Calls)
}

func TestNewRefusesAConfigThatLacksSomething(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), "me")
	for name, lack := range map[string]func(*Config){
		"Queue":    func(c *Config) { c.Queue = nil },
		"Log":      func(c *Config) { c.Log = nil },
		"Instance": func(c *Config) { c.Instance = "" },
		"Load":     func(c *Config) { c.Load = nil },
		"Function": func(c *Config) { c.Function = nil },
	} {
		cfg := r.cfg
		lack(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, name)
	}
}

// A call is metered by what the router counts anyway: the recorder does nothing for it. Not
// parallel: what others allocate would count.
func TestACallCostsNoAllocation(t *testing.T) {
	r := newRig(t, chaintest.Redis(t), "me")
	f := r.Recorder(oven)
	f.Given(time.Millisecond) // the first one makes the histogram
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		f.Started()
		f.Ended(http.StatusOK, time.Millisecond)
		r.Delivered(oven, dispatch.Delivered{Outcome: dispatch.Done, Attempt: 1, Waited: time.Millisecond})
		f.Held()
		f.Given(time.Millisecond)
	}))
}

// BenchmarkRecord is what a call, and what a cold start and a queued call
// besides, are charged for being metered.
func BenchmarkRecord(b *testing.B) {
	m, err := New(Config{
		Queue:    new(redis.Client),
		Log:      slog.New(slog.DiscardHandler),
		Instance: "me",
		Load:     func(hearth.Name) (router.Load, bool) { return router.Load{}, false },
		Function: func(hearth.Name) (hearth.Function, bool) { return hearth.Function{}, false },
	})
	require.NoError(b, err)
	f := m.Recorder(oven)
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.Started()
			f.Ended(http.StatusOK, time.Millisecond)
		}
	})
	b.Run("queued cold call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.Started()
			f.Held()
			f.Given(time.Millisecond)
			f.Ended(http.StatusOK, time.Millisecond)
			m.Delivered(oven,
				dispatch.Delivered{Outcome: dispatch.Done, Attempt: 1, Waited: time.Millisecond})
		}
	})
}

// BenchmarkLook is what a second costs with 10,000 functions of which a tenth has replicas.
func BenchmarkLook(b *testing.B) {
	loads := map[hearth.Name]router.Load{}
	m, err := New(Config{
		Queue:    new(redis.Client),
		Log:      slog.New(slog.DiscardHandler),
		Instance: "me",
		Load:     func(n hearth.Name) (router.Load, bool) { l, ok := loads[n]; return l, ok },
		Function: func(hearth.Name) (hearth.Function, bool) { return hearth.Function{Revision: "1"}, true },
	})
	require.NoError(b, err)
	var names []hearth.Name
	for i := range 10_000 {
		n := hearth.Name{Function: fmt.Sprint("f", i), Namespace: "a"}
		m.Recorder(n)
		loads[n], names = router.Load{}, append(names, n)
	}
	for b.Loop() {
		for _, n := range names[:1000] {
			l := loads[n]
			l.ReplicaTime += time.Second
			loads[n] = l
		}
		m.look()
	}
}

// BenchmarkSpace is how many bytes a function takes in Redis for a day.
func BenchmarkSpace(b *testing.B) {
	const functions = 1000
	for _, hours := range []int{1, 8, 24} {
		b.Run(fmt.Sprint(hours, " hours"), func(b *testing.B) {
			raw := chaintest.Redis(b)
			queue, err := redis.Open(b.Context(), chaintest.URL(raw))
			require.NoError(b, err)
			queue.UseRecords(redis.Records{Key: signing.NewKey([]byte("the tests' secret"))})
			defer func() { _ = queue.Close() }()
			random := rand.New(rand.NewPCG(1, 1))
			var list []redis.Used
			packed := 0
			for i := range functions {
				var day hoursOfDay
				for hour := range hours {
					u := &Usage{Calls: 10_000 + random.Uint64N(90_000), Busy: random.Uint64N(36e5),
						Replica: 36e5 + random.Uint64N(1000)}
					u.BusyMemory, u.ReplicaMemory = u.Busy*128, u.Replica*128
					u.Queued, u.Waited, u.LongestWait = random.Uint64N(u.Calls), random.Uint64N(1e6),
						random.Uint64N(1e4)
					if u.ColdStarts = random.Uint64N(20); hour%4 == 0 {
						for range u.ColdStarts {
							u.Cold.Observe(random.Uint64N(600))
						}
					}
					day[hour] = u
				}
				list = append(list, redis.Used{Function: fmt.Sprintf("function-%d.openfaas-fn", i),
					Instance: "k3v9x1q7m2pd", Value: day.encode()})
				packed += len(list[i].Value)
			}
			memory := func() (n int) {
				_, _ = fmt.Sscanf(raw.InfoMap(b.Context(), "memory").Item("Memory", "used_memory"), "%d", &n)
				return n
			}
			before := memory()
			for b.Loop() {
				require.NoError(b, queue.KeepUsage(b.Context(), noon, list, Retention))
			}
			b.ReportMetric(float64(packed)/functions, "B-packed/function")
			b.ReportMetric(float64(memory()-before)/functions, "B-in-Redis/function")
		})
	}
}
