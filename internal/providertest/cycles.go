package providertest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/stretchr/testify/require"
)

// allCycles is the default of Setup.Cycles.
const allCycles = 100

// A swing is a function that scales to zero and back while it is called through a router that wakes it.
type swing struct {
	s    *subject
	r    *router.Router
	name hearth.Name

	mu sync.Mutex // of changes
	f  hearth.Function

	ok     atomic.Uint64
	open   atomic.Int64
	ended  chan struct{}
	work   sync.WaitGroup
	failed sync.Map // why -> true
}

// cyclesWithoutFailure scales a function to zero and back, many times, under calls of a closed loop (callers
// wait for their answers) and of an open loop (calls come at fixed times, but no more than a router holds
// while a busy machine starts a replica). No call may fail.
func cyclesWithoutFailure(s *subject) { swings(s, cmp.Or(s.Cycles, allCycles)) }

// cyclesOnABusyMachine is the same while eight other processes use all of the processor, so that replicas
// start late, and are ended before they have accepted their calls.
func cyclesOnABusyMachine(s *subject) {
	keepBusy(s.t, 8)
	swings(s, max(3, cmp.Or(s.Cycles, allCycles)/5))
}

// keepBusy starts processes that use processor time until the test ends. They end by themselves if the test
// is killed.
func keepBusy(t *testing.T, processes int) {
	for range processes {
		loop := exec.Command("sh", "-c", "while kill -0 $PPID 2>/dev/null; do :; done")
		require.NoError(t, loop.Start())
		t.Cleanup(func() {
			_ = loop.Process.Kill()
			_ = loop.Wait()
		})
	}
}

func swings(s *subject, cycles int) {
	m := &swing{s: s, ended: make(chan struct{}), f: s.function(0, func(f *hearth.Function) {
		f.EnvVars["max_inflight"] = "8"
		f.EnvVars["exec_timeout"], f.EnvVars["write_timeout"] = patience.String(), patience.String()
	})}
	m.name = m.f.Name()
	m.r = router.New(router.Config{Hold: patience, Wake: func(hearth.Name) {
		if err := m.scale(1, true); err != nil {
			m.failed.Store("wake: "+err.Error(), true)
		}
	}})
	s.told = m.r.Update
	require.NoError(s.t, m.scale(0, false))
	for range 2 {
		m.work.Go(func() {
			for !m.over() {
				m.call()
			}
		})
	}
	m.work.Go(m.byTheClock)
	for i := range cycles {
		require.NoError(s.t, m.scale(1+i%3, false))
		m.awaitCalls(10)
		require.NoError(s.t, m.scale(0, false))
		m.awaitCalls(10)
	}
	close(m.ended)
	m.work.Wait()
	m.failed.Range(func(why, _ any) bool { s.t.Errorf("of %d calls: %v", m.ok.Load(), why); return true })
}

// scale sets the number of replicas; with asleep, only if the function has none.
func (m *swing) scale(replicas int, asleep bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if asleep && m.f.Replicas > 0 {
		return nil
	}
	m.f.Replicas = replicas
	m.r.Set(m.f)
	return m.s.Provider.Apply(m.s.t.Context(), m.f)
}

func (m *swing) over() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

// mostOpen is how many calls may be open: fewer than a router holds.
const mostOpen = 500

func (m *swing) byTheClock() {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-m.ended:
			return
		case <-ticker.C:
			if m.open.Load() < mostOpen {
				m.work.Go(m.call)
			}
		}
	}
}

func (m *swing) call() {
	m.open.Add(1)
	defer m.open.Add(-1)
	req := &http.Request{
		Method:        http.MethodPost,
		URL:           &url.URL{Path: "/", RawQuery: "sleep=2ms"},
		Header:        http.Header{},
		Body:          io.NopCloser(strings.NewReader("hello")),
		ContentLength: 5,
	}
	res, err := m.r.Forward(m.name, req.WithContext(context.WithoutCancel(m.s.t.Context())),
		router.Open{Shed: true})
	if err != nil {
		m.failed.Store(err.Error(), true)
		return
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		m.failed.Store(fmt.Sprintf("%d %s %v", res.StatusCode, text, err), true)
		return
	}
	m.ok.Add(1)
}

// awaitCalls waits until so many more calls were answered.
func (m *swing) awaitCalls(n uint64) {
	m.s.t.Helper()
	until := m.ok.Load() + n
	require.Eventually(m.s.t, func() bool { return m.ok.Load() >= until }, patience, time.Millisecond)
}
