package meter

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

func TestABucketIsAnEighthTooWideAtMost(t *testing.T) {
	t.Parallel()
	before := -1
	for ms := range uint64(1 << 17) {
		b := bucketOf(ms)
		require.GreaterOrEqual(t, upper(b), ms)
		require.LessOrEqual(t, upper(b), ms+ms/8)
		require.True(t, b == before || b == before+1, ms)
		before = b
	}
	require.EqualValues(t, 1<<24-1, upper(bucketOf(1<<24-1)))
	require.Equal(t, buckets-1, bucketOf(math.MaxUint64))
}

func TestQuantilesOfAHistogram(t *testing.T) {
	t.Parallel()
	var h Histogram
	require.Zero(t, h.Quantile(.5))
	h.Observe(3)
	require.EqualValues(t, 3, h.Quantile(.5))
	require.EqualValues(t, 3, h.Quantile(.99))
	for ms := range uint64(98) {
		h.Observe(min(ms, 5))
	}
	h.Observe(1000)
	require.EqualValues(t, 100, h.Count())
	require.EqualValues(t, 5, h.Quantile(.5))
	require.EqualValues(t, 5, h.Quantile(.99), "one of a hundred is above it")
	require.EqualValues(t, upper(bucketOf(1000)), h.Quantile(.995))
	require.EqualValues(t, upper(bucketOf(1000)), h.Quantile(1))
}

// someUsage is one of any kind.
func someUsage(r *rand.Rand) Usage {
	var u Usage
	for _, field := range u.fields() {
		if r.IntN(3) > 0 {
			*field = r.Uint64() >> r.IntN(64)
		}
	}
	for range r.IntN(4) {
		u.Cold.Observe(r.Uint64() >> r.IntN(64))
	}
	u.Assumed = r.IntN(2) == 0
	return u
}

func TestWhatIsPackedIsReadAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var day hoursOfDay
		for hour := range day {
			if u := someUsage(r); r.IntN(2) == 0 && !u.none() {
				day[hour] = &u
			}
		}
		got, err := decode(day.encode())
		require.NoError(t, err)
		require.Equal(t, day, got)
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		u := someUsage(r)
		day := hoursOfDay{3: &u, 23: {Calls: 1}}
		f.Add(day.encode())
	}
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		day, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(day.encode())
		require.NoError(t, err)
		for hour, u := range day {
			if u != nil && !u.none() {
				require.Equal(t, u.fields(), again[hour].fields())
			}
		}
	})
}

// modelled is what a model of a meter says was used, by hour and function.
type modelled map[slot]Usage

func (m modelled) with(o modelled) modelled {
	sum := modelled{}
	for _, some := range []modelled{m, o} {
		for s, u := range some {
			had := sum[s]
			had.Add(u)
			sum[s] = had
		}
	}
	return sum
}

// TestWhatIsReadIsWhatWasUsed lets instances use, write, end in order, and be killed, at random, with clocks
// that go to and fro: what is read is what was used, but for what a killed one had not written.
func TestWhatIsReadIsWhatWasUsed(t *testing.T) {
	t.Parallel()
	for _, seed := range chaintest.Seeds(t, 12) {
		raw := chaintest.Redis(t)
		r := rand.New(rand.NewPCG(seed, 2))
		instances := []string{"one", "two"}
		hearths := map[string]*rig{}
		// what Redis has, and what only the instance has
		written, fresh := map[string]modelled{}, map[string]modelled{}
		for range 250 {
			id := instances[r.IntN(2)]
			h := hearths[id]
			if h == nil {
				h = newRig(t, raw, id)
				hearths[id], fresh[id] = h, modelled{}
			}
			h.at(noon.Add(time.Duration(r.IntN(60)-40) * time.Hour))
			n := []hearth.Name{oven, baker}[r.IntN(2)]
			use := func(u Usage) {
				fresh[id] = fresh[id].with(modelled{slot{h.now.Truncate(time.Hour), n.String()}: u})
			}
			switch r.IntN(10) {
			case 0, 1, 2, 3, 4:
				if h.recorders[n] == nil {
					h.deploy(n, "8Mi")
				}
				u := Usage{Calls: r.Uint64N(3), Busy: r.Uint64N(3000), Replica: r.Uint64N(3000)}
				h.work(n, u.Calls, time.Duration(u.Busy)*time.Millisecond,
					time.Duration(u.Replica)*time.Millisecond)
				u.BusyMemory, u.ReplicaMemory = 8*u.Busy, 8*u.Replica
				h.look()
				use(u)
			case 5:
				if f := h.recorders[n]; f != nil {
					ms := r.Uint64N(5000)
					f.Given(time.Duration(ms) * time.Millisecond)
					h.look()
					u := Usage{}
					u.Cold.Observe(ms)
					use(u)
				}
			case 6:
				if h.recorders[n] != nil {
					h.work(n, 1, 0, 0)
					h.remove(n)
					use(Usage{Calls: 1})
				}
			case 7:
				require.True(t, h.saves())
				written[id], fresh[id] = written[id].with(fresh[id]), modelled{}
			case 8:
				require.NoError(t, h.Stop(t.Context()))
				written[id] = written[id].with(fresh[id])
				delete(hearths, id)
			case 9: // killed
				delete(hearths, id)
			}
		}
		want := written["one"].with(written["two"])
		got := modelled{}
		first, last := dayOf(noon.Add(-41*time.Hour)), noon.Add(24*time.Hour)
		for day := first; day.Before(last); day = day.Add(24 * time.Hour) {
			list, err := newRig(t, raw, "three").cfg.Queue.Usage(t.Context(), day)
			require.NoError(t, err)
			got = got.with(modelOf(t, day, list))
		}
		for s, u := range want {
			if u.none() {
				delete(want, s)
			}
		}
		require.Equal(t, want, got, "seed %d", seed)
	}
}

func modelOf(t *testing.T, day time.Time, list []redis.Used) modelled {
	found := modelled{}
	for _, used := range list {
		hours, err := decode(used.Value)
		require.NoError(t, err)
		for hour, u := range hours {
			if u != nil {
				found = found.with(modelled{slot{day.Add(time.Duration(hour) * time.Hour),
					used.Function}: *u})
			}
		}
	}
	return found
}
