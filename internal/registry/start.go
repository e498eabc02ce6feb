package registry

import (
	"context"
	"slices"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
)

// Start brings back the functions that were deployed in an earlier life, and ends the leases of that life.
func (r *Registry) Start(ctx context.Context, instance string) error {
	functions, err := r.cfg.Queue.Functions(ctx)
	if err != nil {
		return err
	}
	made, err := r.cfg.Queue.Subscriptions(ctx)
	if err != nil {
		return err
	}
	for _, f := range functions {
		r.functions[f.Name()] = &entry{spec: f, callbacks: slices.Contains(made, redis.CallbacksOf(f.Name()))}
	}
	var wanted []chain.Subscription
	for _, e := range r.functions {
		wanted = append(wanted, bare(r.subscriptions(e.spec, e.callbacks))...)
	}
	lost, err := r.cfg.Queue.SubscribeAll(ctx, wanted)
	if err != nil {
		return err
	}
	r.warnLost(lost)
	for _, s := range made {
		if n, err := r.cfg.Queue.Reclaim(ctx, s, instance); err != nil {
			return err
		} else if n > 0 {
			r.cfg.Log.Info("calls that were under way when hearth ended are delivered again", "queue", s.String(), "count", n)
		}
		if n, err := hearth.ParseName(s.Group); err == nil && r.find(n) == nil && s == redis.CallbacksOf(n) {
			r.finishCallbacks(n) // its function was removed, but its callers wait
		}
	}
	for _, e := range r.functions {
		r.cfg.Router.Set(e.spec)
		if err := r.cfg.Provider.Apply(ctx, e.spec); err != nil {
			r.cfg.Log.Error("a deployed function cannot run; it is tried again when it is called", "function", e.spec.Name().String(), "error", err)
			asleep := e.spec
			asleep.Replicas = 0
			r.cfg.Router.Set(asleep)
		}
		r.cfg.Dispatch.Set(e.spec, r.subscriptions(e.spec, e.callbacks))
		if r.cfg.Cron != nil {
			r.cfg.Cron.Set(ctx, e.spec)
		}
	}
	return nil
}

// finishCallbacks delivers the callbacks that a removed function has left.
func (r *Registry) finishCallbacks(n hearth.Name) {
	f := hearth.Function{FunctionDeployment: types.FunctionDeployment{Service: n.Function, Namespace: n.Namespace}}
	r.cfg.Dispatch.Set(f, []dispatch.Subscription{{Subscription: redis.CallbacksOf(n)}})
}

func bare(subs []dispatch.Subscription) []chain.Subscription {
	list := make([]chain.Subscription, len(subs))
	for i, s := range subs {
		list[i] = s.Subscription
	}
	return list
}

func (r *Registry) warnLost(lost []chain.Subscription) {
	for _, s := range lost {
		r.cfg.Log.Error("a consumer group was lost from Redis and is made anew: messages that it had settled, and that another group still waits for, are delivered again",
			"queue", s.String())
	}
}
