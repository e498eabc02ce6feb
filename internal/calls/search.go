package calls

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// Limits of one answer of Search.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// A Query selects the calls that match all of its fields. An empty field matches every call.
type Query struct {
	Function *hearth.Name
	States   []State
	Kinds    []Kind
	Status   int
	CallID   string
	TraceID  string
	After    time.Time // begun then or after that
	Before   time.Time // begun before
	MinRun   float64   // ms of the run
	MaxRun   float64
	Limit    int    // defaults to DefaultLimit
	Cursor   string // of the last answer
}

// A Page has some of the calls that a Query selects, the newest first.
type Page struct {
	Calls []*Call `json:"calls"`
	Next  string  `json:"next"` // the cursor of the next page; "" if there is none
}

func (q Query) matches(c *Call) bool {
	begun := time.UnixMilli(c.begun())
	return (q.Function == nil || *q.Function == c.name) &&
		(len(q.States) == 0 || slices.Contains(q.States, c.State)) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, c.Kind)) &&
		(q.Status == 0 || q.Status == c.Status) &&
		(q.CallID == "" || q.CallID == c.CallID) &&
		(q.TraceID == "" || q.TraceID == c.TraceID) &&
		(q.After.IsZero() || !begun.Before(q.After)) &&
		(q.Before.IsZero() || begun.Before(q.Before)) &&
		(q.MinRun == 0 || c.Run >= q.MinRun) &&
		(q.MaxRun == 0 || c.Run <= q.MaxRun)
}

// wants reports whether the query may match calls of a state.
func (q Query) wants(states ...State) bool {
	return len(q.States) == 0 ||
		slices.ContainsFunc(states, func(s State) bool { return slices.Contains(q.States, s) })
}

// Search returns the newest calls that match, of all queues and of this instance's sync calls. It looks at
// the newest maxLive unfinished calls of each queue, or at all of them if the query names a call id.
//
// It returns an error of code Invalid for a cursor that it did not make, and of code Unavailable if Redis is.
func (x *Index) Search(ctx context.Context, q Query) (Page, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	ms, id, err := readCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	found := &newest{most: q.Limit + 1}
	take := func(c *Call) {
		if q.matches(c) && (q.Cursor == "" || !c.before(ms, id) && c.ID != id) {
			found.add(c)
		}
	}
	if len(q.Kinds) == 0 || slices.Contains(q.Kinds, Sync) {
		x.cfg.Sync.each(take)
	}
	if len(q.Kinds) != 1 || q.Kinds[0] != Sync {
		live := redis.LiveQuery{CallID: q.CallID, Most: maxLive}
		if ms > 0 {
			live.Before = strconv.FormatInt(ms+1, 10) + "-0"
		}
		if err := x.queued(ctx, q, live, take); err != nil {
			return Page{}, err
		}
	}
	page := Page{Calls: found.sorted()}
	if len(page.Calls) > q.Limit {
		page.Calls = page.Calls[:q.Limit]
		last := page.Calls[q.Limit-1]
		page.Next = cursor(last.begun(), last.ID)
	}
	return page, nil
}

// queued calls visit with calls of queues that the query may match: recorded ones, and the unfinished ones
// that live selects.
func (x *Index) queued(ctx context.Context, q Query, live redis.LiveQuery, visit func(*Call)) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.read(ctx); err != nil {
		return err
	}
	var subs []wire.Subscription
	for s, n := range x.subs {
		of, ok := redis.QueueOf(s)
		if !ok || q.Function != nil && *q.Function != of.Function {
			continue
		}
		subs = append(subs, s)
		if !q.wants(Succeeded, Cancelled, Dead) {
			continue
		}
		for i := len(n.list) - 1; i >= 0; i-- {
			if c, ok := n.list[i].call(s); ok {
				visit(c)
			}
		}
	}
	if !q.wants(Queued, Delayed, InFlight, Retrying, Dead) {
		return nil
	}
	return x.live(ctx, subs, live, visit)
}

// newest keeps the newest of the calls that it is given.
type newest struct {
	most int
	list []*Call
}

func (n *newest) add(c *Call) {
	n.list = append(n.list, c)
	if len(n.list) >= 4*n.most {
		n.sort()
	}
}

func (n *newest) sort() {
	slices.SortStableFunc(n.list, func(a, b *Call) int {
		switch {
		case a.before(b.begun(), b.ID):
			return -1
		case a.ID == b.ID:
			return 0
		}
		return 1
	})
	// A call that ended while it was looked for is in the record and on its queue: the record is right.
	n.list = slices.CompactFunc(n.list, func(a, b *Call) bool { return a.ID == b.ID })
	n.list = n.list[:min(len(n.list), n.most)]
}

func (n *newest) sorted() []*Call {
	n.sort()
	if n.list == nil {
		return []*Call{}
	}
	return n.list
}

func cursor(ms int64, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(ms, 10) + " " + id))
}

func readCursor(text string) (ms int64, id string, err error) {
	if text == "" {
		return 0, "", nil
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	number, id, ok := strings.Cut(string(plain), " ")
	if err == nil && ok {
		ms, err = strconv.ParseInt(number, 10, 64)
	}
	if err != nil || !ok || ms < 0 {
		return 0, "", hearth.Errorf(hearth.Invalid,
			"cursor is %.80q, want the field next of an earlier answer", text)
	}
	return ms, id, nil
}
