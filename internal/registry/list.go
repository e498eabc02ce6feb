package registry

import (
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Functions are all of a namespace, by name.
func (r *Registry) Functions(namespace string) []hearth.Function {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := []hearth.Function{}
	for n, e := range r.functions {
		if n.Namespace == namespace && !e.gone {
			list = append(list, e.spec)
		}
	}
	slices.SortFunc(list, func(a, b hearth.Function) int { return strings.Compare(a.Service, b.Service) })
	return list
}

// All are the functions of all namespaces.
func (r *Registry) All() []hearth.Function {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]hearth.Function, 0, len(r.functions))
	for _, e := range r.functions {
		if !e.gone {
			list = append(list, e.spec)
		}
	}
	return list
}

// Namespaces are those that have functions.
func (r *Registry) Namespaces() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []string
	for n := range r.functions {
		if !slices.Contains(list, n.Namespace) {
			list = append(list, n.Namespace)
		}
	}
	return list
}
