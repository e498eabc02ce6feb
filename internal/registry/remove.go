package registry

import (
	"context"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// Delete removes a function. When it returns, nothing deploys it again, and it takes no more calls. Its
// replicas finish the calls that they have by themselves.
func (r *Registry) Delete(ctx context.Context, n hearth.Name) error {
	rec, end, err := r.begin(ctx, n)
	if err != nil {
		return err
	}
	defer end()
	if !rec.deployed() {
		if _, unused := r.cfg.Queue.Bad(redis.KindFunction, n.String()); !unused {
			return hearth.NotFoundError(n)
		}
		// There is a record that was never used here.
		if err := r.cfg.Queue.DeleteFunction(ctx, n, nil, r.cfg.Instance); err != nil {
			return err
		}
		return r.cfg.Queue.LeftBehind(ctx, n, nil)
	}
	d := rec.desired
	d.state, d.left = Draining, union(d.left, d.groups())
	if err := r.cfg.Queue.DeleteFunction(ctx, n, d.left, r.cfg.Instance); err != nil {
		r.queue.add(n) // it may be deleted all the same
		return err
	}
	r.forgetFailure(rec)
	rec.unsaved = false
	_ = r.observe(ctx, n, rec, d, false) // which nobody refuses
	if err := r.tidy(ctx, n, rec, rec.desired); err != nil {
		r.queue.add(n)
	}
	if err := r.cfg.Queue.ForgetRevisions(ctx, n); err != nil {
		r.cfg.Log.Warn("could not forget the revisions of a function", "function", n.String(), "error", err)
	}
	r.cfg.Log.Info("removed function", "function", n.String())
	return nil
}
