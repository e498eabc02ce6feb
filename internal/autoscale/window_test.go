package autoscale

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

const tick = 250 * time.Millisecond

// life is what a function does, tick by tick: so many calls in flight, and so many that come.
func life(window time.Duration, ticks ...[2]int) (l samples) {
	at, calls, load := now, uint64(0), time.Duration(0)
	l = l.add(sampleOf(router.Load{}, 0, at), window)
	for _, t := range ticks {
		at = at.Add(tick)
		load += time.Duration(t[0]) * tick
		calls += uint64(t[1])
		l = l.add(sampleOf(router.Load{Calls: calls, InFlight: t[0], LoadTime: load, BusyTime: load},
			load.Seconds()*1000, at), window)
	}
	return l
}

func TestAveragesAreOfTheirWindow(t *testing.T) {
	t.Parallel()
	l := life(4*tick, [2]int{1, 1}, [2]int{1, 0}, [2]int{5, 4}, [2]int{5, 0}, [2]int{9, 4})
	require.Equal(t, Average{Whole: true, InFlight: 9, Busy: 9, Rate: 16, CPU: 9000}, l.average(tick))
	require.Equal(t, Average{Whole: true, InFlight: 7, Busy: 7, Rate: 8, CPU: 7000}, l.average(2*tick))
	require.Equal(t, Average{Whole: true, InFlight: 5, Busy: 5, Rate: 8, CPU: 5000}, l.average(4*tick))
	require.False(t, l.average(time.Hour).Whole)
	require.Equal(t, Average{}, samples(nil).average(tick))
	require.Equal(t, Average{}, life(tick).average(tick), "one sample is no window")
}

func TestOnlyWhatTheLongestWindowNeedsIsKept(t *testing.T) {
	t.Parallel()
	ticks := make([][2]int, 1000)
	l := life(10*tick, ticks...)
	require.Len(t, l, 11)
	require.True(t, l.average(10*tick).Whole)
}

func TestCountersThatGoBackBeginAnew(t *testing.T) {
	t.Parallel()
	l := life(4*tick, [2]int{1, 10}, [2]int{1, 10})
	l = l.add(sampleOf(router.Load{Calls: 1}, 0, now.Add(time.Minute)), 4*tick)
	require.Len(t, l, 1)
}

func TestRunTimeIsOfTheCallsThatWereUnderWay(t *testing.T) {
	t.Parallel()
	require.Zero(t, life(4*tick).runTime(4*tick))
	require.Zero(t, life(4*tick, [2]int{0, 0}).runTime(4*tick))
	require.Equal(t, tick/4, life(4*tick, [2]int{1, 4}, [2]int{1, 4}).runTime(4*tick),
		"4 calls a tick, one after the other")
	require.Equal(t, 2*tick, life(4*tick, [2]int{3, 3}, [2]int{3, 0}).runTime(4*tick),
		"3 calls that have not ended: so far")
}

// TestPeakIsTheLargestOfItsWindow compares the sliding-window maximum with looking at all values.
func TestPeakIsTheLargestOfItsWindow(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var p peak
	values := []int{}
	for i := range 5000 {
		v := rnd.IntN(50)
		values = append(values, v)
		p = p.add(v, now.Add(time.Duration(i)*tick), 20*tick)
		highest := 0
		for _, v := range values[max(0, i-20):] {
			highest = max(highest, v)
		}
		require.Equal(t, highest, p.highest())
	}
	require.Zero(t, peak(nil).highest())
}
