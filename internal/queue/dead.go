package queue

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A DeadLetter is a message that failed permanently, with the reason.
type DeadLetter struct {
	Queue string `json:"queue"`
	redis.DeadLetter
	Reason string `json:"reason"` // of the last failure

	// The fields below are of the call. Only WithCall sets them.

	CallID      string      `json:"call_id,omitempty"`
	ContentType string      `json:"content_type,omitempty"`
	Method      string      `json:"method,omitempty"`
	Path        string      `json:"path,omitempty"`
	Query       string      `json:"query,omitempty"`
	Header      http.Header `json:"header,omitempty"`
	Callback    string      `json:"callback,omitempty"` // without its password
	Body        []byte      `json:"body,omitempty"`     // base64 in JSON
}

// WithCall returns the dead letter with the call that failed.
func (l DeadLetter) WithCall() DeadLetter {
	e := l.Entry
	l.CallID, l.ContentType = e.CallID, e.ContentType
	l.Method, l.Path, l.Query, l.Header = e.Method, e.Path, e.Query, e.Header
	l.Callback, l.Body = redacted(e.Callback), e.Body
	return l
}

// redacted returns a callback URL without its password.
func redacted(callback string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return "a URL that cannot be read"
	}
	return u.Redacted()
}

// A Selection chooses dead letters: those that match all of its fields. An empty field matches each.
type Selection struct {
	Queue    string    `json:"queue"`    // name of a queue; IDs need it
	Function string    `json:"function"` // all queues of a function
	IDs      []string  `json:"ids"`
	All      bool      `json:"all"`    // instead of IDs, for Redrive and Purge: all that match
	Before   time.Time `json:"before"` // became dead then or before
	After    time.Time `json:"after"`  // became dead after that
	Status   int       `json:"status"` // of the last answer
	Reason   string    `json:"reason"` // part of the reason of the last failure, in any case
}

// MaxIDs is how many IDs a Selection may have.
const MaxIDs = 1000

// readAtOnce is how many dead letters are in memory at once: the body of each may have a megabyte.
const readAtOnce = 50

// validate returns an error of code Invalid unless it is clear which dead letters to change.
func (s Selection) validate() error {
	switch {
	case s.All == (len(s.IDs) > 0):
		return hearth.Errorf(hearth.Invalid, "say which dead letters are meant: either ids, or all")
	case len(s.IDs) > 0 && s.Queue == "":
		return hearth.Errorf(hearth.Invalid, "ids are of one queue: say which")
	case len(s.IDs) > MaxIDs:
		return hearth.Errorf(hearth.Invalid, "%d ids are too many, want at most %d", len(s.IDs), MaxIDs)
	}
	return nil
}

// matches compares the fields that Redis cannot select by.
func (s Selection) matches(l redis.DeadLetter) bool {
	return (s.Status == 0 || s.Status == l.Status()) &&
		(s.Reason == "" || strings.Contains(strings.ToLower(l.Reason()), strings.ToLower(s.Reason)))
}

// DeadLetter returns one dead letter. It returns an error of code NotFound if there is none.
func (a *Admin) DeadLetter(ctx context.Context, queue, id string) (DeadLetter, error) {
	queues, err := a.Find(ctx, queue, "")
	if err != nil {
		return DeadLetter{}, err
	}
	l, ok, err := a.cfg.Redis.DeadLetter(ctx, queues[0].sub, id)
	if err != nil {
		return DeadLetter{}, err
	}
	if !ok {
		return DeadLetter{}, noDeadLetter(queue, id)
	}
	return DeadLetter{Queue: queue, DeadLetter: l, Reason: l.Reason()}, nil
}

// EachDeadLetter calls visit for each selected dead letter, queue by queue, oldest first, until visit returns
// an error. It ignores IDs and All. A message that becomes dead meanwhile is not visited, so one that dies
// again is visited once.
func (a *Admin) EachDeadLetter(ctx context.Context, s Selection, visit func(DeadLetter) error) error {
	queues, err := a.Find(ctx, s.Queue, s.Function)
	if err != nil {
		return err
	}
	for _, q := range queues {
		if err := a.eachIn(ctx, q, s, visit); err != nil {
			return err
		}
	}
	return nil
}

// eachIn is EachDeadLetter for one queue.
func (a *Admin) eachIn(ctx context.Context, q Queue, s Selection, visit func(DeadLetter) error) error {
	if q.Dead == 0 {
		return nil
	}
	ids, err := a.cfg.Redis.DeadIDs(ctx, q.sub, s.After, s.Before)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(ids, readAtOnce) {
		list, err := a.cfg.Redis.DeadLettersOf(ctx, q.sub, some)
		if err != nil {
			return err
		}
		for _, l := range list {
			if !s.matches(l) {
				continue
			}
			if err := visit(DeadLetter{Queue: q.Name, DeadLetter: l, Reason: l.Reason()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Redrive queues the selected dead letters again, and returns how many.
func (a *Admin) Redrive(ctx context.Context, s Selection) (int, error) {
	return a.change(ctx, s, func(q Queue, ids []string) (int, error) {
		n, err := a.cfg.Redis.Redrive(ctx, q.sub, ids)
		if name, err := hearth.ParseName(q.sub.Group); err == nil {
			a.cfg.Notify(name, q.sub)
		}
		return n, err
	})
}

// Purge deletes the selected dead letters, and returns how many.
func (a *Admin) Purge(ctx context.Context, s Selection) (int, error) {
	return a.change(ctx, s, func(q Queue, ids []string) (int, error) {
		return a.cfg.Redis.Purge(ctx, q.sub, ids)
	})
}

// change does something with the selected dead letters, some at a time. Messages that become dead meanwhile
// are left alone.
func (a *Admin) change(ctx context.Context, s Selection, do func(Queue, []string) (int, error)) (total int,
	err error) {
	if err := s.validate(); err != nil {
		return 0, err
	}
	queues, err := a.Find(ctx, s.Queue, s.Function)
	if err != nil {
		return 0, err
	}
	if !s.All {
		return do(queues[0], s.IDs)
	}
	for _, q := range queues {
		ids, err := a.selectedIDs(ctx, q, s)
		if err != nil {
			return total, err
		}
		for some := range slices.Chunk(ids, MaxIDs) {
			n, err := do(q, some)
			total += n
			if err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// selectedIDs returns the ids of a queue's selected dead letters. It reads their calls only if it must.
func (a *Admin) selectedIDs(ctx context.Context, q Queue, s Selection) (ids []string, err error) {
	if s.Status == 0 && s.Reason == "" {
		return a.cfg.Redis.DeadIDs(ctx, q.sub, s.After, s.Before)
	}
	err = a.eachIn(ctx, q, s, func(l DeadLetter) error {
		ids = append(ids, l.ID)
		return nil
	})
	return ids, err
}
