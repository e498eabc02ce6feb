/*
Package replicaset keeps as many replicas of each function as its spec asks for. It is what providers have
in common, and does not know what a replica is.

Replicas of a replaced revision end when all of the new one are ready: so an update loses no call, and a new
version that cannot start leaves the old one serving; that is told, and can be rolled back. A replica that
is not needed any more is ended in two steps: the watcher is told that it is ending, so that it is given no
call, and it ends when the calls are over that it was given before. It is told of until it is gone, also if
its function was removed, or another of that name is there. Where a provider can put a replica to sleep, a
function that should have none keeps one asleep, which is woken instead of started; nobody is told of it
before.
*/
package replicaset

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A Replica is one copy of a function. Its methods may be called at once, and again.
type Replica interface {
	State() hearth.Replica

	// Wake makes one serve that was started asleep.
	Wake()
	// End begins its end: it takes no more calls, and is gone after those that it has.
	End()
	// Kill ends it at once.
	Kill()
	// Crash ends what runs now, as if it had crashed.
	Crash()
	// Done is closed when it is gone.
	Done() <-chan struct{}
}

// Adopted is a replica of an earlier life, which goes on.
type Adopted struct {
	Asleep   bool
	Continue func(number int, changed func()) Replica
}

// Config says what the replicas are. An Image is what a provider has found for a spec's image.
type Config[Image any] struct {
	// Start begins the life of a function's replica, which has a number of its own. It must not wait
	// for it. changed must be called after each change of its state, and not from Start. An asleep
	// one gets ready, and then sleeps until Wake.
	Start func(f hearth.Function, image Image, number int, asleep bool, changed func()) (Replica, error)

	// Standby keeps one replica asleep of each function that should have none.
	Standby bool

	// RolloutWithin is how long the replicas of a spec that replaces another may take to get ready. 0 is for
	// ever: then replicas say by themselves that they fail.
	RolloutWithin time.Duration

	// Gone is called when a function was removed and the last of its replicas has ended, unless it was
	// applied again by then. It must not call the manager. Defaults to nothing.
	Gone func(hearth.Name)

	Log *slog.Logger
}

// Manager has the functions and their replicas. It has the methods of a hearth.Provider that are about these.
type Manager[Image any] struct {
	cfg Config[Image]

	mu        sync.Mutex
	functions map[hearth.Name]*function[Image]
	living    map[hearth.Name]*living
	watch     func(hearth.Name, []hearth.Replica)
	failed    func(hearth.Name, string)
	closed    bool
	reaping   sync.WaitGroup
}

// function is one that is managed.
type function[Image any] struct {
	spec     hearth.Function
	image    Image
	replicas []Replica // that serve, or will; of all revisions
	standby  Replica   // that sleeps, or will; nil if there is none

	before  *version[Image] // the one before the present one
	proven  *version[Image] // the last one that is known to get ready
	applied int             // counts specs with another revision
	// why the replicas of the present spec cannot get ready, though those of the proven one did
	failing string
}

// version is a spec, and the image that it had.
type version[Image any] struct {
	spec  hearth.Function
	image Image
}

// New makes a manager without functions.
func New[Image any](cfg Config[Image]) *Manager[Image] {
	if cfg.Gone == nil {
		cfg.Gone = func(hearth.Name) {}
	}
	return &Manager[Image]{
		cfg:       cfg,
		functions: map[hearth.Name]*function[Image]{},
		living:    map[hearth.Name]*living{},
		watch:     func(hearth.Name, []hearth.Replica) {},
		failed:    func(hearth.Name, string) {},
	}
}

// Watch is hearth.Provider's.
func (m *Manager[Image]) Watch(f func(hearth.Name, []hearth.Replica)) { m.watch = f }

// Crash is hearth.Crasher's.
func (m *Manager[Image]) Crash(n hearth.Name, all bool) (crashed int) {
	m.mu.Lock()
	var list []Replica
	if fn := m.functions[n]; fn != nil {
		list = slices.Clone(fn.replicas)
	}
	m.mu.Unlock()
	for _, r := range list {
		if r.State().Ready {
			r.Crash()
			if crashed++; !all {
				break
			}
		}
	}
	return crashed
}

// Get is a function's spec and image as they were last applied.
func (m *Manager[Image]) Get(n hearth.Name) (f hearth.Function, image Image, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fn := m.functions[n]; fn != nil {
		return fn.spec, fn.image, true
	}
	return f, image, false
}

// Standby is hearth.Sleeper's.
func (m *Manager[Image]) Standby(n hearth.Name) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fn := m.functions[n]; fn != nil && fn.standby != nil {
		return 1
	}
	return 0
}

// Apply makes a function run as its spec says. When it returns an error, all is as it was.
func (m *Manager[Image]) Apply(f hearth.Function, image Image, adopted ...Adopted) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return hearth.Errorf(hearth.Unavailable, "hearth is shutting down")
	}
	fn := m.functions[f.Name()]
	if fn == nil {
		fn = &function[Image]{}
		m.functions[f.Name()] = fn
	}
	for _, a := range adopted {
		r := a.Continue(m.number(f.Name()), func() { m.changed(f.Name()) })
		m.track(r, f)
		switch {
		case !a.Asleep:
			fn.replicas = append(fn.replicas, r)
		case fn.standby == nil:
			fn.standby = r
		default:
			m.dismiss(f.Name(), r)
		}
	}
	was := *fn
	fn.spec, fn.image = f, image
	if f.Revision != was.spec.Revision {
		if was.spec.Service != "" {
			fn.before = &version[Image]{was.spec, was.image}
		}
		fn.failing = ""
		m.expect(fn)
	}
	err := m.reconcile(fn)
	if err != nil {
		if was.spec.Service == "" { // it is new
			m.end(fn)
			delete(m.functions, f.Name())
			m.tell(f.Name())
			m.forget(f.Name())
			return err
		}
		fn.spec, fn.image, fn.before, fn.failing = was.spec, was.image, was.before, was.failing
		if again := m.reconcile(fn); again != nil {
			m.cfg.Log.Error("could not start a replica", "function", f.Name().String(), "error", again)
		}
	}
	m.tell(f.Name())
	return err
}

// reconcile starts, wakes and ends replicas until there are as many as there should be. The old ones of a
// replaced revision end when all new ones are ready. m.mu is held.
func (m *Manager[Image]) reconcile(fn *function[Image]) error {
	if fn.standby != nil && fn.standby.State().Revision != fn.spec.Revision {
		m.dismiss(fn.spec.Name(), fn.standby)
		fn.standby = nil
	}
	var current, old []Replica
	for _, r := range fn.replicas {
		if r.State().Revision == fn.spec.Revision {
			current = append(current, r)
		} else {
			old = append(old, r)
		}
	}
	for len(current) < fn.spec.Replicas {
		r := fn.standby
		if r != nil {
			fn.standby = nil
			r.Wake()
		} else {
			var err error
			if r, err = m.start(fn, false); err != nil {
				fn.replicas = append(current, old...)
				return err
			}
		}
		current = append(current, r)
	}
	for len(current) > fn.spec.Replicas {
		last := len(current) - 1
		m.retire(fn, current[last])
		current = current[:last]
	}
	if !slices.ContainsFunc(current, unready) {
		m.retire(fn, old...)
		old = nil
		if len(current) > 0 {
			fn.proven, fn.failing = &version[Image]{fn.spec, fn.image}, ""
		}
	} else if fn.note(old); !all(old,
		unready) { // calls go to those that are ready; what was replaced before it got so is not needed
		old = slices.DeleteFunc(old, func(r Replica) bool {
			gone := unready(r)
			if gone {
				m.retire(fn, r)
			}
			return gone
		})
	}
	fn.replicas = append(current, old...)
	if m.cfg.Standby && fn.spec.Replicas == 0 && fn.standby == nil {
		r, err := m.start(fn, true)
		if err != nil {
			return err
		}
		fn.standby = r
	}
	return nil
}

// start begins the life of a replica. m.mu is held.
func (m *Manager[Image]) start(fn *function[Image], asleep bool) (Replica, error) {
	name := fn.spec.Name()
	r, err := m.cfg.Start(fn.spec, fn.image, m.number(name), asleep, func() { m.changed(name) })
	if err != nil {
		return nil, err
	}
	m.track(r, fn.spec)
	return r, nil
}

// changed is told by a replica that its state is another.
func (m *Manager[Image]) changed(n hearth.Name) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fn := m.functions[n]; fn != nil && !m.closed {
		if err := m.reconcile(fn); err != nil {
			m.cfg.Log.Error("could not start a replica", "function", n.String(), "error", err)
		}
		m.tell(n)
		for _, r := range append(slices.Clone(fn.replicas), fn.standby) {
			if r == nil {
				continue
			}
			if s := r.State(); s.Failing != "" && s.Revision == fn.spec.Revision {
				m.giveUp(fn, s.Failing)
			}
		}
	}
}

// retire takes replicas out of service. They are told of as ending, and end
// after the next tell. m.mu is held.
func (m *Manager[Image]) retire(fn *function[Image], replicas ...Replica) {
	l := m.lives(fn.spec.Name())
	l.ending, l.retired = append(l.ending, replicas...), append(l.retired, replicas...)
}

// dismiss is retire for a replica that nobody was told of. m.mu is held.
func (m *Manager[Image]) dismiss(n hearth.Name, r Replica) {
	l := m.lives(n)
	l.retired = append(l.retired, r)
}

// tell tells the watcher what replicas there are, also those that are ending; of a sleeping one only why it
// cannot start. Then it begins to end those that were retired. m.mu is held.
func (m *Manager[Image]) tell(n hearth.Name) {
	var states []hearth.Replica
	if fn := m.functions[n]; fn != nil {
		for _, r := range fn.replicas {
			states = append(states, r.State())
		}
		if fn.standby != nil {
			if s := fn.standby.State(); s.Failing != "" {
				states = append(states, s)
			}
		}
	}
	l := m.lives(n)
	for _, r := range l.ending {
		s := r.State()
		s.Ending, s.Accepting, s.Ready, s.Failing = true, false, false, ""
		states = append(states, s)
	}
	m.watch(n, states)
	for _, r := range l.retired {
		m.endAfterCalls(r, l.replicas[r].drain)
	}
	l.retired = nil
}

// endAfterCalls ends a replica when the calls are over that it was given. It is given no
// more. What takes long is left to the replica, which lets it end as well: half of the time
// that it may take is for that. m.mu is held.
func (m *Manager[Image]) endAfterCalls(r Replica, drain time.Duration) {
	calls := r.State().Calls
	m.reaping.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drain/2)
		defer cancel()
		calls.Wait(ctx, r.Done())
		r.End()
	})
}

// end takes all that a function has out of service. m.mu is held.
func (m *Manager[Image]) end(fn *function[Image]) {
	m.retire(fn, fn.replicas...)
	if fn.standby != nil {
		m.dismiss(fn.spec.Name(), fn.standby)
	}
	fn.replicas, fn.standby = nil, nil
}

// Remove is hearth.Provider's.
func (m *Manager[Image]) Remove(n hearth.Name) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fn := m.functions[n]; fn != nil {
		m.end(fn)
		delete(m.functions, n)
		m.tell(n)
	}
	gone := make(chan struct{})
	var left []life // also of those that were ending before
	if l := m.living[n]; l != nil {
		left = slices.Collect(maps.Values(l.replicas))
	}
	m.forget(n)
	if len(left) == 0 {
		close(gone)
		return gone
	}
	m.reaping.Go(func() {
		defer close(gone)
		for _, l := range left {
			<-l.over
		}
	})
	return gone
}

// await waits until replicas are gone, and kills them when ctx ends.
func await(ctx context.Context, replicas []Replica) {
	for _, r := range replicas {
		select {
		case <-r.Done():
		case <-ctx.Done():
			for _, r := range replicas {
				r.Kill()
			}
			<-r.Done()
		}
	}
}

// Close ends all replicas, also those that were ending before, and returns when
// they are gone; it kills them when ctx ends.
func (m *Manager[Image]) Close(ctx context.Context) {
	m.mu.Lock()
	m.closed = true
	var all []Replica
	for _, l := range m.living {
		for r := range l.replicas {
			r.End() // at once: nobody is told, and calls have ended before
			all = append(all, r)
		}
	}
	m.mu.Unlock()
	await(ctx, all)
	m.reaping.Wait()
}
