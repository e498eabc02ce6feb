package registry

import (
	"context"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// mustWrite reports whether something of a name is to be written to Redis, for which its change lease is
// needed. The record's turn is held.
func (r *Registry) mustWrite(rec *record) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return rec.unsaved || rec.failed != "" || len(rec.left) > 0 || rec.state == Left
}

// write writes to Redis what it lacks of a name, and removes what nobody wants. The change lease is held.
func (r *Registry) write(ctx context.Context, n hearth.Name, rec *record) error {
	if err := r.save(ctx, n, rec); err != nil {
		return err
	}
	if err := r.rollBack(ctx, n, rec); err != nil {
		return err
	}
	return r.tidy(ctx, n, rec, rec.desired)
}

// save gives Redis a state that it has lost, or could not be given before.
func (r *Registry) save(ctx context.Context, n hearth.Name, rec *record) error {
	if !rec.unsaved {
		return nil
	}
	if !rec.deployed() {
		if err := r.cfg.Queue.DeleteFunction(ctx, n, rec.left, r.cfg.Instance); err != nil {
			return err
		}
		rec.unsaved = false
		return nil
	}
	if err := r.saveSpec(ctx, n, rec.desired); err != nil {
		return err
	}
	rec.unsaved = false
	return r.observe(ctx, n, rec, rec.desired, false) // now that the groups are there
}

// saveSpec makes a function's consumer groups, and then saves its spec. Before the first group is made it
// notes all of them: should this instance stop before the spec is saved, another one removes them.
func (r *Registry) saveSpec(ctx context.Context, n hearth.Name, d desired) error {
	if err := r.cfg.Queue.LeftBehind(ctx, n, union(d.left, d.groups())); err != nil {
		return err
	}
	lost, err := r.cfg.Queue.SubscribeAll(ctx, d.groups())
	if err != nil {
		return err
	}
	r.warnLost(lost)
	return r.cfg.Queue.SaveFunction(ctx, d.spec, r.cfg.Instance)
}

func (r *Registry) warnLost(lost []wire.Subscription) {
	for _, s := range lost {
		r.cfg.Log.Error(
			"consumer group was lost from Redis and is made again; messages may be delivered a second time",
			"queue", s.String())
	}
}

// tidy removes the subscriptions that nobody wants: of a removed function those that are empty, as it may
// come back for the others; of a deployed one all, and then their messages stay on the stream.
func (r *Registry) tidy(ctx context.Context, n hearth.Name, rec *record, d desired) error {
	if rec.unsure {
		return nil
	}
	var stay []wire.Subscription
	for _, s := range d.left {
		done, err := r.cfg.Queue.Unsubscribe(ctx, s, d.deployed())
		if err != nil {
			return err
		}
		if !done {
			stay = append(stay, s)
		}
	}
	if !d.deployed() {
		if err := r.cfg.Queue.ForgetSchedule(ctx, n); err != nil {
			return err
		}
	}
	if !d.deployed() || len(d.left) > 0 {
		if err := r.cfg.Queue.LeftBehind(ctx, n, stay); err != nil {
			return err
		}
	}
	d.left = stay
	if d.state == Left && len(stay) == 0 {
		d.state = Gone
	}
	r.want(rec, d)
	r.deliverCallbacks(n, rec)
	return nil
}

// saveSize saves how many replicas a function has, for the next start.
func (r *Registry) saveSize(ctx context.Context, rec *record) error {
	if !rec.resized || !rec.deployed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	err := r.cfg.Queue.SaveReplicas(ctx, rec.spec)
	rec.resized = err != nil
	return err
}
