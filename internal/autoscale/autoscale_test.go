package autoscale

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var oven = hearth.Name{Function: "oven", Namespace: hearth.DefaultNamespace}

// A rig is an autoscaler whose ticks a test makes, with what it looks at and what it does.
type rig struct {
	*Autoscaler
	at time.Time

	mu      sync.Mutex
	load    router.Load
	waiting int
	asked   int // times that Redis was
	away    error
	refuse  error
	spec    hearth.Function
	change  uint64
	sizes   []int

	decided func() // a decision was made and is about to be applied; nil for nothing
}

func newRig(t *testing.T, replicas int, labels ...string) *rig {
	t.Helper()
	pairs := map[string]string{}
	for i := 0; i < len(labels); i += 2 {
		pairs["com.openfaas.scale."+labels[i]] = labels[i+1]
	}
	r := &rig{at: time.Now(), spec: hearthtest.Parse(hearth.Function{
		Replicas: replicas,
		Revision: "1",
		FunctionDeployment: types.FunctionDeployment{
			Service:     oven.Function,
			Namespace:   oven.Namespace,
			Labels:      &pairs,
			Annotations: &map[string]string{},
			EnvVars:     map[string]string{"max_inflight": "4"},
		},
	})}
	var err error
	r.Autoscaler, err = New(Config{
		Log:    slog.New(slog.DiscardHandler),
		Stable: 4 * time.Second,
		Load: func(hearth.Name) (router.Load, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.load, true
		},
		Backlog: func(n hearth.Name) []wire.Subscription { return []wire.Subscription{{Stream: n.String()}} },
		Waiting: func(context.Context, []wire.Subscription) ([]int, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked++
			return []int{r.waiting}, r.away
		},
		Usage: func(context.Context, hearth.Name) (hearth.Usage,
			error) {
			return hearth.Usage{CPU: 1900}, nil
		},
		Scale: func(_ context.Context, _ hearth.Name, change uint64, to int) error {
			if r.decided != nil {
				r.decided()
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.refuse != nil {
				return r.refuse
			}
			if change != r.change {
				return hearth.Errorf(hearth.Conflict, "it was changed meanwhile")
			}
			r.spec.Replicas = to
			r.sizes = append(r.sizes, to)
			r.change++
			r.Set(r.spec, r.change)
			return nil
		},
	})
	require.NoError(t, err)
	r.Set(r.spec, 0)
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
}

// wake is what the router lets the registry do for a call.
func (r *rig) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spec.Replicas = 1
	r.change++
	r.Set(r.spec, r.change)
}

// byHand is what the registry does for an operator.
func (r *rig) byHand(replicas int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spec.Replicas = replicas
	r.change++
	r.SetByHand(r.spec, r.change)
}

// tick lets time pass with so many calls in flight and so many waiting, and returns the size after each tick.
func (r *rig) tick(times, inFlight, waiting int) (sizes []int) {
	for range times {
		r.at = r.at.Add(r.cfg.Tick)
		r.mu.Lock()
		r.load.LoadTime += time.Duration(inFlight) * r.cfg.Tick
		r.load.BusyTime += time.Duration(inFlight) * r.cfg.Tick
		r.load.Calls += uint64(inFlight)
		r.load.InFlight, r.waiting = inFlight, waiting
		r.mu.Unlock()
		r.Tick(context.Background(), r.at)
		sizes = append(sizes, r.spec.Replicas)
	}
	return sizes
}

func TestGrowsWithinTicksOfARushAndShrinksAfterIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	require.Equal(t, []int{1, 1}, r.tick(2, 1, 0))
	require.Equal(t, []int{5, 10, 20}, r.tick(3, 4, 400))
	for range 8 {
		r.tick(1, 72, 0)
	}
	require.Equal(t, 20, r.spec.Replicas, "72 calls are what 20 take")
	require.Equal(t, 18, r.tick(16, 0, 0)[15], "a stable window after 72 calls were there last")
	r.tick(5, 0, 0)
	require.Equal(t, 1, r.spec.Replicas, "a stable window, and a panic window, after the last call")
}

// TestAFunctionThatCrashesMayGrow: another replica serves while one is down. One that has never been ready
// cannot grow: the next replicas would fail as well.
func TestAFunctionThatCrashesMayGrow(t *testing.T) {
	t.Parallel()
	for proven, want := range map[bool][]int{true: {5, 10}, false: {1, 1}} {
		r := newRig(t, 1)
		r.load.Failing, r.load.Proven = "exit code 2", proven
		r.tick(2, 1, 0)
		require.Equal(t, want, r.tick(2, 4, 400), "proven: %v", proven)
	}
}

// TestYoungRushIsNotDilutedByWhatWasBefore: in any pause that is shorter than the window its size
// stays, however little it was of the window.
func TestYoungRushIsNotDilutedByWhatWasBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.tick(40, 0, 0)
	require.Equal(t, 5, r.tick(4, 20, 0)[3], "a rush of a second, in a window of four")
	require.Equal(t, 5, r.tick(12, 0, 0)[11], "a pause")
	r.tick(4, 20, 0)
	require.Equal(t, 5, r.tick(16, 0, 0)[15], "the last look that needed it counts")
	require.Equal(t, 1, r.tick(5, 0, 0)[4], "and then the panic window forgets it")

	// who wants to shrink sooner shrinks by the mean of the rush, and not of the window
	r = newRig(t, 1, "down.window", "1s")
	r.tick(40, 0, 0)
	require.Equal(t, 5, r.tick(6, 20, 0)[5])
	require.Equal(t, 4, r.tick(7, 0, 0)[6], "a second ago it was 20 for 1.5 s of 2.25 s, 13.3 on average")
}

func TestSleepsAfterTheIdleTimeAndIsNotLookedAtThen(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, "zero", "true", "zero-duration", "2s")
	r.tick(4, 1, 0)
	require.Equal(t, 1, r.tick(7, 0, 0)[6])
	require.Equal(t, 0, r.tick(1, 0, 0)[0], "2 s after the last call")
	asked := r.asked
	require.Equal(t, 0, r.tick(4, 0, 0)[3])
	require.Equal(t, asked, r.asked, "one that sleeps costs nothing")
	require.Nil(t, r.functions[oven].samples)
	r.wake()
	require.Equal(t, 1, r.tick(6, 0, 0)[5], "the idle time begins anew")
	require.Equal(t, 0, r.tick(3, 0, 0)[2])
}

func TestRestartBeginsAtThePresentSize(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	require.Equal(t, 8, r.tick(16, 1, 0)[15], "not a whole stable window is known")
	require.Equal(t, 1, r.tick(2, 1, 0)[1])
}

func TestOperatorsSizeStaysForAStableWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.tick(40, 6, 0)
	require.Equal(t, 2, r.spec.Replicas)
	r.byHand(6)
	require.Equal(t, 6, r.tick(16, 6, 0)[15], "whatever was seen before")
	require.Equal(t, 2, r.tick(2, 6, 0)[1], "what is not needed goes then")
	r.byHand(1)
	require.Equal(t, 1, r.tick(16, 24, 100)[15], "nor does it grow")
	require.Greater(t, r.tick(1, 24, 100)[0], 1)
	r.byHand(0)
	require.Equal(t, 0, r.tick(40, 6, 50)[39], "asleep by hand stays asleep until a call wakes it")
	r.wake()
	require.Greater(t, r.tick(2, 24, 0)[1], 1, "a call has woken it: then it grows as any other")
}

// TestOperatorsSizeIsKept: for a stable window, by all that changes sizes without being asked.
func TestOperatorsSizeIsKept(t *testing.T) {
	t.Parallel()
	t.Run("by a decision about the same number that was made before", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 4)
		r.tick(16, 1, 0)
		r.decided = func() { r.decided = nil; r.byHand(4) }
		require.Equal(t, 4, r.tick(1, 1, 0)[0], "the decision to shrink came first, and is applied last")
		require.Nil(t, r.decided)
		require.Equal(t, 4, r.tick(15, 1, 0)[14])
		require.Equal(t, 1, r.tick(2, 1, 0)[1])
	})
	t.Run("by the idle time", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 1, "zero", "true", "zero-duration", "6s")
		r.tick(23, 0, 0)
		r.byHand(3)
		require.Equal(t, 3, r.tick(16, 0, 0)[15], "it was idle for almost as long as it may be")
		require.Equal(t, 1, r.tick(4, 0, 0)[3])
		require.Equal(t, 0, r.tick(6, 0, 0)[5], "it is idle since then")
	})
	t.Run("by a warm time", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 0)
		(*r.spec.Annotations)["com.hearth.warm"] = "3 from * * * * * for 10m"
		r.spec = hearthtest.Parse(r.spec)
		r.byHand(0)
		require.Equal(t, 0, r.tick(16, 0, 0)[15])
		require.Equal(t, 3, r.tick(5, 0, 0)[4])
	})
	t.Run("by an update", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 1)
		r.tick(40, 1, 0)
		r.byHand(5)
		r.tick(4, 1, 0)
		r.mu.Lock()
		r.spec.Revision = "2"
		r.change++
		r.Set(r.spec, r.change)
		r.mu.Unlock()
		require.Equal(t, 5, r.tick(12, 1, 0)[11])
		require.Equal(t, 1, r.tick(3, 1, 0)[2])
	})
}

func TestRedisAwayOrAFailedChangeIsNoReasonToStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.away = errors.New("away")
	require.Equal(t, 5, r.tick(5, 20, 1000)[4], "queues count as empty, and calls in flight do not")
	r.refuse = hearth.Errorf(hearth.Unavailable, "no memory")
	r.away = nil
	require.Equal(t, 5, r.tick(1, 20, 1000)[0])
	r.refuse = nil
	require.Equal(t, 10, r.tick(1, 20, 1000)[0], "it is tried again")
}

func TestProcessorTimeIsMeasuredOfThoseThatFollowIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, "type", "cpu", "target", "500")
	r.tick(12, 1, 0)
	require.Equal(t, 5, r.spec.Replicas, "1900 thousandths of a core, 450 for each")
}

func TestDownWindowHoldsTheMostThatWasWanted(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, "down.window", "10s")
	r.tick(8, 40, 0)
	require.Equal(t, 10, r.spec.Replicas)
	require.Equal(t, 10, r.tick(40, 0, 0)[39])
	require.Equal(t, 1, r.tick(20, 0, 0)[19])
}

func TestDeletedFunctionIsForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.Delete(oven)
	require.Equal(t, 1, r.tick(4, 50, 50)[3])
	require.Empty(t, r.sizes)
}

func TestStartAndStopManyTimes(t *testing.T) {
	t.Parallel()
	for range 50 {
		r := newRig(t, 1)
		r.cfg.Tick = time.Millisecond
		for range 2 {
			require.NoError(t, r.Start(t.Context()))
		}
		for range 2 {
			require.NoError(t, r.Stop(t.Context()))
		}
		require.Error(t, r.Start(t.Context()), "it was stopped")
	}
	require.NoError(t, newRig(t, 1).Stop(t.Context()))
}

func TestNewRefusesAConfigThatLacksSomething(t *testing.T) {
	t.Parallel()
	for name, lack := range map[string]func(*Config){
		"Load":    func(c *Config) { c.Load = nil },
		"Backlog": func(c *Config) { c.Backlog = nil },
		"Waiting": func(c *Config) { c.Waiting = nil },
		"Scale":   func(c *Config) { c.Scale = nil },
		"Log":     func(c *Config) { c.Log = nil },
		"Tick":    func(c *Config) { c.Tick = -1 },
		"Stable":  func(c *Config) { c.Stable = -1 },
		"Panic":   func(c *Config) { c.Panic = -1 },
		"Drain":   func(c *Config) { c.Drain = -1 },
	} {
		cfg := newRig(t, 1).cfg
		lack(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, name)
	}
}
