package docker

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/replicaset"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Usage implements hearth.Provider.
func (p *Provider) Usage(ctx context.Context, n hearth.Name) (hearth.Usage, error) {
	return replicaset.Measure(ctx, p.Of(n),
		func(r replicaset.Replica) (cpu time.Duration, memory int64, ok bool) {
			s, err := p.stats(ctx, r.(*replica))
			if err != nil {
				return 0, 0, false // it has exited, or the engine is unavailable
			}
			// As in docker stats: memory that the kernel can take back at any time does not count.
			cache := s.MemoryStats.Stats["inactive_file"] // cgroup v2
			if v1, ok := s.MemoryStats.Stats["total_inactive_file"]; ok {
				cache = v1
			}
			return time.Duration(s.CPUStats.CPUUsage.TotalUsage),
				int64(s.MemoryStats.Usage - min(cache, s.MemoryStats.Usage)), true
		})
}

// stats asks the engine what a replica's container has used.
func (p *Provider) stats(ctx context.Context, r *replica) (s container.StatsResponse, err error) {
	r.mu.Lock()
	id := r.container
	r.mu.Unlock()
	if id == "" {
		return s, context.Canceled
	}
	res, err := p.api.ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return s, err
	}
	defer func() { _ = res.Body.Close() }()
	return s, json.NewDecoder(res.Body).Decode(&s)
}
