package registry

import (
	"context"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// State is the state of a name on this instance. See the package comment.
type State int

const (
	// Gone is the state of a name without a function, of which nothing is left.
	Gone State = iota
	// Deployed is the state of a function that runs here.
	Deployed
	// Degraded is the state of a deployed function that the provider cannot run.
	Degraded
	// Draining is the state of a removed function whose calls or replicas here have not ended.
	Draining
	// Left is the state of a removed function that has ended, and whose subscriptions may have messages.
	Left
)

// A desired is what is wanted of one name here.
type desired struct {
	state     State
	spec      hearth.Function     // as it was deployed last, with the replicas that it is to have here
	callbacks bool                // it has a queue for callbacks: it has been called with a callback URL once
	left      []wire.Subscription // to remove: once empty, or at once if the function is deployed
}

// deployed reports whether there is a function.
func (d desired) deployed() bool { return d.state == Deployed || d.state == Degraded }

// function is the spec as others see it: a function that cannot run here has no replicas.
func (d desired) function() hearth.Function {
	f := d.spec
	if d.state == Degraded {
		f.Replicas = 0
	}
	return f
}

// subscriptions are the streams that a function takes entries of, here and now.
func (d desired) subscriptions() []dispatch.Subscription {
	n := d.spec.Name()
	var subs []dispatch.Subscription
	if d.state != Degraded {
		subs = append(subs, dispatch.Subscription{Subscription: redis.CallsOf(n)})
		for _, topic := range d.spec.Topics {
			subs = append(subs, dispatch.Subscription{Subscription: redis.TopicOf(n, topic), Topic: topic})
		}
	}
	if d.callbacks {
		subs = append(subs, dispatch.Subscription{Subscription: redis.CallbacksOf(n)})
	}
	return subs
}

// groups are the consumer groups that a function has in Redis, whether it can run here or not.
func (d desired) groups() []wire.Subscription {
	d.state = Deployed
	subs := d.subscriptions()
	list := make([]wire.Subscription, len(subs))
	for i, s := range subs {
		list[i] = s.Subscription
	}
	return list
}

// same reports whether one deployment made both specs.
func same(a, b hearth.Function) bool {
	return a.Revision == b.Revision && a.DeployedAt.Equal(b.DeployedAt)
}

// A record is all that the registry knows of one name.
type record struct {
	turn sync.Mutex // one change or sync at a time

	// desired is written under turn and Registry.mu, and read under either.
	desired

	// Under turn:
	told    uint64           // the change that the observers know; 0 if they do not know the function
	lane    bool             // the dispatcher delivers the callbacks that a removed function has left
	unsaved bool             // Redis does not have this state
	anew    bool             // the observers are to be given all of it again
	unsure  bool             // Redis has a record that is not used: the function may or may not exist
	resized bool             // Redis does not have this number of replicas
	byHand  time.Time        // when an operator has set the number; zero if a call has woken it since
	back    *hearth.Function // the provider has rolled back to this spec, and nobody else knows yet

	// Under Registry.mu:
	found  []wire.Subscription // subscriptions in Redis that the last resync took for unwanted
	failed string              // why the replicas of the spec cannot get ready; "" if they can
	drain  *drain              // of the function that was removed last; nil if it has ended
}

// A drain is the end of a removed function's calls and replicas.
type drain struct{ began time.Time }

// find is a name's record, or nil.
func (r *Registry) find(n hearth.Name) *record {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.records[n]
}

// enter takes a name's turn. It waits for the change that is under way here.
func (r *Registry) enter(n hearth.Name) *record {
	for {
		r.mu.Lock()
		rec := r.records[n]
		if rec == nil {
			rec = &record{}
			r.records[n] = rec
		}
		r.mu.Unlock()
		rec.turn.Lock()
		if r.find(n) == rec {
			return rec
		}
		rec.turn.Unlock() // it was forgotten meanwhile
	}
}

// leave ends a turn. A name that is Gone is forgotten.
func (r *Registry) leave(n hearth.Name, rec *record) {
	r.mu.Lock()
	if rec.state == Gone && !rec.unsaved {
		delete(r.records, n)
	}
	r.mu.Unlock()
	rec.turn.Unlock()
}

// lease begins a change of a function, and follows what other instances have changed before. No other
// instance changes it until end is called. wait is how long it waits for another instance to end its change.
func (r *Registry) lease(
	ctx context.Context, n hearth.Name, rec *record, wait time.Duration,
) (end func(), err error) {
	patient, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	end, err = r.cfg.Queue.BeginChange(patient, n, r.cfg.Instance)
	if err != nil {
		return nil, err
	}
	if err := r.follow(ctx, n, rec); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// want notes what is wanted of a name. The record's turn is held.
func (r *Registry) want(rec *record, d desired) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.desired = d
	r.subscribers = nil
}
