package docker

import (
	"context"
	"fmt"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/replicaset"
	"github.com/moby/moby/client"
)

// found is a running container of an earlier run.
type found struct {
	id, name string
	revision string
	frozen   bool
}

// find finds the containers of an earlier run, and removes those that do not run.
func (p *Provider) find(ctx context.Context) (map[hearth.Name][]found, error) {
	list, err := p.api.ContainerList(ctx, client.ContainerListOptions{All: true,
		Filters: make(client.Filters).Add("label", label("instance", p.cfg.Instance))})
	if err != nil {
		return nil, fmt.Errorf("find containers of an earlier run: %w", err)
	}
	all := map[hearth.Name][]found{}
	for _, c := range list.Items {
		n, err := hearth.ParseName(c.Labels[labelFunction])
		if err != nil || (c.State != "running" && c.State != "paused") {
			p.discard(ctx, c.ID)
			continue
		}
		all[n] = append(all[n], found{
			id:       c.ID,
			name:     c.Labels[labelReplica],
			revision: c.Labels[labelRevision],
			frozen:   c.State == "paused",
		})
	}
	return all, nil
}

// adopt claims a function's containers of an earlier run. A frozen one of the same revision becomes the
// standby replica. A running one goes on, and is replaced if it is of another revision.
func (p *Provider) adopt(f hearth.Function, image Image) []replicaset.Adopted {
	p.mu.Lock()
	mine := p.found[f.Name()]
	delete(p.found, f.Name())
	p.mu.Unlock()
	var list []replicaset.Adopted
	for _, c := range mine {
		if c.frozen && (c.revision != f.Revision || p.cfg.Asleep != Frozen || f.Replicas > 0) {
			p.discard(context.Background(), c.id)
			continue
		}
		list = append(list, replicaset.Adopted{Asleep: c.frozen,
			Continue: func(number int, changed func()) replicaset.Replica {
				spec := f
				spec.Revision = c.revision
				r := p.newReplica(spec, image, number, c.frozen, changed)
				r.id, r.last = c.name, c.revision != f.Revision
				r.run(&c)
				return r
			}})
	}
	if len(list) > 0 {
		p.cfg.Log.Info("adopted containers of an earlier run", "function", f.Name().String(), "count",
			len(list))
	}
	return list
}

// Settle implements hearth.Settler: it removes the containers of an earlier run that no function has claimed.
func (p *Provider) Settle(ctx context.Context) {
	p.mu.Lock()
	left := p.found
	p.found = nil
	p.mu.Unlock()
	for n, containers := range left {
		p.cfg.Log.Info("removed unclaimed containers", "function", n.String(), "count", len(containers))
		for _, c := range containers {
			p.discard(ctx, c.id)
		}
	}
}
