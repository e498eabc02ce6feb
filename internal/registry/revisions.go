package registry

import (
	"context"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// maxRevisions is how many specs of a function are kept, with the present one.
const maxRevisions = 5

// Revisions returns the last specs of a function that were deployed, the newest first. The first is the
// present one.
func (r *Registry) Revisions(ctx context.Context, n hearth.Name) ([]redis.Revision, error) {
	kept, err := r.cfg.Queue.Revisions(ctx, n)
	f, _, ok := r.Spec(n)
	if err != nil || !ok {
		return kept, err
	}
	list, same := []redis.Revision{revisionOf(f)}, revision(f.FunctionDeployment)
	for _, old := range kept {
		if revision(old.Spec) != same {
			list = append(list, old)
		}
	}
	return list, nil
}

// RollBackTo deploys an earlier spec of a function. It returns an error of code NotFound if that spec is not
// kept, and Conflict if it is the present one.
func (r *Registry) RollBackTo(ctx context.Context, n hearth.Name, to string) error {
	f, ok := r.Function(n)
	if !ok {
		return hearth.NotFoundError(n)
	}
	list, err := r.Revisions(ctx, n)
	if err != nil {
		return err
	}
	for _, kept := range list {
		if kept.Revision != to {
			continue
		}
		if kept.Revision == f.Revision {
			return hearth.Errorf(hearth.Conflict, "function %s has the revision %s already", n.Function, to)
		}
		spec, err := hearth.Parse(kept.Spec)
		if err != nil {
			return err
		}
		return r.Deploy(ctx, spec, true)
	}
	return hearth.Errorf(hearth.NotFound, "function %s has no revision %.40q: only its last %d are kept",
		n.Function, to, maxRevisions)
}

// Restart replaces the replicas of a function, as the deployment of another spec does: new ones become ready
// before the present ones finish their calls. A provider looks for a new image.
func (r *Registry) Restart(ctx context.Context, n hearth.Name) error {
	rec, end, err := r.begin(ctx, n)
	if err != nil {
		return err
	}
	defer end()
	if !rec.deployed() {
		return hearth.NotFoundError(n)
	}
	f := rec.spec
	f.DeployedAt, f.Rollback = time.Now().UTC(), nil
	f.Revision = restarted(f.FunctionDeployment, f.DeployedAt)
	f.Generation = r.cfg.Queue.NextGeneration(n, rec.spec.Generation)
	next := rec.desired
	next.state, next.spec = Deployed, f
	r.forgetFailure(rec)
	if err := r.change(ctx, n, rec, next); err != nil {
		r.revert(ctx, n, rec, next)
		return err
	}
	r.cfg.Log.Info("restarted function", "function", n.String(), "replicas", f.Replicas)
	return nil
}

// keepRevision keeps the spec that a function had before. A function that was deployed once has none, and
// takes no memory for it. The same spec is kept once. That it could not be kept is no fault of the
// deployment. The change lease is held.
func (r *Registry) keepRevision(ctx context.Context, f, before hearth.Function) {
	present, former := revision(f.FunctionDeployment), revision(before.FunctionDeployment)
	if before.Revision == "" || present == former {
		return
	}
	n := f.Name()
	kept, err := r.cfg.Queue.Revisions(ctx, n)
	if err == nil {
		list := []redis.Revision{revisionOf(before)}
		for _, old := range kept {
			if is := revision(old.Spec); len(list) < maxRevisions-1 && is != former && is != present {
				list = append(list, old)
			}
		}
		err = r.cfg.Queue.SaveRevisions(ctx, n, list)
	}
	if err != nil {
		r.cfg.Log.Warn("could not keep the revision of a function", "function", n.String(), "error", err)
	}
}

func revisionOf(f hearth.Function) redis.Revision {
	return redis.Revision{Revision: f.Revision, DeployedAt: f.DeployedAt, Spec: f.FunctionDeployment}
}
