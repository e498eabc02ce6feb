package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Queue is one subscription, as the operator sees it.
type Queue struct {
	Name     string `json:"queue"`    // FUNCTION:TOPIC, FUNCTION:calls or FUNCTION:callbacks; the function with its namespace if it is not the default one
	Function string `json:"function"` // with its namespace
	Deployed bool   `json:"deployed"`
	redis.Depth
	LastError *dispatch.Failure `json:"last_error,omitempty"` // of a message that is tried again, as far as this instance knows

	sub chain.Subscription
}

// Queued is how many messages are to be delivered, those that wait for a retry included.
func (q Queue) Queued() int { return q.Waiting + q.Due }

// queueName is how people call a subscription.
func queueName(s chain.Subscription) (name string, n hearth.Name, ok bool) {
	n, err := hearth.ParseName(s.Group)
	if err != nil {
		return "", n, false
	}
	function := n.Function
	if n.Namespace != hearth.DefaultNamespace {
		function = n.String()
	}
	switch s {
	case redis.CallsOf(n):
		return function + ":calls", n, true
	case redis.CallbacksOf(n):
		return function + ":callbacks", n, true
	}
	topic, ok := chain.Topic(s.Stream)
	return function + ":" + topic, n, ok
}

// AllQueues are all subscriptions, also those that removed functions have left, by name.
func (g *Gateway) AllQueues(ctx context.Context) ([]Queue, error) {
	list, err := Queues(ctx, g.cfg.Queue, func(n hearth.Name) bool {
		if g.cfg.Registry == nil { // see QueueAPI
			return true
		}
		_, deployed := g.cfg.Registry.Function(n)
		return deployed
	})
	for i := range list {
		if g.cfg.Dispatch != nil {
			list[i].LastError = g.cfg.Dispatch.LastFailure(list[i].sub)
		}
	}
	return list, err
}

// Queues are all subscriptions that a Redis has, by name.
func Queues(ctx context.Context, queue *redis.Client, deployed func(hearth.Name) bool) ([]Queue, error) {
	subs, err := queue.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	depths, err := queue.Depths(ctx, subs)
	if err != nil {
		return nil, err
	}
	list := []Queue{}
	for i, s := range subs {
		name, n, ok := queueName(s)
		if !ok {
			continue
		}
		list = append(list, Queue{Name: name, Function: n.String(), Deployed: deployed(n), Depth: depths[i], sub: s})
	}
	slices.SortFunc(list, func(a, b Queue) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// selected are the queues that a request means: those of a function, or the one of that name, or all.
func (g *Gateway) selected(ctx context.Context, queue, function string) ([]Queue, error) {
	all, err := g.AllQueues(ctx)
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
	var list []Queue
	for _, q := range all {
		if (queue == "" || q.Name == queue) && (function == "" || q.Function == function) {
			list = append(list, q)
		}
	}
	if len(list) == 0 && queue != "" {
		return nil, hearth.Errorf(hearth.NotFound, "there is no queue %.200q; a queue is called FUNCTION:TOPIC, FUNCTION:calls or FUNCTION:callbacks", queue)
	}
	if len(list) == 0 && function != "" {
		return nil, hearth.Errorf(hearth.NotFound, "the function %.200q has no queues", function)
	}
	return list, nil
}

func (g *Gateway) queues(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	queue, err := in.value("queue", "", "queue")
	if err != nil {
		return err
	}
	function, err := in.queueOwner()
	if err != nil {
		return err
	}
	list, err := g.selected(r.Context(), queue, function)
	if err != nil {
		return err
	}
	if list == nil {
		list = []Queue{}
	}
	return writeJSON(w, http.StatusOK, list)
}

// purgeQueue deletes the queued or delayed calls of one queue: {"queue": "NAME:calls", "queued": true, "delayed": true}. Dead letters
// have a separate request.
func (g *Gateway) purgeQueue(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	var what struct {
		Queued  bool `json:"queued"`
		Delayed bool `json:"delayed"`
	}
	if err := in.fields(&what, "queued", "delayed"); err != nil {
		return err
	}
	name, err := in.value("queue", "", "queue")
	if err != nil {
		return err
	}
	function, err := in.queueOwner()
	switch {
	case err != nil:
		return err
	case len(in.query["queued"])+len(in.query["delayed"]) > 0:
		return hearth.Errorf(hearth.Invalid, "put queued and delayed into the body")
	case name == "":
		return hearth.Errorf(hearth.Invalid, "say which queue to purge, such as NAME:calls")
	case !what.Queued && !what.Delayed:
		return hearth.Errorf(hearth.Invalid, "say what to purge: queued, delayed, or both")
	}
	queues, err := g.selected(r.Context(), name, function)
	if err != nil {
		return err
	}
	done, err := g.cfg.Queue.Clear(r.Context(), queues[0].sub, what.Queued, what.Delayed)
	if done.Queued+done.Delayed > 0 {
		g.cfg.Log.Info("purged a queue", "queue", queues[0].Name, "queued", done.Queued, "delayed", done.Delayed)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, done)
}
