package providertest

import (
	"context"
	"io"
	"strings"
	"testing"
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

// oneCallAtOnce lets a test see that a replica has a call: it refuses another one. A call may take as long as
// a test waits.
func oneCallAtOnce(f *hearth.Function) {
	f.EnvVars["max_inflight"] = "1"
	f.EnvVars["read_timeout"], f.EnvVars["write_timeout"] = patience.String(), patience.String()
}

// An Open call is one that a replica has, and that lasts until the test ends it: its body is not complete.
type Open struct {
	body     *io.PipeWriter
	answered chan error
}

// OpenCall starts a call of a replica. It may be refused: see RequireAnswered.
func OpenCall(ctx context.Context, r hearth.Replica) *Open {
	o := &Open{answered: make(chan error, 1)}
	var body *io.PipeReader
	body, o.body = io.Pipe()
	go func() {
		_, err := call(ctx, r, "", body)
		o.answered <- err
	}()
	return o
}

// End ends the call, which is then answered.
func (o *Open) End() { _ = o.body.Close() }

// RequireAnswered checks that the call was answered. A call whose replica ended without an answer has an
// error.
func (o *Open) RequireAnswered(t *testing.T) {
	t.Helper()
	select {
	case err := <-o.answered:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatal("the call was not answered")
	}
}

// keepBusy gives a replica of a function with oneCallAtOnce a call, and returns when it has it.
func (s *subject) keepBusy(r hearth.Replica) *Open {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	open := OpenCall(ctx, r)
	s.t.Cleanup(open.End)
	require.Eventually(s.t, func() bool {
		_, err := Call(s.t.Context(), r, "", "")
		if err != nil && strings.Contains(err.Error(), "429") {
			return true
		}
		select {
		case err := <-open.answered: // the call before this one came first, so that the open one was refused
			require.ErrorContains(s.t, err, "429")
			open = OpenCall(ctx, r)
			s.t.Cleanup(open.End)
		default:
		}
		return false
	}, patience, time.Millisecond, "a replica that is busy refuses another call")
	return open
}

func tellsOfEnding(s *subject) {
	s.apply(s.function(1, oneCallAtOnce))
	r := s.await("one replica", ready(1))[0]
	open := s.keepBusy(r)
	s.apply(s.function(0, oneCallAtOnce))
	list := s.replicasThatEnd()
	require.Len(s.t, list, 1, "it is told of at once")
	require.Equal(s.t, r.ID, list[0].ID)
	require.False(s.t, list[0].Accepting)
	require.False(s.t, list[0].Ready)
	require.Empty(s.t, s.replicas())
	gone := s.Provider.Remove(s.function(0).Name())
	require.NotEmpty(s.t, s.replicasThatEnd(), "it has its call")
	open.End()
	s.awaitGone(gone)
	require.Empty(s.t, s.replicasThatEnd())
	open.RequireAnswered(s.t)
}

func appliesWhileDraining(s *subject) {
	s.apply(s.function(1, oneCallAtOnce))
	old := s.await("one replica", ready(1))[0]
	open := s.keepBusy(old)
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
	open.End()
	s.awaitGone(gone)
	open.RequireAnswered(s.t)
	require.True(s.t, ready(1)(s.replicas()), "the new one goes on")
	require.NotEmpty(s.t, s.ask(r, "pid"))
}
