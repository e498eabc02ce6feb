package registry

import (
	"context"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// RolloutFailed is told by the provider that the replicas of a function's new spec cannot get ready: it goes back to the one before.
func (r *Registry) RolloutFailed(n hearth.Name, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	r.work.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, longest)
		defer cancel()
		if err := r.rollback(ctx, n, why); err != nil {
			r.cfg.Log.Error("a new version cannot get ready, and could not be rolled back; the replicas of the one before go on", "function", n.String(), "reason", why, "error", err)
		}
	})
}

// rollback goes back to the last spec whose replicas were ready, unless what is deployed is another by now. All hearths follow, but
// not twice: where a spec that was rolled back to cannot get ready, since its image is another there, only the replicas go back.
func (r *Registry) rollback(ctx context.Context, n hearth.Name, why string) error {
	e, end, err := r.begin(ctx, n)
	if err != nil {
		return err
	}
	defer end()
	if e.gone {
		return nil
	}
	now, failed := time.Now().UTC(), e.spec
	if failed.Rollback != nil {
		_, _ = r.cfg.Provider.Rollback(n, failed.DeployedAt)
		return nil
	}
	f, ok := r.cfg.Provider.Rollback(n, now)
	if !ok {
		return nil
	}
	f.Revision, _, _ = strings.Cut(f.Revision, "-")
	f.Rollback = &hearth.Rollback{At: now.Truncate(time.Second), Image: failed.Image, Reason: why}
	f.Generation = r.cfg.Queue.NextGeneration(n, failed.Generation)
	if err := r.apply(ctx, e, f); err != nil {
		return err
	}
	r.mu.Lock()
	e.spec, e.broken = f, false
	r.subscribers = nil
	r.mu.Unlock()
	r.cfg.Log.Warn("a new version could not get ready, and was rolled back", "function", n.String(), "image", failed.Image, "reason", why)
	return nil
}
