package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

// pick returns the functions of the records that are chosen.
func (r *Registry) pick(chosen func(hearth.Name, *record) bool) []hearth.Function {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := []hearth.Function{}
	for n, rec := range r.records {
		if chosen(n, rec) {
			list = append(list, rec.function())
		}
	}
	slices.SortFunc(list, func(a, b hearth.Function) int { return strings.Compare(a.Service, b.Service) })
	return list
}

// Functions are all of a namespace, by name.
func (r *Registry) Functions(namespace string) []hearth.Function {
	return r.pick(func(n hearth.Name, rec *record) bool { return n.Namespace == namespace && rec.deployed() })
}

// All are the functions of all namespaces.
func (r *Registry) All() []hearth.Function {
	return r.pick(func(_ hearth.Name, rec *record) bool { return rec.deployed() })
}

// Draining are the functions of a namespace that were removed and still have calls or replicas here, by name,
// but for those that were deployed again.
func (r *Registry) Draining(namespace string) []hearth.Function {
	return r.pick(func(n hearth.Name, rec *record) bool { return n.Namespace == namespace && rec.draining() })
}

// Namespaces are those that have functions.
func (r *Registry) Namespaces() []string {
	var list []string
	for _, f := range r.All() {
		if !slices.Contains(list, f.Namespace) {
			list = append(list, f.Namespace)
		}
	}
	return list
}

// Function is a deployed one.
func (r *Registry) Function(n hearth.Name) (hearth.Function, bool) {
	f, draining, ok := r.Spec(n)
	if draining || !ok {
		return hearth.Function{}, false
	}
	return f, true
}

// Spec is that of a function that is deployed, or else of one that was removed and still drains.
func (r *Registry) Spec(n hearth.Name) (f hearth.Function, draining, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rec := r.records[n]
	if rec == nil || !rec.deployed() && !rec.draining() {
		return f, false, false
	}
	return rec.function(), rec.draining(), true
}

// Load returns what the calls of a function have used, as router.Router's Load does.
func (r *Registry) Load(n hearth.Name) (router.Load, bool) { return r.parts.Router.Load(n) }

// draining reports whether a removed function still has calls or replicas here. Registry.mu is held.
func (rec *record) draining() bool { return rec.state == Draining && rec.drain != nil }

// Deployed tells whether Redis has a function: another instance may have removed it just now.
func (r *Registry) Deployed(ctx context.Context, n hearth.Name) bool {
	v, err := r.cfg.Queue.LookAt(ctx, n)
	_, ok := v.Functions[n]
	return ok || v.Unused[n] || err != nil
}
