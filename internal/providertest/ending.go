package providertest

import (
	"context"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

// awaitGone waits until the replicas of a removed function have ended.
func (s *subject) awaitGone(gone <-chan struct{}) {
	s.t.Helper()
	select {
	case <-gone:
	case <-time.After(patience):
		s.t.Fatal("waited in vain for the replicas of a removed function to end")
	}
}

// replicasThatEnd returns the ending replicas of the function under test.
func (s *subject) replicasThatEnd() []hearth.Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending[hearth.Name{Function: "probe", Namespace: "openfaas-fn"}]
}

// oneCallAtOnce lets a test see that a replica has a call: it refuses another one.
func oneCallAtOnce(f *hearth.Function) {
	f.EnvVars["max_inflight"], f.EnvVars["write_timeout"] = "1", "20s"
}

// keepBusy gives a replica of a function with oneCallAtOnce a call of three seconds, and returns when it has
// it.
func (s *subject) keepBusy(r hearth.Replica) (answered <-chan error) {
	s.t.Helper()
	done := make(chan error, 1)
	go func() {
		for { // the test call below may come first, so that this one is refused
			_, err := Call(context.WithoutCancel(s.t.Context()), r, "sleep=3s", "")
			if err == nil || !strings.Contains(err.Error(), "429") {
				done <- err
				return
			}
		}
	}()
	require.Eventually(s.t, func() bool {
		_, err := Call(s.t.Context(), r, "", "")
		return err != nil && strings.Contains(err.Error(), "429")
	}, patience, time.Millisecond, "a replica that is busy refuses another call")
	return done
}

func tellsOfEnding(s *subject) {
	s.apply(s.function(1, oneCallAtOnce))
	r := s.await("one replica", ready(1))[0]
	answered := s.keepBusy(r)
	s.apply(s.function(0, oneCallAtOnce))
	list := s.replicasThatEnd()
	require.Len(s.t, list, 1, "it is told of at once")
	require.Equal(s.t, r.ID, list[0].ID)
	require.False(s.t, list[0].Accepting)
	require.False(s.t, list[0].Ready)
	require.Empty(s.t, s.replicas())
	s.awaitGone(s.Provider.Remove(s.function(0).Name()))
	require.Empty(s.t, s.replicasThatEnd())
	select {
	case err := <-answered:
		require.NoError(s.t, err)
	default:
		s.t.Fatal("the replica is gone, and its call was not answered")
	}
}

func appliesWhileDraining(s *subject) {
	s.apply(s.function(1, oneCallAtOnce))
	old := s.await("one replica", ready(1))[0]
	answered := s.keepBusy(old)
	gone := s.Provider.Remove(s.function(1).Name())
	require.Equal(s.t, old.ID, s.replicasThatEnd()[0].ID)
	s.apply(s.function(1, oneCallAtOnce))
	r := s.await("a replica of the new function", ready(1))[0]
	require.NotEqual(s.t, old.ID, r.ID)
	require.NotEmpty(s.t, s.ask(r, "pid"))
	require.NotEmpty(s.t, s.replicasThatEnd(), "the old one still has its call")
	select {
	case <-gone:
		s.t.Fatal("the old replica is gone, though it has a call")
	default:
	}
	s.awaitGone(gone)
	require.NoError(s.t, <-answered)
	require.True(s.t, ready(1)(s.replicas()), "the new one goes on")
	require.NotEmpty(s.t, s.ask(r, "pid"))
}
