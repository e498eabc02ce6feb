package replicaset

import (
	"context"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// between is how far apart two samples of a usage are.
const between = 250 * time.Millisecond

// Of are the replicas of a function that serve, or will.
func (m *Manager[Image]) Of(n hearth.Name) []Replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fn := m.functions[n]; fn != nil {
		return append([]Replica(nil), fn.replicas...)
	}
	return nil
}

// Measure works a usage out of two samples of replicas. Each is the processor time since a replica began, and
// its memory in bytes; ok is false if it cannot be told, as of one that has ended. A replica of which only
// one sample is there counts with its memory alone.
func Measure(ctx context.Context, replicas []Replica,
	sample func(Replica) (cpu time.Duration, memory int64, ok bool)) (u hearth.Usage, err error) {
	began, first := time.Now(), map[Replica]time.Duration{}
	for _, r := range replicas {
		if cpu, _, ok := sample(r); ok {
			first[r] = cpu
		}
	}
	if len(first) == 0 {
		return u, nil
	}
	select {
	case <-time.After(between):
	case <-ctx.Done():
		return u, ctx.Err()
	}
	var spent time.Duration
	for _, r := range replicas {
		cpu, memory, ok := sample(r)
		if before, there := first[r]; ok && there && cpu >= before {
			spent += cpu - before
		}
		u.Memory += memory
	}
	u.CPU = 1000 * spent.Seconds() / time.Since(began).Seconds()
	return u, nil
}
