package replicaset

import (
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// WatchRollouts is hearth.Provider's.
func (m *Manager[Image]) WatchRollouts(failed func(hearth.Name, string)) { m.failed = failed }

func unready(r Replica) bool { return !r.State().Ready }

func all(replicas []Replica, is func(Replica) bool) bool {
	for _, r := range replicas {
		if !is(r) {
			return false
		}
	}
	return true
}

// note notes that the spec before the present one gets ready, though perhaps
// only now that it is replaced. m.mu is held.
func (fn *function[Image]) note(old []Replica) {
	for _, r := range old {
		if s := r.State(); fn.before != nil && s.Ready && s.Revision == fn.before.spec.Revision {
			fn.proven = fn.before
		}
	}
}

// replaces tells whether the present spec is to replace one whose replicas were ready. m.mu is held.
func (fn *function[Image]) replaces() bool {
	return fn.proven != nil && fn.proven.spec.Revision != fn.spec.Revision
}

// expect gives the replicas of a new spec their time. m.mu is held.
func (m *Manager[Image]) expect(fn *function[Image]) {
	fn.applied++
	if m.cfg.RolloutWithin == 0 {
		return
	}
	applied := fn.applied
	time.AfterFunc(m.cfg.RolloutWithin, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.functions[fn.spec.Name()] == fn && fn.applied == applied && fn.spec.Replicas > 0 && !m.closed {
			m.giveUp(fn, fmt.Sprintf("it was not ready after %v", m.cfg.RolloutWithin))
		}
	})
}

// giveUp tells that the replicas of the present spec cannot get ready, unless it is nothing
// new, or there is no other. m.mu is held.
func (m *Manager[Image]) giveUp(fn *function[Image], why string) {
	if fn.failing == "" && fn.replaces() {
		fn.failing = why
		m.failed(fn.spec.Name(), why)
	}
}

// Rollback is hearth.Provider's.
func (m *Manager[Image]) Rollback(n hearth.Name, deployedAt time.Time) (f hearth.Function, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fn := m.functions[n]
	if fn == nil || fn.failing == "" || !fn.replaces() || m.closed {
		return f, false
	}
	replicas := fn.spec.Replicas
	fn.spec, fn.image, fn.failing = fn.proven.spec, fn.proven.image, ""
	fn.spec.DeployedAt = deployedAt
	fn.spec.Replicas = min(replicas, fn.spec.MaxReplicas)
	fn.applied++
	if err := m.reconcile(fn); err != nil {
		m.cfg.Log.Error("could not start a replica", "function", n.String(), "error", err)
	}
	m.tell(n)
	return fn.spec, true
}
