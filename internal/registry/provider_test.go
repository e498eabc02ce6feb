package registry_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Images of the fake provider. Any other one gets ready at once.
const (
	missing = "missing" // there is no such image
	stuck   = "stuck"   // its replicas never get ready
)

// provider is a fake: its replicas are all the one server of the test's world.
type provider struct {
	hearth.Provider
	steps   *steps
	address string
	work    sync.WaitGroup
	watch   func(hearth.Name, []hearth.Replica)
	failed  func(hearth.Name, string)

	mu     sync.Mutex
	runs   map[hearth.Name]hearth.Function
	proven map[hearth.Name]hearth.Function // the last one whose replicas were ready
}

func newProvider(s *steps, address string) *provider {
	return &provider{
		steps:   s,
		address: address,
		runs:    map[hearth.Name]hearth.Function{},
		proven:  map[hearth.Name]hearth.Function{},
	}
}

func (p *provider) Watch(watch func(hearth.Name, []hearth.Replica)) { p.watch = watch }

func (p *provider) WatchRollouts(failed func(hearth.Name, string)) { p.failed = failed }

func (p *provider) Capabilities() hearth.Capabilities { return hearth.Capabilities{} }

func (p *provider) Apply(_ context.Context, f hearth.Function) error {
	var err error = hearth.Errorf(hearth.Unavailable, "the engine does not answer")
	if !p.steps.take(func() { err = p.apply(f) }) && p.steps.dead() {
		return hearth.Errorf(hearth.Unavailable, "the instance has stopped")
	}
	return err
}

func (p *provider) apply(f hearth.Function) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := f.Name()
	if f.Image == missing {
		return hearth.Errorf(hearth.Invalid, "there is no image %s", f.Image)
	}
	proven, replaces := p.proven[n]
	fails := f.Image == stuck && replaces && f.Replicas > 0 && p.runs[n].Revision != f.Revision
	p.runs[n] = f
	if f.Image != stuck {
		p.proven[n] = f
	}
	p.tell(n)
	if fails && proven.Revision != f.Revision {
		p.work.Go(func() { p.failed(n, "it is stuck") })
	}
	return nil
}

func (p *provider) Remove(n hearth.Name) <-chan struct{} {
	remove := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.runs, n)
		delete(p.proven, n)
		p.tell(n)
	}
	done := false
	if !p.steps.take(func() { remove(); done = true }) && !done && !p.steps.dead() {
		remove() // it cannot fail
	}
	gone := make(chan struct{})
	close(gone)
	return gone
}

func (p *provider) Rollback(n hearth.Name, deployedAt time.Time) (f hearth.Function, ok bool) {
	roll := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		now, before := p.runs[n], p.proven[n]
		if now.Image != stuck || before.Image == "" {
			return
		}
		f, ok = before, true
		f.DeployedAt, f.Replicas = deployedAt, now.Replicas
		p.runs[n] = f
		p.tell(n)
	}
	done := false
	if !p.steps.take(func() { roll(); done = true }) && !done && !p.steps.dead() {
		roll()
	}
	return f, ok
}

// tell tells what replicas a function has. A stuck one has those of the spec before. p.mu is held.
func (p *provider) tell(n hearth.Name) {
	f, ok := p.runs[n]
	if ok && f.Image == stuck && p.proven[n].Image != "" {
		replicas := f.Replicas
		f = p.proven[n]
		f.Replicas = replicas
	}
	var list []hearth.Replica
	for i := range f.Replicas {
		list = append(list, hearth.Replica{
			ID:        fmt.Sprint(f.Service, "-", f.Revision, "-", i),
			Revision:  f.Revision,
			Address:   p.address,
			Accepting: true,
			Ready:     f.Image != stuck,
			Proven:    true,
		})
	}
	p.watch(n, list)
}

// running is what the provider runs of a function.
func (p *provider) running(n hearth.Name) (hearth.Function, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.runs[n]
	return f, ok
}
