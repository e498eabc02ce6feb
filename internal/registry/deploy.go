package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
)

// Deploy creates a function, or replaces it if update is set. It returns when that is under way.
//
// It returns an error of code NotFound if there is nothing to update, Conflict if the function exists and is
// to be created, and Invalid if it cannot run here; then nothing is changed.
func (r *Registry) Deploy(ctx context.Context, f hearth.Function, update bool) error {
	if err := r.syncSecrets(ctx, f.Secrets); err != nil {
		return err
	}
	now := time.Now().UTC()
	f.CreatedAt, f.DeployedAt, f.Revision = now.Truncate(time.Second), now, revision(f.FunctionDeployment)
	f.Replicas = r.limit(f, f.MinReplicas)
	n := f.Name()
	if err := r.fits(f); err != nil {
		return err
	}
	if err := r.ownTopics(f); err != nil {
		return err
	}

	rec, end, err := r.begin(ctx, n)
	if err != nil {
		return err
	}
	defer end()
	next, before := desired{state: Deployed, left: rec.left}, hearth.Function{}
	switch {
	case !rec.deployed() && update:
		return hearth.NotFoundError(n)
	case rec.deployed() && !update:
		return hearth.Errorf(hearth.Conflict, "the function %s is deployed already: update it instead", n)
	case rec.deployed():
		f.CreatedAt, before = rec.spec.CreatedAt, rec.spec
		f.Replicas = r.replicas(rec.spec, f)
		next.callbacks = rec.callbacks
		next.left = union(next.left, rec.groups())
	default: // the function comes back to the callbacks that it left
		next.callbacks = slices.Contains(rec.left, redis.CallbacksOf(n))
	}
	f.Generation = r.cfg.Queue.NextGeneration(n, rec.spec.Generation)
	next.spec = f
	next.left = without(next.left, next.groups())
	r.forgetFailure(rec)
	if err := r.change(ctx, n, rec, next); err != nil {
		r.revert(ctx, n, rec, next)
		return err
	}
	r.keepRevision(ctx, f, before)
	r.cfg.Log.Info("deployed function", "function", n.String(), "image", f.Image, "replicas", f.Replicas,
		"topics", strings.Join(f.Topics, ","))
	return nil
}

// change saves a spec, passes it to the observers, and removes the subscriptions that it no longer wants.
// The change lease is held.
func (r *Registry) change(ctx context.Context, n hearth.Name, rec *record, next desired) error {
	if err := r.saveSpec(ctx, n, next); err != nil {
		return err
	}
	rec.unsaved, rec.unsure = false, false
	if err := r.set(ctx, n, rec, next, false); err != nil {
		return err
	}
	if err := r.tidy(ctx, n, rec, next); err != nil {
		r.want(rec, next)
		r.queue.add(n)
	}
	return nil
}

// revert goes back in Redis from a spec that was not deployed to what was wanted before.
func (r *Registry) revert(ctx context.Context, n hearth.Name, rec *record, failed desired) {
	d := rec.desired
	d.spec.Generation = r.cfg.Queue.NextGeneration(n, failed.spec.Generation)
	d.left = union(d.left, failed.groups())
	if d.deployed() {
		d.left = without(d.left, d.groups())
	} else if d.state == Gone {
		d.state = Left
	}
	r.want(rec, d)
	rec.unsaved = true
	if err := r.write(ctx, n, rec); err != nil {
		r.queue.add(n)
	}
}

// begin begins a change of a function here: until end, nobody else changes it, and what others have made of
// it is followed.
func (r *Registry) begin(ctx context.Context, n hearth.Name) (rec *record, end func(), err error) {
	rec = r.enter(n)
	release, err := r.lease(ctx, n, rec, longest)
	if err != nil {
		r.leave(n, rec)
		return nil, nil, err
	}
	return rec, func() { release(); r.leave(n, rec) }, nil
}

// replicas is how many a function has that replaces another one.
func (r *Registry) replicas(old, f hearth.Function) int {
	if old.Replicas == 0 && f.MinReplicas > 0 && old.Revision == f.Revision {
		return 0 // it is scaled to zero, and nothing about it is new
	}
	return r.limit(f, max(old.Replicas, f.MinReplicas))
}

// syncSecrets fetches secrets that a function wants: another instance may have made them just now.
func (r *Registry) syncSecrets(ctx context.Context, wanted []string) error {
	if len(wanted) == 0 {
		return nil
	}
	return r.cfg.SyncSecrets(ctx)
}

// restarted is the revision of a spec whose replicas are replaced at a time.
func restarted(d types.FunctionDeployment, at time.Time) string {
	sum := sha256.Sum256([]byte(revision(d) + at.Format(time.RFC3339Nano)))
	return hex.EncodeToString(sum[:6])
}

// revision tells one spec from another.
func revision(d types.FunctionDeployment) string {
	text, _ := json.Marshal(d) // maps are written in the order of their keys
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
