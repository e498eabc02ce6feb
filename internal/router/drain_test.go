package router_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

// ends are the lives of functions that a router has told of.
type ends struct {
	counted
	mu      sync.Mutex
	load    func() router.Load // set when it is removed
	drained []router.Load
}

func (e *ends) Removed(load func() router.Load) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.load = load
}

func (e *ends) Drained(last router.Load) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drained = append(e.drained, last)
}

func (e *ends) over() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.drained)
}

// waits is a replica whose calls wait until they are let go.
func waits(t *testing.T, id string) (r hearth.Replica, letGo func()) {
	t.Helper()
	release := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo)
	return serve(t, id, func(http.ResponseWriter, *http.Request) { <-release }), letGo
}

func ending(r hearth.Replica) hearth.Replica {
	r.Ending, r.Accepting, r.Ready = true, false, false
	return r
}

// TestRemovedFunctionIsCountedUntilItHasEnded: beside another that was added by its name, and each has its
// own.
func TestRemovedFunctionIsCountedUntilItHasEnded(t *testing.T) {
	t.Parallel()
	var lives []*ends
	r := router.New(router.Config{Recorder: func(hearth.Name) router.Recorder {
		lives = append(lives, &ends{})
		return lives[len(lives)-1]
	}})
	first, letGo := waits(t, "one")
	r.Set(function(1))
	r.Update(oven, []hearth.Replica{first})
	answered := make(chan error, 1)
	go func() { _, err := call(t.Context(), r, ""); answered <- err }()
	load := func() router.Load { l, _ := r.Load(oven); return l }
	eventually(t, func() bool { return load().InFlight == 1 })

	r.Delete(oven)
	_, err := call(t.Context(), r, "")
	require.Equal(t, hearth.NotFound, hearth.CodeOf(err))
	require.Zero(t, r.Room(oven))
	r.Update(oven, []hearth.Replica{ending(first)})
	require.Equal(t, 1, r.Draining(oven))
	before := lives[0].load()
	require.Equal(t, 1, before.InFlight)
	eventually(t, func() bool {
		now := lives[0].load()
		return now.BusyTime > before.BusyTime && now.ReplicaTime > before.ReplicaTime
	})

	second, _ := waits(t, "two")
	second.ID = "two"
	r.Set(function(1))
	r.Update(oven, []hearth.Replica{second, ending(first)})
	require.Len(t, lives, 2)
	require.Equal(t, 1, load().Known, "the one that drains is the other's")
	require.Zero(t, load().Draining)
	require.Zero(t, load().InFlight)
	require.Equal(t, 1, r.Draining(oven))
	require.Zero(t, lives[0].over())

	letGo()
	require.NoError(t, <-answered)
	eventually(t, func() bool { return lives[0].load().InFlight == 0 })
	require.Zero(t, lives[0].over(), "its replica is still there")
	r.Update(oven, []hearth.Replica{second})
	require.Equal(t, 1, lives[0].over())
	require.Zero(t, r.Draining(oven))
	require.EqualValues(t, 1, lives[0].drained[0].Calls)
	require.Equal(t, lives[0].drained[0], lives[0].load(), "nothing is counted any more")
	r.Delete(oven)
	require.Zero(t, lives[1].over())
	r.Update(oven, nil)
	require.Equal(t, 1, lives[1].over())
	require.Equal(t, 1, lives[0].over(), "it is told once")
}

func TestFunctionWithoutReplicasHasEndedWhenItIsRemoved(t *testing.T) {
	t.Parallel()
	life := &ends{}
	r := router.New(router.Config{Recorder: func(hearth.Name) router.Recorder { return life }})
	r.Set(function(0))
	r.Delete(oven)
	require.Equal(t, 1, life.over())
}

// TestReplicaThatEndsIsCountedAndTakesNoRoom: while it has a queued call, the others are given as many as if
// it were not there.
func TestReplicaThatEndsIsCountedAndTakesNoRoom(t *testing.T) {
	t.Parallel()
	r := router.New(router.Config{})
	r.Set(function(1, "max_inflight", "1"))
	old, letGo := waits(t, "old")
	r.Update(oven, []hearth.Replica{old})
	answered := make(chan error, 1)
	go func() { _, err := call(t.Context(), r, ""); answered <- err }()
	load := func() router.Load { l, _ := r.Load(oven); return l }
	eventually(t, func() bool { return load().InFlight == 1 })
	require.Equal(t, 1, r.Room(oven))
	fresh, _ := waits(t, "new")
	r.Update(oven, []hearth.Replica{fresh, ending(old)})
	require.Equal(t, 2, r.Room(oven), "the one under way, and one for the new replica")
	l := load()
	require.Equal(t, 1, l.Known)
	require.Equal(t, 1, l.Draining)
	require.Equal(t, 1, l.Available)
	eventually(t, func() bool { return load().ReplicaTime-l.ReplicaTime > 0 })
	letGo()
	require.NoError(t, <-answered)
	eventually(t, func() bool { return r.Room(oven) == 1 })
}
