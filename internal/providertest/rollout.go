package providertest

import (
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

// failure waits until a rollout has failed, and returns why.
func (s *subject) failure() string {
	s.t.Helper()
	select {
	case why := <-s.failed:
		return why
	case <-time.After(patience):
		require.Fail(s.t, "nobody told that the rollout failed")
		return ""
	}
}

func rollsBack(s *subject) {
	s.apply(s.function(2))
	old := s.await("two replicas", ready(2))
	s.apply(s.function(2, func(f *hearth.Function) {
		f.Revision = "r2"
		f.EnvVars["FAIL_START"] = "no flour"
	}))
	require.Contains(s.t, s.failure(), "no flour")
	at := time.Now().UTC()
	f, ok := s.Provider.Rollback(s.function(2).Name(), at)
	require.True(s.t, ok)
	require.Equal(s.t, at, f.DeployedAt)
	require.Equal(s.t, "hello", f.EnvVars["GREETING"])
	require.NotContains(s.t, f.EnvVars, "FAIL_START")
	list := s.await("the two as before", func(list []hearth.Replica) bool {
		return len(list) == 2 && ready(2)(list)
	})
	require.ElementsMatch(s.t, []string{old[0].ID, old[1].ID}, []string{list[0].ID, list[1].ID},
		"they went on meanwhile")
	_, ok = s.Provider.Rollback(s.function(2).Name(), at)
	require.False(s.t, ok, "there is nothing to go back from")

	s.apply(s.function(3, func(g *hearth.Function) { g.DeployedAt = at }))
	s.await("three of the same", func(list []hearth.Replica) bool {
		return ready(3)(list) && list[0].Revision == old[0].Revision && list[2].Revision == old[0].Revision
	})
}

func rollsBackNothing(s *subject) {
	n := s.function(1).Name()
	_, ok := s.Provider.Rollback(n, time.Now())
	require.False(s.t, ok, "a function that is not there")
	s.apply(s.function(1, func(f *hearth.Function) { f.EnvVars["FAIL_START"] = "no" }))
	s.await("a failing one", func(list []hearth.Replica) bool {
		return len(list) > 0 && list[0].Failing != ""
	})
	_, ok = s.Provider.Rollback(n, time.Now())
	require.False(s.t, ok, "there was none before")
	s.apply(s.function(1, func(f *hearth.Function) { f.Revision = "r2" }))
	s.await("one that is ready", func(list []hearth.Replica) bool { return len(list) == 1 && ready(1)(list) })
	_, ok = s.Provider.Rollback(n, time.Now())
	require.False(s.t, ok, "it is ready")
	require.Empty(s.t, s.failed)
}
