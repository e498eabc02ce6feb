package queue

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Queue is one subscription and how many of its messages are in each state. It is what GET /system/queues
// answers and the command line reads.
type Queue struct {
	// Name is FUNCTION:TOPIC, FUNCTION:calls or FUNCTION:callbacks. FUNCTION has its namespace unless that is
	// the default one.
	Name string `json:"queue"`
	// Function always has its namespace.
	Function string `json:"function"`
	Deployed bool   `json:"deployed"`

	Queued   int `json:"queued"`    // to be delivered, with those that wait for a retry
	Retrying int `json:"retrying"`  // of the queued ones, those that wait for a retry
	InFlight int `json:"in_flight"` // delivered and not settled

	Paused   bool       `json:"paused"` // it accepts messages, and delivers none
	PausedAt *time.Time `json:"paused_at,omitempty"`

	// Depth has the other counts. Its fields waiting, leased and due are deprecated names of what the fields
	// above say.
	redis.Depth

	// LastError is the last failed attempt of a message that is retried, as far as this instance knows.
	LastError *dispatch.Failure `json:"last_error,omitempty"`

	sub wire.Subscription
}

// CallsOf returns the function whose async calls the queue has. ok is false for the queue of a topic or of
// callbacks.
func (q Queue) CallsOf() (n hearth.Name, ok bool) {
	n, err := hearth.ParseName(q.sub.Group)
	return n, err == nil && q.sub == redis.CallsOf(n)
}

// OfCallbacks reports whether the queue has the callbacks of a function.
func (q Queue) OfCallbacks() bool {
	n, err := hearth.ParseName(q.sub.Group)
	return err == nil && q.sub == redis.CallbacksOf(n)
}

// Subscription returns the stream and the group of the queue.
func (q Queue) Subscription() wire.Subscription { return q.sub }

// Config is what an Admin works with.
type Config struct {
	Redis *redis.Client
	// Deployed reports whether a function is deployed. Defaults to true for each, for where that is unknown.
	Deployed func(hearth.Name) bool
	// LastFailure returns the last failed attempt of a message that is retried, or nil. Defaults to nil for
	// each queue.
	LastFailure func(wire.Subscription) *dispatch.Failure
	// Limit returns how much a function's queue may hold. Defaults to hearth.DefaultQueueLimit for each.
	Limit func(hearth.Name) hearth.QueueLimit
	// Notify is called after messages of a queue were redriven, and after a queue was paused or resumed.
	// Defaults to nothing: then a dispatcher finds out when it next looks.
	Notify func(hearth.Name, wire.Subscription)
}

// An Admin lists and changes the queues of one Redis.
type Admin struct{ cfg Config }

// New makes an Admin.
func New(cfg Config) *Admin {
	if cfg.Deployed == nil {
		cfg.Deployed = func(hearth.Name) bool { return true }
	}
	if cfg.LastFailure == nil {
		cfg.LastFailure = func(wire.Subscription) *dispatch.Failure { return nil }
	}
	if cfg.Limit == nil {
		cfg.Limit = func(hearth.Name) hearth.QueueLimit { return hearth.DefaultQueueLimit }
	}
	if cfg.Notify == nil {
		cfg.Notify = func(hearth.Name, wire.Subscription) {}
	}
	return &Admin{cfg}
}

// List returns all queues by name, with those of functions that were removed.
func (a *Admin) List(ctx context.Context) ([]Queue, error) {
	subs, err := a.cfg.Redis.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	depths, err := a.cfg.Redis.Depths(ctx, subs)
	if err != nil {
		return nil, err
	}
	list := []Queue{}
	for i, s := range subs {
		of, ok := redis.QueueOf(s)
		if !ok {
			continue
		}
		d := depths[i]
		q := Queue{
			Name:      of.Name,
			Function:  of.Function.String(),
			Deployed:  a.cfg.Deployed(of.Function),
			Queued:    d.Waiting + d.Due,
			Retrying:  d.Due,
			InFlight:  d.Leased,
			Depth:     d,
			LastError: a.cfg.LastFailure(s),
			sub:       s,
		}
		if d.Paused {
			q.Paused, q.PausedAt = true, &d.PausedAt
		}
		list = append(list, q)
	}
	slices.SortFunc(list, func(a, b Queue) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Find returns the queue of a name, the queues of a function, or, if both are "", all of them. It returns an
// error of code NotFound if a name or a function has none.
func (a *Admin) Find(ctx context.Context, queue, function string) ([]Queue, error) {
	all, err := a.List(ctx)
	if err != nil {
		return nil, err
	}
	if function != "" {
		n, err := hearth.ParseName(function)
		if err != nil {
			return nil, err
		}
		function = n.String()
	}
	list := []Queue{}
	for _, q := range all {
		if (queue == "" || q.Name == queue) && (function == "" || q.Function == function) {
			list = append(list, q)
		}
	}
	if len(list) == 0 && queue != "" {
		return nil, hearth.Errorf(hearth.NotFound,
			"there is no queue %.200q; a queue is called FUNCTION:TOPIC, FUNCTION:calls or "+
				"FUNCTION:callbacks",
			queue)
	}
	if len(list) == 0 && function != "" {
		return nil, hearth.Errorf(hearth.NotFound, "the function %.200q has no queues", function)
	}
	return list, nil
}

// Clear deletes calls of a queue that are not in flight: the queued ones, the delayed ones, or both. Dead
// letters stay.
func (a *Admin) Clear(ctx context.Context, q Queue, queued, delayed bool) (redis.Cleared, error) {
	return a.cfg.Redis.Clear(ctx, q.sub, queued, delayed)
}
