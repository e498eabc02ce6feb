package meter

import (
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

// function meters one function, from a deployment until the last call and the last replica have ended after
// its removal. It is a router.Recorder that a call passes by: what calls do is looked up.
type function struct {
	m    *Meter
	name hearth.Name

	mu      sync.Mutex
	pending Usage              // what was told since the last look
	since   Usage              // all, since it was deployed or this instance began
	load    func() router.Load // since it was removed; nil before
	drained bool

	// What was looked up, up to the last look. Of times, only the whole milliseconds that were charged.
	calls         uint64
	busy, replica time.Duration
	revision      string // of the spec that the memory is of
	memory        uint64 // MB
	assumed       bool
}

func (f *function) Started() {}

func (f *function) Held() { f.tell(func(u *Usage) { u.ColdStarts++ }) }

func (f *function) Given(waited time.Duration) {
	f.tell(func(u *Usage) { u.Cold.Observe(milliseconds(waited)) })
}

func (f *function) Denied() { f.tell(func(u *Usage) { u.Denied++ }) }

func (f *function) Ended(int, time.Duration) {}

func (f *function) Removed(load func() router.Load) {
	f.look(load())
	f.mu.Lock()
	f.load = load
	f.mu.Unlock()
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.functions[f.name] == f {
		delete(f.m.functions, f.name)
	}
	f.m.draining[f] = true
}

func (f *function) Drained(last router.Load) {
	f.m.mu.Lock()
	delete(f.m.draining, f)
	f.m.mu.Unlock()
	f.look(last)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drained = true
	f.charge(Usage{})
}

// now is what the function has done by now. ok is false if nobody knows it.
func (f *function) now() (l router.Load, ok bool) {
	f.mu.Lock()
	load := f.load
	f.mu.Unlock()
	if load != nil {
		return load(), true
	}
	return f.m.cfg.Load(f.name)
}

// queued tells of a queued call that was taken.
func (f *function) queued(waited time.Duration) {
	ms := milliseconds(waited)
	f.tell(func(u *Usage) {
		u.Queued, u.Waited, u.LongestWait = u.Queued+1, u.Waited+ms, max(u.LongestWait,
			ms)
	})
}

// tell adds what no look would find.
func (f *function) tell(add func(*Usage)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	add(&f.pending)
	if f.drained { // nobody looks any more
		f.charge(Usage{})
	}
}

// look charges what a function has done by now, and was not charged yet.
func (f *function) look(l router.Load) {
	f.mu.Lock()
	_, idle := f.unseen(l)
	f.mu.Unlock()
	if idle {
		return
	}
	spec, ok := f.m.cfg.Function(f.name) // without the lock: who has others may be about to tell
	f.mu.Lock()
	defer f.mu.Unlock()
	u, _ := f.unseen(l)
	if f.drained {
		return
	}
	f.calls += u.Calls
	f.busy += time.Duration(u.Busy) * time.Millisecond
	f.replica += time.Duration(u.Replica) * time.Millisecond
	if u.Busy+u.Replica > 0 {
		f.limit(spec, ok)
		u.BusyMemory, u.ReplicaMemory, u.Assumed = u.Busy*f.memory, u.Replica*f.memory, f.assumed
	}
	f.charge(u)
}

// unseen is what a function has done and was not charged yet; it is idle if that, and
// what was told, is nothing. f.mu is held.
func (f *function) unseen(l router.Load) (u Usage, idle bool) {
	u.Calls, u.Busy, u.Replica = l.Calls-min(l.Calls,
		f.calls), milliseconds(l.BusyTime-f.busy), milliseconds(l.ReplicaTime-f.replica)
	return u, u.Calls+u.Busy+u.Replica == 0 && f.pending.none()
}

// limit notes the limit of memory. A function that was removed keeps the last that it had: what is deployed
// by its name may be another. f.mu is held.
func (f *function) limit(spec hearth.Function, ok bool) {
	switch {
	case ok && (f.load == nil || f.memory == 0) && (f.memory == 0 || spec.Revision != f.revision):
		const mb = 1 << 20
		f.revision, f.memory = spec.Revision, uint64(spec.Limit.Memory+mb-1)/mb
		if f.assumed = f.memory == 0; f.assumed {
			f.memory = DefaultMemory
		}
	case f.memory == 0:
		f.memory, f.assumed = DefaultMemory, true
	}
}

// charge writes it, with what was told, into the books. f.mu is held.
func (f *function) charge(u Usage) {
	u.Add(f.pending)
	f.pending = Usage{}
	if u.none() {
		return
	}
	f.since.Add(u)
	f.m.books.charge(f.name.String(), u)
}
