package replicaset

import (
	"slices"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// living are the replicas of one name that are not gone yet, of all functions that had it:
// one that was removed, and the one that was deployed in its place. It is kept as long as
// there is a function or a replica of that name.
type living struct {
	replicas map[Replica]life
	ending   []Replica // of these, that served and are ending
	retired  []Replica // that will be ended when the watcher has been told that they take no more calls
	next     int       // numbers replicas: no two that live at once have the same number
}

// life is what is known of a replica until it is gone.
type life struct {
	drain time.Duration // how long it may take to end
	over  chan struct{} // closed when it is gone, and that was told
}

// lives is what lives of a name. m.mu is held.
func (m *Manager[Image]) lives(n hearth.Name) *living {
	l := m.living[n]
	if l == nil {
		l = &living{replicas: map[Replica]life{}}
		m.living[n] = l
	}
	return l
}

// number is for the next replica of a name. m.mu is held.
func (m *Manager[Image]) number(n hearth.Name) int {
	l := m.lives(n)
	l.next++
	return l.next
}

// track remembers a replica until it is gone. m.mu is held.
func (m *Manager[Image]) track(r Replica, f hearth.Function) {
	n := f.Name()
	l, over := m.lives(n), make(chan struct{})
	l.replicas[r] = life{f.DrainTime, over}
	m.reaping.Go(func() {
		defer close(over)
		<-r.Done()
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(l.replicas, r)
		if i := slices.Index(l.ending, r); i >= 0 {
			l.ending = slices.Delete(l.ending, i, i+1)
			m.tell(n)
		}
		m.forget(n)
	})
}

// forget ends what is kept of a name that has neither a function nor a replica any more. m.mu is held.
func (m *Manager[Image]) forget(n hearth.Name) {
	l := m.living[n]
	if l != nil && m.functions[n] == nil && len(l.replicas) == 0 {
		delete(m.living, n)
		m.cfg.Gone(n)
	}
}
