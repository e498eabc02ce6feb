package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
)

var liveLua = lua("live")

// A Live is an unfinished call.
type Live struct {
	ID       string
	State    string // queued, delayed, in_flight, retrying or dead
	Until    time.Time
	Attempts int
	Since    time.Time // when it was first taken; zero if it was not
	Last     *Failure  // of the last failed attempt
	Entry    wire.Entry
}

// NotEmpty returns those of the subscriptions that have messages, and whether each is paused.
func (c *Client) NotEmpty(
	ctx context.Context, subs []wire.Subscription,
) (paused map[wire.Subscription]bool, err error) {
	depths, err := c.counts(ctx, subs)
	if err != nil {
		return nil, err
	}
	paused = map[wire.Subscription]bool{}
	for i, d := range depths {
		if d.Waiting+d.Leased+d.Due+d.Delayed+d.Dead > 0 {
			paused[subs[i]] = d.Paused
		}
	}
	return paused, nil
}

// A LiveQuery selects unfinished calls. An empty field selects all.
type LiveQuery struct {
	CallID string
	Only   string // the id of the only entry that is meant
	Before string // the id of an entry: those that were queued before it
	Most   int    // how many; at least 1
}

// Live returns the newest of the selected calls of a subscription.
//
// Until is when a delayed call may be delivered, when the lease of one in flight ends, or when a dead letter
// was given up. Bodies and headers are left out.
func (c *Client) Live(
	ctx context.Context, s wire.Subscription, q LiveQuery,
) (list []Live, err error) {
	keys, _ := counted(s)
	from := "+"
	if q.Before != "" {
		from = q.Before
	}
	for from != "" && len(list) < q.Most {
		got, err := liveLua.Run(ctx, c.rdb, keys, s.Group, from, lookAtOnce, q.CallID, q.Only).Slice()
		if err != nil {
			if strings.Contains(err.Error(), "no such key") {
				return list, nil
			}
			return nil, unavailable("look for calls on "+s.Stream, err)
		}
		from = got[0].(string)
		for _, item := range got[1].([]any) {
			list = append(list, liveOf(item.([]any)))
		}
	}
	return list[:min(len(list), q.Most)], nil
}

func liveOf(item []any) Live {
	text := func(i int) string { value, _ := item[i].(string); return value }
	l := Live{ID: text(0), State: text(1)}
	if ms, err := strconv.ParseFloat(text(2), 64); err == nil && ms > 0 {
		l.Until = time.UnixMilli(int64(ms)).UTC()
	}
	if record := strings.Fields(text(3)); len(record) > 1 {
		l.Attempts, _ = strconv.Atoi(record[0])
		if ms, err := strconv.ParseInt(record[1], 10, 64); err == nil && ms > 0 {
			l.Since = time.UnixMilli(ms).UTC()
		}
	}
	if list := failuresOf(text(4)); len(list) > 0 {
		l.Last = &list[len(list)-1]
	}
	fields := []string{wire.FieldBody, ""}
	for _, f := range item[5].([]any) {
		text, _ := f.(string)
		fields = append(fields, text)
	}
	l.Entry, _ = wire.ParseEntry(fields)
	return l
}
