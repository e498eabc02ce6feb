package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// RolloutFailed notes that the replicas of a function's new spec cannot get ready: it goes back to the one
// before. The provider calls it.
func (r *Registry) RolloutFailed(n hearth.Name, why string) {
	r.mu.Lock()
	rec := r.records[n]
	if rec != nil {
		rec.failed = why
	}
	r.mu.Unlock()
	if rec != nil {
		r.queue.add(n)
	}
}

// forgetFailure forgets that the replicas of a spec cannot get ready, before another one is set. The record's
// turn is held.
func (r *Registry) forgetFailure(rec *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.failed, rec.back = "", nil
}

// rollBack goes back to the last spec whose replicas were ready, if those of the present one cannot get
// ready. All instances follow, but not twice: where a spec that was rolled back to cannot get ready, since
// its image is another there, only the replicas go back. The change lease is held.
func (r *Registry) rollBack(ctx context.Context, n hearth.Name, rec *record) error {
	r.mu.RLock()
	why := rec.failed
	r.mu.RUnlock()
	if why == "" || !rec.deployed() {
		return nil
	}
	now, failed := time.Now().UTC(), rec.spec
	if rec.back == nil {
		at := now
		if failed.Rollback != nil {
			at = failed.DeployedAt
		}
		f, ok := r.parts.Provider.Rollback(n, at)
		if !ok || failed.Rollback != nil {
			r.forgetFailure(rec)
			return nil
		}
		f.Revision, _, _ = strings.Cut(f.Revision, "-")
		f.Rollback = &hearth.Rollback{At: now.Truncate(time.Second), Image: failed.Image, Reason: why}
		rec.back = &f // should the rest fail, it is repeated
	}
	next := rec.desired
	next.state, next.spec = Deployed, *rec.back
	next.spec.Generation = r.cfg.Queue.NextGeneration(n, failed.Generation)
	next.left = without(union(next.left, rec.groups()), next.groups())
	if err := r.change(ctx, n, rec, next); err != nil {
		return fmt.Errorf("roll back, as %s: %w", why, err)
	}
	r.forgetFailure(rec)
	r.cfg.Log.Warn("rolled back function", "function", n.String(), "image", failed.Image, "reason", why)
	return nil
}
