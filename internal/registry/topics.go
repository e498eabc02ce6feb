package registry

import (
	"slices"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// ownTopics returns an error of code Invalid for a function that names a topic which functions of another
// namespace use. Topics are the Redis's, and have no namespace in their names: without this, a second
// deployment of a stack, in a namespace for trying things out, would take the messages of the first one, and
// do its work a second time.
//
// Functions that are deployed already go on. Two that are deployed at the same moment may both pass.
func (r *Registry) ownTopics(f hearth.Function) error {
	topics := slices.Concat(f.Topics, f.Emits)
	r.mu.RLock()
	defer r.mu.RUnlock()
	for n, rec := range r.records {
		if !rec.deployed() || n.Namespace == f.Namespace || f.SharesTopics(rec.spec) {
			continue
		}
		for _, topic := range slices.Concat(rec.spec.Topics, rec.spec.Emits) {
			if slices.Contains(topics, topic) {
				return hearth.Errorf(hearth.Invalid,
					"function %s: the topic %s is used by %s in the namespace %s, and a topic "+
						"belongs to one namespace: use another topic, or share this one with the annotation "+
						"com.hearth.topics.from: %s",
					f.Service, topic, n.Function, n.Namespace, n.Namespace)
			}
		}
	}
	return nil
}
