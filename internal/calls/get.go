package calls

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A Story is a call with its attempts, and with what it caused.
type Story struct {
	*Call
	Attempts []Attempt `json:"attempts"`
	Caused   []*Call   `json:"caused"` // oldest first
}

// Get returns a call by its call id, or by the ID of a Call. If several calls have the call id, it returns
// the one that began first, and the others as caused.
//
// It returns an error of code NotFound if it knows no such call; the error says so if the call has ended too
// long ago.
func (x *Index) Get(ctx context.Context, id string) (Story, error) {
	live := redis.LiveQuery{CallID: id}
	if queue, message := readID(id); queue != "" {
		live = redis.LiveQuery{Only: message}
	}
	selected := func(c *Call) bool { return c.CallID == id || c.ID == id }
	list, err := x.all(ctx, live, selected)
	if err != nil {
		return Story{}, err
	}
	if len(list) == 0 {
		return Story{}, x.unknown(id)
	}
	first := list[0]
	s := Story{Call: first, Attempts: first.attempts(), Caused: []*Call{}}
	// What a call causes has its call id and its trace.
	list, err = x.all(ctx, redis.LiveQuery{CallID: first.CallID}, func(c *Call) bool {
		return c.CallID == first.CallID || first.TraceID != "" && c.TraceID == first.TraceID
	})
	if err != nil {
		return Story{}, err
	}
	for _, c := range list {
		if c.ID != first.ID && c.begun() >= first.begun() {
			s.Caused = append(s.Caused, c)
		}
	}
	first.Bodies, err = x.bodies(ctx, first)
	return s, err
}

// all returns the selected calls, the oldest first.
func (x *Index) all(
	ctx context.Context, live redis.LiveQuery, selected func(*Call) bool,
) ([]*Call, error) {
	found := map[string]*Call{}
	take := func(c *Call) {
		if _, ok := found[c.ID]; !ok && selected(c) {
			found[c.ID] = c
		}
	}
	x.cfg.Sync.each(take)
	live.Most = maxLive
	if err := x.queued(ctx, Query{}, live, take); err != nil {
		return nil, err
	}
	list := slices.Collect(maps.Values(found))
	slices.SortFunc(list, func(a, b *Call) int {
		if a.before(b.begun(), b.ID) {
			return 1
		}
		return -1
	})
	return list, nil
}

// unknown returns the error for a call that is neither queued nor recorded. The ids that Hearth makes tell
// when.
func (x *Index) unknown(id string) error {
	if u, err := uuid.Parse(id); err == nil && u.Version() == 7 {
		sec, nsec := u.Time().UnixTime()
		if age := time.Since(time.Unix(sec, nsec)); x.cfg.Limit.Age > 0 && age > x.cfg.Limit.Age {
			return hearth.Errorf(hearth.NotFound,
				"the call %s finished more than %s ago, and the record keeps calls for no longer",
				id, inHours(x.cfg.Limit.Age))
		}
	}
	return hearth.Errorf(hearth.NotFound,
		"no call %.200q is queued, in flight or recorded: it never existed, or its record was dropped", id)
}

// inHours returns a duration for people: "24 h", or as Go writes it.
func inHours(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.String()
}

// bodies reads the recorded bodies of a call, or returns nil.
func (x *Index) bodies(ctx context.Context, c *Call) (*RecordedBodies, error) {
	s, ok := x.subscription(c)
	if !ok || c.entry == "" {
		return nil, nil
	}
	entry, detail := c.entry, c.detail != ""
	if detail { // it has all that the entry has, and more
		entry = c.detail
	}
	e, ok, err := x.cfg.Redis.EndedEntry(ctx, s, entry, detail)
	var data Entry
	if err != nil || !ok || json.Unmarshal([]byte(e.Text), &data) != nil || data.Bodies == nil {
		return nil, err
	}
	return data.Bodies.forPeople(), nil
}

func (b *Bodies) forPeople() *RecordedBodies {
	return &RecordedBodies{
		Request:     b.Request,
		ContentType: b.ContentType,
		Query:       b.Query,
		Header:      b.Header,
		Answer:      b.Answer,
		TooLarge:    b.Cut,
	}
}

// subscription returns the subscription of a call's queue.
func (x *Index) subscription(c *Call) (wire.Subscription, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for s := range x.subs {
		if of, ok := redis.QueueOf(s); ok && of.Name == c.Queue {
			return s, true
		}
	}
	return wire.Subscription{}, false
}

// Replayed returns a recorded call as it can be queued again. id is the ID of a Call or a call id.
//
// It returns an error of code Conflict for a call that cannot be queued again, such as one whose body was not
// recorded.
func (x *Index) Replayed(ctx context.Context, id string) (hearth.Name, redis.Call, error) {
	s, err := x.Get(ctx, id)
	if err != nil {
		return hearth.Name{}, redis.Call{}, err
	}
	c := s.Call
	no := func(why string) (hearth.Name, redis.Call, error) {
		return c.name, redis.Call{},
			hearth.Errorf(hearth.Conflict, "call %.200q cannot be replayed: %s", id, why)
	}
	switch {
	case c.Kind != Async && c.Kind != Scheduled:
		return no("only calls of a function's own queue can")
	case c.EndedAt == nil:
		return no("it is still queued or in flight")
	case c.State == Dead && c.entry == "":
		return no("it is a dead letter: redrive it with hearth dead redrive")
	case c.Bodies == nil:
		return no("its body was not recorded; the annotation com.hearth.record: bodies records those of " +
			"later calls")
	case c.Bodies.TooLarge:
		return no("its body was too large to be recorded")
	}
	call := redis.Call{Entry: wire.Entry{
		Body:        c.Bodies.Request,
		ContentType: c.Bodies.ContentType,
		Method:      c.Method,
		Query:       c.Bodies.Query,
		Header:      c.Bodies.Header,
	}}
	if c.Path != "/" {
		call.Path = c.Path
	}
	return c.name, call, nil
}

// readID splits the ID of a Call of a queue.
func readID(id string) (queue, message string) {
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return "", id
	}
	return id[:i], id[i+1:]
}
