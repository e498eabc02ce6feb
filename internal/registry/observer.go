package registry

import (
	"context"

	"github.com/hearthfaas/hearth/internal/autoscale"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

// A Function is what is wanted of a deployed function here.
type Function struct {
	hearth.Function                         // Replicas is 0 while it is Degraded
	State           State                   // Deployed or Degraded
	Subscriptions   []dispatch.Subscription // the streams that it takes entries of; their groups are there
	Change          uint64                  // grows with each change of the function
	ByHand          bool                    // an operator has set its size with this change
	Before          *Function               // what was set before; nil if all of it is to be set
}

// sameRun reports whether nothing but subscriptions may differ from what was set before.
func (f Function) sameRun() bool {
	return f.sameSpec() && f.Before.State == f.State && f.Before.Replicas == f.Replicas
}

// sameSpec reports whether what was set before is of the same deployment.
func (f Function) sameSpec() bool { return f.Before != nil && same(f.Before.Function, f.Function) }

// An Observer acts on what is wanted of functions. It is not called twice at once for one name.
//
// Both methods are idempotent: the same function may be set again, and one that is not known may be deleted.
// They must not call the registry, and must not wait for calls or replicas to end. Only the provider may take
// long, to fetch an image.
type Observer interface {
	// Set makes a function what is wanted of it. If it returns an error, the function goes on as it was set
	// before; the observers before it are given that again, and those behind it are not called.
	Set(ctx context.Context, f Function) error
	// Delete forgets a function. ended is closed when its last call or replica has ended; nil is at once.
	Delete(n hearth.Name) (ended <-chan struct{})
}

// routes lets the router know functions.
type routes struct{ *router.Router }

func (o routes) Set(_ context.Context, f Function) error {
	o.Router.Set(f.Function)
	return nil
}

func (o routes) Delete(n hearth.Name) <-chan struct{} {
	o.Router.Delete(n)
	return nil
}

// replicas lets the provider run functions.
type replicas struct{ hearth.Provider }

func (o replicas) Set(ctx context.Context, f Function) error {
	switch {
	case f.sameRun():
		return nil
	case f.State == Degraded:
		o.Remove(f.Name()) // replicas of an earlier spec
		return nil
	}
	return o.Apply(ctx, f.Function)
}

func (o replicas) Delete(n hearth.Name) <-chan struct{} { return o.Remove(n) }

// lanes lets the dispatcher deliver to functions.
type lanes struct{ *dispatch.Dispatcher }

func (o lanes) Set(_ context.Context, f Function) error {
	o.Dispatcher.Set(f.Function, f.Subscriptions)
	return nil
}

// sizes lets the autoscaler scale functions.
type sizes struct{ *autoscale.Autoscaler }

func (o sizes) Set(_ context.Context, f Function) error {
	switch {
	case f.Before != nil && f.Before.Change == f.Change:
	case f.ByHand:
		o.SetByHand(f.Function, f.Change)
	default:
		o.Autoscaler.Set(f.Function, f.Change)
	}
	return nil
}

func (o sizes) Delete(n hearth.Name) <-chan struct{} {
	o.Autoscaler.Delete(n)
	return nil
}

// schedules lets the scheduler call functions. Also one that cannot run here: its calls wait for an instance
// where it can.
type schedules struct{ *cron.Scheduler }

func (o schedules) Set(ctx context.Context, f Function) error {
	if !f.sameSpec() {
		o.Scheduler.Set(ctx, f.Function)
	}
	return nil
}

func (o schedules) Delete(n hearth.Name) <-chan struct{} {
	o.Forget(n)
	return nil
}
