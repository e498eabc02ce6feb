package process

import (
	"context"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/replicaset"
)

// used is what a process group has used, and its memory now.
type used struct {
	cpu    time.Duration
	memory int64 // resident, bytes
}

// Usage implements hearth.Provider. A replica is its process, with those that it has started itself.
func (p *Provider) Usage(ctx context.Context, n hearth.Name) (hearth.Usage, error) {
	var now map[int]used
	var read time.Time
	return replicaset.Measure(ctx, p.Of(n),
		func(r replicaset.Replica) (cpu time.Duration, memory int64, ok bool) {
			if time.Since(read) > 100*time.Millisecond { // one reading is for all replicas
				now, read = groups(), time.Now()
			}
			u, ok := now[r.(*replica).pid()]
			return u.cpu, u.memory, ok
		})
}

// pid returns the id of the process that runs now, or 0.
func (r *replica) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return 0
	}
	return r.process.Pid
}
