package replicaset_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/replicaset"
	"github.com/stretchr/testify/require"
)

// fake is a replica that does nothing, and ends when it is told to.
type fake struct {
	set     *set
	mu      sync.Mutex
	state   hearth.Replica
	ended   time.Time // when it was told to end
	killed  bool
	stays   bool // it does not end by itself
	done    chan struct{}
	changed func()
}

func (r *fake) State() hearth.Replica { r.mu.Lock(); defer r.mu.Unlock(); return r.state }
func (r *fake) Wake()                 {}
func (r *fake) Done() <-chan struct{} { return r.done }

func (r *fake) End() {
	if !r.set.closing.Load() && slices.Contains(r.set.told(), r.state.ID) {
		r.set.t.Errorf("%s ends before the watcher knows", r.state.ID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended.IsZero() {
		if r.ended = time.Now(); !r.stays {
			close(r.done)
		}
	}
}

func (r *fake) Crash() {}

func (r *fake) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.killed {
		r.killed = true
		close(r.done)
	}
}

func (r *fake) endedAt() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.ended }

func (r *fake) getReady() {
	r.mu.Lock()
	r.state.Ready, r.state.Accepting = true, true
	r.mu.Unlock()
	r.changed()
}

// set is a manager, and what it did.
type set struct {
	*replicaset.Manager[string]
	t  *testing.T
	mu sync.Mutex

	replicas []*fake
	at       []string // what the watcher was told last
	ending   []string // and which are ending
	gone     []hearth.Name
	closing  atomic.Bool
}

func newSet(t *testing.T) *set {
	s := &set{t: t}
	start := func(f hearth.Function, _ string, number int, _ bool,
		changed func()) (replicaset.Replica, error) {
		r := &fake{set: s, done: make(chan struct{}), changed: changed}
		r.state = hearth.Replica{ID: fmt.Sprint(f.Revision, "-", number), Revision: f.Revision,
			Calls: &hearth.Calls{}}
		s.replicas = append(s.replicas, r)
		return r, nil
	}
	s.Manager = replicaset.New(replicaset.Config[string]{Start: start,
		Gone: func(n hearth.Name) { s.gone = append(s.gone, n) }, Log: slog.New(slog.DiscardHandler)})
	s.Watch(func(_ hearth.Name, list []hearth.Replica) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.at, s.ending = nil, nil
		for _, r := range list {
			if r.Ending {
				s.ending = append(s.ending, r.ID)
			} else {
				s.at = append(s.at, r.ID)
			}
		}
	})
	return s
}

func (s *set) close() {
	s.closing.Store(true)
	s.Close(context.Background())
}

func (s *set) toldEnding() []string { s.mu.Lock(); defer s.mu.Unlock(); return s.ending }

func (s *set) told() []string { s.mu.Lock(); defer s.mu.Unlock(); return s.at }

func function(revision string, replicas int) hearth.Function {
	f := hearth.Function{Replicas: replicas, Revision: revision}
	f.Service, f.Namespace, f.EnvVars = "oven", "openfaas-fn", map[string]string{"write_timeout": "10s"}
	return hearthtest.Parse(f)
}

// TestReplicasEndAfterTheirCalls: whatever takes a replica out of service, it goes on until the calls are
// over that the router had given it. These may still be on their way to it.
func TestReplicasEndAfterTheirCalls(t *testing.T) {
	tests := map[string]func(s *set) error{
		"scaled to zero": func(s *set) error { return s.Apply(function("r1", 0), "") },
		"updated": func(s *set) error {
			err := s.Apply(function("r2", 1), "")
			s.replicas[len(s.replicas)-1].getReady()
			return err
		},
		"removed": func(s *set) error {
			s.Remove(function("r1", 0).Name())
			return nil
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSet(t)
				require.NoError(t, s.Apply(function("r1", 1), ""))
				one := s.replicas[0]
				one.getReady()
				one.state.Calls.Begin()
				require.NoError(t, change(s))
				synctest.Wait()
				require.NotContains(t, s.told(), one.state.ID)
				time.Sleep(4 * time.Second)
				require.Zero(t, one.endedAt(), "it has a call")
				one.state.Calls.End()
				synctest.Wait()
				require.Equal(t, time.Now(), one.endedAt())
				s.close()
			})
		})
	}
}

// TestReplicasEndThoughACallGoesOn: the replica itself lets its calls end, for the other half of its time.
func TestReplicasEndThoughACallGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t)
		require.NoError(t, s.Apply(function("r1", 1), ""))
		one := s.replicas[0]
		one.getReady()
		one.state.Calls.Begin()
		began := time.Now()
		require.NoError(t, s.Apply(function("r1", 0), ""))
		time.Sleep(time.Minute)
		require.Equal(t, 5*time.Second, one.endedAt().Sub(began))
		s.close()
	})
}

// TestRemovingDoesNotWait: a function of the same name may be applied while the replicas of the one before go
// on, and they are told of until they are gone.
func TestRemovingDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t)
		name := function("r1", 1).Name()
		require.NoError(t, s.Apply(function("r1", 1), ""))
		one := s.replicas[0]
		one.stays = true
		one.getReady()
		gone := s.Remove(name)
		again := s.Remove(name)
		require.NoError(t, s.Apply(function("r1", 1), ""))
		two := s.replicas[1]
		require.NotEqual(t, one.state.ID, two.state.ID, "though it is of the same revision")
		require.Equal(t, []string{two.state.ID}, s.told())
		require.Equal(t, []string{one.state.ID}, s.toldEnding())
		time.Sleep(time.Hour)
		for _, c := range []<-chan struct{}{gone, again} {
			select {
			case <-c:
				require.Fail(t, "it is still there")
			default:
			}
		}
		one.Kill()
		<-gone
		<-again
		require.Empty(t, s.toldEnding())
		require.Equal(t, []string{two.state.ID}, s.told(), "the new one goes on")
		require.Empty(t, s.gone, "there is a function of that name")
		<-s.Remove(name)
		require.Equal(t, []hearth.Name{name}, s.gone)
		<-s.Remove(name)
		s.close()
	})
}
