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
	closing  atomic.Bool
}

func newSet(t *testing.T) *set {
	s := &set{t: t}
	start := func(f hearth.Function, _ string, number int, _ bool, changed func()) (replicaset.Replica, error) {
		r := &fake{set: s, done: make(chan struct{}), changed: changed}
		r.state = hearth.Replica{ID: fmt.Sprint(f.Revision, "-", number), Revision: f.Revision, Calls: &hearth.Calls{}}
		s.replicas = append(s.replicas, r)
		return r, nil
	}
	s.Manager = replicaset.New(replicaset.Config[string]{Start: start, Log: slog.New(slog.DiscardHandler)})
	s.Watch(func(_ hearth.Name, list []hearth.Replica) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.at = nil
		for _, r := range list {
			s.at = append(s.at, r.ID)
		}
	})
	return s
}

func (s *set) close() {
	s.closing.Store(true)
	s.Close(context.Background())
}

func (s *set) told() []string { s.mu.Lock(); defer s.mu.Unlock(); return s.at }

func function(revision string, replicas int) hearth.Function {
	f := hearth.Function{Replicas: replicas, Revision: revision}
	f.Service, f.Namespace, f.EnvVars = "oven", "openfaas-fn", map[string]string{"write_timeout": "10s"}
	return f
}

// TestReplicasEndAfterTheirCalls: whatever takes a replica out of service, it goes on until the calls are over that the router had
// given it. These may still be on their way to it.
func TestReplicasEndAfterTheirCalls(t *testing.T) {
	tests := map[string]func(s *set) error{
		"scaled to zero": func(s *set) error { return s.Apply(function("r1", 0), "") },
		"updated": func(s *set) error {
			err := s.Apply(function("r2", 1), "")
			s.replicas[len(s.replicas)-1].getReady()
			return err
		},
		"removed": func(s *set) error {
			go func() { _ = s.Remove(context.Background(), function("r1", 0).Name()) }()
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

func TestRemovingDoesNotWaitLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(t)
		require.NoError(t, s.Apply(function("r1", 1), ""))
		one := s.replicas[0]
		one.stays = true
		one.getReady()
		one.state.Calls.Begin()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, s.Remove(ctx, function("r1", 1).Name()))
		require.True(t, one.killed)
		s.close()
	})
}
