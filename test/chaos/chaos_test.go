package main

import (
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/stretchr/testify/require"
)

// TestNothingIsLostAndNothingHappensTwice runs make chaos for a minute, in which
// about every kind of fault occurs.
func TestNothingIsLostAndNothingHappensTwice(t *testing.T) {
	built := t.TempDir()
	require.NoError(t, build(built, false))
	for _, seed := range chaintest.Seeds(t, 1) {
		c := config{
			Seed:     seed,
			Duration: 45 * time.Second,
			Settle:   4 * time.Minute,
			Rate:     60,
			Hearths:  1,
			Progress: t.Output(),
		}
		rep, err := run(t.Context(), c, built)
		require.NoError(t, err)
		var table strings.Builder
		rep.show(&table)
		t.Logf("\n%s", &table)
		require.Empty(t, rep.Wrong, "again with: make chaos ARGS='%s'", c.flags())
		require.NotZero(t, rep.Total.Times, "there were no faults")
		require.NotZero(t, rep.Total.Done, "nothing was done")
	}
}

func TestSameSeedMakesTheSameSchedule(t *testing.T) {
	t.Parallel()
	for _, seed := range chaintest.Seeds(t, 20) {
		once := schedule(seed, 5*time.Minute, kinds)
		require.Equal(t, once, schedule(seed, 5*time.Minute, kinds))
		require.NotEqual(t, once, schedule(seed+1, 5*time.Minute, kinds))
		seen, until := map[string]bool{}, map[string]time.Duration{}
		for i, f := range once {
			seen[f.name] = true
			require.LessOrEqual(t, f.end(), 5*time.Minute)
			require.True(t, i == 0 || once[i-1].at <= f.at, "in their order")
			require.LessOrEqual(t, until[f.on], f.at, "%s: two at once on the same", f.name)
			until[f.on] = f.end()
		}
		require.Len(t, seen, len(kinds), "each kind comes")
		for _, f := range schedule(seed, time.Minute, kinds) {
			require.False(t, f.long)
		}
		for i, f := range soak(seed, time.Minute) {
			require.Equal(t, time.Duration(i+1)*soakEvery, f.at)
			require.Less(t, f.length, soakEvery)
		}
	}
}

func TestPausesAreBlamedOnFaults(t *testing.T) {
	t.Parallel()
	at := func(s float64) time.Time { return time.UnixMilli(int64(s * 1000)) }
	all := []happening{
		{Kind: "a", Begin: at(1), End: at(2), breaks: true},
		{Kind: "skipped", Begin: at(3), End: at(4), Skipped: true, breaks: true},
		{Kind: "b", Begin: at(10), End: at(11)},
	}
	require.Equal(t, calm, during(all, at(0)))
	require.Equal(t, "a", during(all, at(5)))
	require.Equal(t, "b", during(all, at(12)))
	require.Equal(t, "a", blame(all, at(0.9), at(12)), "the first that began in it")
	require.Equal(t, "a", blame(all, at(1.5), at(12)), "the active one")
	require.Equal(t, "a", blame(all, at(5), at(6)), "the last before it")
	require.Equal(t, "b", blame(all, at(5), at(11)))
	require.True(t, broken(all, at(0), at(1.5)))
	require.True(t, broken(all, at(3), at(4)), "a little later, too")
	require.False(t, broken(all, at(9), at(12)))
}
