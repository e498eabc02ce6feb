package gateway

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Queue is one subscription, as the operator sees it.
type Queue struct {
	Name     string `json:"queue"`    // FUNCTION:TOPIC, FUNCTION:calls or FUNCTION:callbacks; the function with its namespace if it is not the default one
	Function string `json:"function"` // with its namespace
	Deployed bool   `json:"deployed"`
	redis.Depth

	sub chain.Subscription
}

// A DeadLetter is one, as the operator sees it.
type DeadLetter struct {
	Queue string `json:"queue"`
	redis.DeadLetter
	Reason string `json:"reason"` // of the last failure

	// Of one letter only:
	CallID   string      `json:"call_id,omitempty"`
	Method   string      `json:"method,omitempty"`
	Path     string      `json:"path,omitempty"`
	Query    string      `json:"query,omitempty"`
	Header   http.Header `json:"header,omitempty"`
	Callback string      `json:"callback,omitempty"`
	Body     []byte      `json:"body,omitempty"` // base64
}

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
	subs, err := g.cfg.Queue.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	depths, err := g.cfg.Queue.Depths(ctx, subs)
	if err != nil {
		return nil, err
	}
	list := []Queue{}
	for i, s := range subs {
		name, n, ok := queueName(s)
		if !ok {
			continue
		}
		_, deployed := g.cfg.Registry.Function(n)
		list = append(list, Queue{Name: name, Function: n.String(), Deployed: deployed, Depth: depths[i], sub: s})
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
	list, err := g.selected(r.Context(), r.URL.Query().Get("queue"), r.URL.Query().Get("function"))
	if err != nil {
		return err
	}
	if list == nil {
		list = []Queue{}
	}
	return writeJSON(w, http.StatusOK, list)
}

const maxListed = 1000

// listDead lists dead letters, oldest first: ?function=, ?queue=, ?limit=.
func (g *Gateway) listDead(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit := 100
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return hearth.Errorf(hearth.Invalid, "the limit is %.20q, want a whole number from 1 to %d", text, maxListed)
		}
		limit = n
	}
	queues, err := g.selected(r.Context(), query.Get("queue"), query.Get("function"))
	if err != nil {
		return err
	}
	list := []DeadLetter{}
	for _, q := range queues {
		if q.Dead == 0 || len(list) >= limit {
			continue
		}
		letters, err := g.cfg.Queue.DeadLetters(r.Context(), q.sub, 0, limit-len(list))
		if err != nil {
			return err
		}
		for _, l := range letters {
			list = append(list, DeadLetter{Queue: q.Name, DeadLetter: l, Reason: lastReason(l)})
		}
	}
	slices.SortStableFunc(list, func(a, b DeadLetter) int { return a.Buried.Compare(b.Buried) })
	return writeJSON(w, http.StatusOK, list)
}

func lastReason(l redis.DeadLetter) string {
	if l.Bad != "" {
		return l.Bad
	}
	if len(l.Failures) == 0 {
		return ""
	}
	return l.Failures[len(l.Failures)-1].Reason
}

// showDead is one dead letter, with the call that it is.
func (g *Gateway) showDead(w http.ResponseWriter, r *http.Request) error {
	queues, err := g.selected(r.Context(), r.PathValue("queue"), "")
	if err != nil {
		return err
	}
	l, ok, err := g.cfg.Queue.DeadLetter(r.Context(), queues[0].sub, r.PathValue("id"))
	if err != nil {
		return err
	}
	if !ok {
		return hearth.Errorf(hearth.NotFound, "there is no dead letter %.80q in the queue %s", r.PathValue("id"), queues[0].Name)
	}
	e := l.Entry
	return writeJSON(w, http.StatusOK, DeadLetter{Queue: queues[0].Name, DeadLetter: l, Reason: lastReason(l), CallID: e.CallID,
		Method: e.Method, Path: e.Path, Query: e.Query, Header: e.Header, Callback: e.Callback, Body: e.Body})
}

// selection says which dead letters are meant.
type selection struct {
	Queue    string    `json:"queue"`    // of one queue; required with ids
	Function string    `json:"function"` // of one function
	IDs      []string  `json:"ids"`
	All      bool      `json:"all"`    // instead of ids; it must be said
	Before   time.Time `json:"before"` // with all: buried before
}

func (g *Gateway) redrive(w http.ResponseWriter, r *http.Request) error {
	return g.each(w, r, "redriven", func(ctx context.Context, q Queue, ids []string) (int, error) {
		n, err := g.cfg.Queue.Redrive(ctx, q.sub, ids)
		if name, err := hearth.ParseName(q.sub.Group); err == nil {
			g.cfg.Dispatch.Notify(name, q.sub)
		}
		return n, err
	})
}

func (g *Gateway) purge(w http.ResponseWriter, r *http.Request) error {
	return g.each(w, r, "purged", func(ctx context.Context, q Queue, ids []string) (int, error) {
		return g.cfg.Queue.Purge(ctx, q.sub, ids)
	})
}

// each does something with the dead letters that are meant, some at a time.
func (g *Gateway) each(w http.ResponseWriter, r *http.Request, what string, do func(context.Context, Queue, []string) (int, error)) error {
	var s selection
	if err := readJSON(r, &s); err != nil {
		return err
	}
	switch {
	case s.All == (len(s.IDs) > 0):
		return hearth.Errorf(hearth.Invalid, "say which dead letters are meant: either ids, or all")
	case len(s.IDs) > 0 && s.Queue == "":
		return hearth.Errorf(hearth.Invalid, "ids are of one queue: say which")
	case len(s.IDs) > maxListed:
		return hearth.Errorf(hearth.Invalid, "%d ids are too many, want at most %d", len(s.IDs), maxListed)
	}
	queues, err := g.selected(r.Context(), s.Queue, s.Function)
	if err != nil {
		return err
	}
	total := 0
	for _, q := range queues {
		if !s.All {
			n, err := do(r.Context(), q, s.IDs)
			if err != nil {
				return err
			}
			total += n
			continue
		}
		n, err := g.eachOf(r.Context(), q, s.Before, do)
		if err != nil {
			return err
		}
		total += n
	}
	return writeJSON(w, http.StatusOK, map[string]int{what: total})
}

// eachOf does it with all of a queue that were there when it began: one that dies again meanwhile is not taken twice.
func (g *Gateway) eachOf(ctx context.Context, q Queue, before time.Time, do func(context.Context, Queue, []string) (int, error)) (int, error) {
	if before.IsZero() {
		before = time.UnixMilli(math.MaxInt32 * 1000) // all that there are now
	}
	ids, err := g.cfg.Queue.DeadBefore(ctx, q.sub, before)
	if err != nil {
		return 0, err
	}
	total := 0
	for batch := range slices.Chunk(ids, maxListed) {
		n, err := do(ctx, q, batch)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}
