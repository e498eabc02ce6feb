package autoscale

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

var (
	now   = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	goals = Goals{Drain: time.Second}
)

// work is a function without labels whose replicas take so many calls at once.
func work(concurrency int) hearth.Scaling {
	return hearth.Scaling{
		Target:     float64(concurrency),
		Proportion: .9,
		Min:        1,
		Max:        20,
		ZeroAfter:  15 * time.Minute,
	}
}

func by(signal hearth.Signal, target, proportion float64) hearth.Scaling {
	return hearth.Scaling{
		Signal:     signal,
		Target:     target,
		Proportion: proportion,
		Min:        1,
		Max:        20,
		ZeroAfter:  15 * time.Minute,
	}
}

// steady has been doing the same for a whole stable window.
func steady(present int, a Average) Stats {
	a.Whole = true
	return Stats{Present: present, Stable: a, Panic: a, Busy: now, Concurrency: 4}
}

func TestFormulaIsOpenFaaSs(t *testing.T) {
	t.Parallel()
	// The worked examples of https://docs.openfaas.com/architecture/autoscaling/,
	// with loads of all replicas together.
	tests := map[string]struct {
		spec    hearth.Scaling
		load    Average
		present int
		want    int
	}{
		"15 in flight, 5 each": {by(hearth.SignalCapacity, 5, 1),
			Average{InFlight: 15}, 1, 3},
		"25 in flight, 5 each": {by(hearth.SignalCapacity, 5, 1),
			Average{InFlight: 25}, 3, 5},
		"90 in flight, 70% of 100 each": {by(hearth.SignalCapacity, 100, .7),
			Average{InFlight: 90}, 1, 2},
		"exactly what one may have": {by(hearth.SignalCapacity, 10, .9),
			Average{InFlight: 9}, 1, 1},
		"225 a second, 45 each":                {by(hearth.SignalRate, 50, .9), Average{Rate: 225}, 5, 5},
		"1.8 cores, half a core each":          {by(hearth.SignalCPU, 500, .9), Average{CPU: 1800}, 4, 4},
		"nothing to do is the least, not zero": {by(hearth.SignalRate, 50, .9), Average{}, 3, 1},
		"never more than the most":             {by(hearth.SignalRate, 1, 1), Average{Rate: 1e12}, 18, 20},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, Decide(steady(test.present, test.load), test.spec,
				goals, now).Replicas)
		})
	}
}

func TestQueueSignalCountsWhatIsQueuedAndUnderWay(t *testing.T) {
	t.Parallel()
	s := steady(3, Average{InFlight: 5})
	s.Waiting, s.InFlight = 40, 5
	require.Equal(t, 5, Decide(s, by(hearth.SignalQueue, 10, .9), goals, now).Replicas)
}

func TestWithoutLabelsTheLargerOfFlightAndQueueWins(t *testing.T) {
	t.Parallel()
	s := steady(4, Average{InFlight: 16})
	require.Equal(t, 5, Decide(s, work(4), goals, now).Replicas, "16 in flight, 3.6 for a replica")
	s.InFlight, s.Waiting, s.RunTime = 16, 16, 900*time.Millisecond
	require.Equal(t, 8, Decide(s, work(4), goals, now).Replicas,
		"32 that wait or are under way, of 0.9 s each, by 4 at once, in a second")
	s.Waiting = 2
	require.Equal(t, 5, Decide(s, work(4), goals, now).Replicas, "few wait: what is in flight wants more")
}

func TestNeverMoreReplicasThanCallsToKeepThemBusy(t *testing.T) {
	t.Parallel()
	s := steady(1, Average{InFlight: 1})
	s.InFlight, s.Waiting, s.RunTime, s.Concurrency = 1, 2, time.Minute, 1
	require.Equal(t, 3, Decide(s, work(1), goals, now).Replicas)
}

func TestWaitingShortCallsNeedNoReplica(t *testing.T) {
	t.Parallel()
	s := steady(1, Average{InFlight: 1})
	s.InFlight, s.Waiting, s.RunTime = 4, 100, 5*time.Millisecond
	require.Equal(t, 1, Decide(s, work(4), goals, now).Replicas,
		"one works off 100 calls of 5 ms within a second: to wait for it is better")
}

func TestQueueIsWorkedOffBesideWhatComes(t *testing.T) {
	t.Parallel()
	s := steady(8, Average{InFlight: 32, Busy: 32})
	s.InFlight, s.Waiting, s.RunTime = 32, 80, 100*time.Millisecond
	require.Equal(t, 10, Decide(s, work(4), goals, now).Replicas,
		"80 of 0.1 s are the work of 8 for a second, and 32 have been under way all the time")
	s.Waiting = 2
	require.Equal(t, 9, Decide(s, work(4), goals, now).Replicas, "what is in flight wants more")
	s.Waiting, s.InFlight, s.RunTime = 6, 2, time.Minute
	s.Panic.InFlight, s.Panic.Busy, s.Stable.InFlight, s.Stable.Busy, s.Present = 12, 12, 2, 2, 1
	require.Equal(t, 2, drain(s, goals), "no more than the 8 that are there could keep busy")
}

func TestHeldShortCallsWaitForAFreeReplica(t *testing.T) {
	t.Parallel()
	spec := work(1)
	spec.Max = 1000
	s := steady(10, Average{InFlight: 459, Busy: 9})
	s.Concurrency, s.RunTime = 1, 20*time.Millisecond
	require.Equal(t, 50, Decide(s, spec, goals, now).Wanted,
		"36 are done with 450 of 20 ms in a quarter of a second, and 9 are under way all the time")
	s.RunTime = 250 * time.Millisecond
	require.Equal(t, 510, Decide(s, spec, goals, now).Wanted, "there is no point in waiting for longer ones")
	s.RunTime = 0
	require.Equal(t, 510, Decide(s, spec, goals, now).Wanted, "nor if nobody knows how long they are")
	spec = by(hearth.SignalCapacity, 1, .9)
	spec.Max = 1000
	s.RunTime = 20 * time.Millisecond
	require.Equal(t, 510, Decide(s, spec, goals, now).Wanted, "a label asks for the contract's formula")
}

func TestCallsOfReplicasThatEndNeedNoOther(t *testing.T) {
	t.Parallel()
	s := steady(8, Average{InFlight: 32, Busy: 32})
	s.InFlight, s.RunTime = 32, 10*time.Minute
	require.Equal(t, 9, Decide(s, work(4), goals, now).Replicas)
	s.Ending = 4
	require.Equal(t, 8, Decide(s, work(4), goals, now).Replicas, "28 are left for 8")
	s.Present, s.Ending = 7, 2
	require.Equal(t, 9, Decide(s, work(4), goals, now).Replicas, "30 are left for 7")
	s.Present, s.Ending = 9, 30
	require.Equal(t, 9, Decide(s, work(4), goals, now).Replicas,
		"they are no reason to shrink: the next one to end would be a reason for the next")
}

func TestPanicWindowGrowsAndNeverShrinks(t *testing.T) {
	t.Parallel()
	s := steady(2, Average{InFlight: 6})
	s.Panic.InFlight = 30
	require.Equal(t, 6, Decide(s, work(4), goals, now).Replicas,
		"grows by what has just come, as fast as it may")
	s.Present, s.Panic.InFlight = 2, 0
	require.Equal(t, 2, Decide(s, work(4), goals, now).Replicas, "a pause is no reason to shrink")
	s.Present, s.Stable.InFlight, s.Panic.InFlight = 9, 3, 30
	require.Equal(t, 9, Decide(s, work(4), goals, now).Replicas,
		"nor does it shrink while the panic window needs it")
}

func TestGrowthIsLimitedInEachTick(t *testing.T) {
	t.Parallel()
	spec := work(4)
	spec.Max = 100
	for present, want := range map[int]int{1: 5, 2: 6, 4: 8, 5: 10, 30: 60, 90: 100} {
		require.Equal(t, want, Decide(steady(present, Average{InFlight: 1e6}), spec, goals, now).Replicas,
			"from %d", present)
	}
}

func TestShrinksOnlyWhenAWholeWindowIsKnown(t *testing.T) {
	t.Parallel()
	s := steady(7, Average{InFlight: 1})
	s.Stable.Whole = false
	require.Equal(t, 7, Decide(s, work(4), goals, now).Replicas, "as after a restart")
	s.Stable.InFlight = 40
	require.Equal(t, 12, Decide(s, work(4), goals, now).Replicas, "but it may grow")
}

func TestOperatorsSizeIsNotChangedBeforeItsTime(t *testing.T) {
	t.Parallel()
	g := goals
	g.Keep = 30 * time.Second
	zero := work(4)
	zero.Zero = true
	for name, test := range map[string]struct {
		spec   hearth.Scaling
		change func(*Stats)
		then   int // when the time is over
	}{
		"grows":                {work(4), func(s *Stats) { s.Panic.InFlight = 30 }, 8},
		"shrinks":              {work(4), func(s *Stats) { s.Stable.InFlight, s.Panic.InFlight = 1, 1 }, 1},
		"sleeps":               {zero, func(s *Stats) { s.Busy = now.Add(-time.Hour) }, 0},
		"is warm by the clock": {work(4), func(s *Stats) { s.Warm = 9 }, 9},
		"wakes by the clock":   {work(4), func(s *Stats) { s.Present, s.Warm = 0, 9 }, 9},
	} {
		s := steady(4, Average{InFlight: 14})
		test.change(&s)
		s.ByHand = now.Add(time.Millisecond - g.Keep)
		d := Decide(s, test.spec, g, now)
		require.Equal(t, s.Present, d.Replicas, name)
		s.ByHand = now.Add(-g.Keep)
		require.Equal(t, test.then, Decide(s, test.spec, g, now).Replicas, name)
		require.Equal(t, d.Wanted, Decide(s, test.spec, g, now).Wanted,
			"what the load wants is seen meanwhile")
	}
}

func TestDownWindowKeepsTheMostThatWasWanted(t *testing.T) {
	t.Parallel()
	s := steady(9, Average{InFlight: 1})
	s.Highest = 6
	require.Equal(t, 6, Decide(s, work(4), goals, now).Replicas)
	s.Highest = 12
	require.Equal(t, 9, Decide(s, work(4), goals, now).Replicas,
		"it is about shrinking, and makes nothing grow")
}

func TestFailingFunctionDoesNotGrow(t *testing.T) {
	t.Parallel()
	s := steady(2, Average{InFlight: 100})
	s.Waiting, s.Failing = 100, true
	require.Equal(t, 2, Decide(s, work(4), goals, now).Replicas)
	s = steady(5, Average{InFlight: 1})
	s.Failing = true
	require.Equal(t, 1, Decide(s, work(4), goals, now).Replicas, "but it shrinks")
}

func TestSleepsOnlyByTheIdleTimer(t *testing.T) {
	t.Parallel()
	idle := steady(1, Average{})
	idle.Busy = now.Add(-15 * time.Minute)
	spec := work(4)
	require.Equal(t, 1, Decide(idle, spec, goals, now).Replicas, "no label lets it")
	spec.Zero = true
	require.Equal(t, 0, Decide(idle, spec, goals, now).Replicas)
	for name, change := range map[string]func(*Stats){
		"too early":         func(s *Stats) { s.Busy = now.Add(time.Millisecond - 15*time.Minute) },
		"a call under way":  func(s *Stats) { s.InFlight = 1 },
		"a call that waits": func(s *Stats) { s.Waiting = 1 },
		"in its warm time":  func(s *Stats) { s.Warm = 1 },
	} {
		s := idle
		change(&s)
		require.Equal(t, 1, Decide(s, spec, goals, now).Replicas, name)
	}
}

func TestOneThatSleepsIsWokenByCallsAndClockOnly(t *testing.T) {
	t.Parallel()
	s := steady(0, Average{InFlight: 100})
	s.Waiting = 100
	require.Equal(t, 0, Decide(s, work(4), goals, now).Replicas, "the router wakes it for a call")
	s.Warm = 3
	require.Equal(t, 3, Decide(s, work(4), goals, now).Replicas)
}

func TestWarmFloorLiftsAtOnceButNotAboveTheMost(t *testing.T) {
	t.Parallel()
	s := steady(1, Average{})
	s.Warm = 12
	require.Equal(t, 12, Decide(s, work(4), goals, now).Replicas)
	s.Warm = 50
	require.Equal(t, 20, Decide(s, work(4), goals, now).Replicas)
}

func TestSameLeastAndMostSwitchesScalingOff(t *testing.T) {
	t.Parallel()
	spec := work(4)
	spec.Min, spec.Max, spec.Zero = 3, 3, true
	s := steady(2, Average{InFlight: 100})
	require.Equal(t, 2, Decide(s, spec, goals, now).Replicas, "an operator's number stays")
	s = steady(3, Average{})
	s.Busy = now.Add(-time.Hour)
	require.Equal(t, 0, Decide(s, spec, goals, now).Replicas, "it may sleep all the same")
}

// FuzzDecide: whatever is measured, the size stays within its bounds, and is not changed without reason.
func FuzzDecide(f *testing.F) {
	f.Add(1, 1, 20, 5.0, 50.0, 3, 4, int64(time.Second), false, true)
	f.Add(0, 0, 1, 0.0, 1e300, 1<<40, 0, int64(-5), true, false)
	f.Fuzz(func(t *testing.T, present, least, most int, stable, panics float64, waiting, warm int, run int64,
		failing, zero bool) {
		most = max(1, min(most, 1000))
		spec := hearth.Scaling{
			Target:     4,
			Proportion: .9,
			Min:        max(1, min(least, most)),
			Max:        most,
			Zero:       zero,
			ZeroAfter:  time.Minute,
		}
		s := Stats{
			Present:     max(0, min(present, most)),
			Failing:     failing,
			Warm:        max(0, min(warm, 1000)),
			Waiting:     max(0, waiting),
			RunTime:     time.Duration(max(0, run)),
			Stable:      Average{Whole: true, InFlight: max(0, stable)},
			Panic:       Average{InFlight: max(0, panics)},
			Concurrency: 4,
			Busy:        now,
		}
		d := Decide(s, spec, goals, now)
		require.GreaterOrEqual(t, d.Replicas, 0)
		require.LessOrEqual(t, d.Replicas, most)
		if s.Present > 0 {
			require.Positive(t, d.Replicas, "it was busy just now")
		}
		if failing && s.Present > 0 {
			require.LessOrEqual(t, d.Replicas, s.Present)
		}
		again := s
		again.Present = d.Replicas
		if d.Replicas == d.Wanted && !spec.Fixed() {
			require.Equal(t, d.Replicas, Decide(again, spec, goals, now).Replicas, "what is wanted is stable")
		}
	})
}
