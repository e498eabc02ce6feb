package redis

import (
	"context"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// lookAtOnce is how many entries one script looks at: so many small ones take Redis about a millisecond, in
// which it does nothing else. Of large ones it looks at fewer.
const lookAtOnce = 1000

// endAtOnce is the same for scripts that end all that they look at, and record it.
const endAtOnce = 250

// Cancel takes all calls with a call id out of a function's own queue: those that wait, and those in flight,
// whose answers then count for nothing. It looks through the whole queue, unless it is told the id of the
// only entry that is meant. It returns the entries' ids, and those of dead letters with that call id, which
// it leaves alone.
func (c *Client) Cancel(
	ctx context.Context, n hearth.Name, callID, only string,
) (cancelled, dead []string, err error) {
	s := CallsOf(n)
	keys, _ := recorded(s)
	for from := "-"; from != ""; {
		got, err := cancelLua.Run(ctx, c.rdb, keys, s.Group, callID, from, lookAtOnce, only,
			c.recording()).Slice()
		if err != nil {
			return cancelled, dead, unavailable("look for the call in the queue of "+n.Function, err)
		}
		from = got[0].(string)
		cancelled = appendStrings(cancelled, got[1])
		dead = appendStrings(dead, got[2])
	}
	return cancelled, dead, nil
}

// Cleared is how many calls Clear deleted.
type Cleared struct {
	Queued  int `json:"queued"`  // they could have been delivered at once, or waited for a retry
	Delayed int `json:"delayed"` // they waited for their time
}

// Clear deletes queued calls, delayed calls, or both from a function's own queue or its callbacks. It leaves
// dead letters, calls in flight, and calls that are queued after it began.
func (c *Client) Clear(
	ctx context.Context, s wire.Subscription, queued, delayed bool,
) (done Cleared, err error) {
	keys, kind := recorded(s)
	if kind == "" {
		return done, hearth.Errorf(hearth.Invalid,
			"%s is a topic: its messages belong to the functions that publish them", s.Stream)
	}
	newest, err := c.rdb.XRevRangeN(ctx, s.Stream, "+", "-", 1).Result()
	if err != nil || len(newest) == 0 {
		return done, unavailable("look at "+s.Stream, err)
	}
	flag := map[bool]string{true: "1"}
	for from := "-"; from != ""; {
		got, err := clearLua.Run(ctx, c.rdb, keys, s.Group, from, newest[0].ID, endAtOnce, flag[queued],
			flag[delayed], c.recording()).Slice()
		if err != nil {
			return done, unavailable("clear "+s.Stream, err)
		}
		from = got[0].(string)
		done.Queued += int(got[1].(int64))
		done.Delayed += int(got[2].(int64))
	}
	return done, nil
}

func appendStrings(list []string, got any) []string {
	for _, item := range got.([]any) {
		list = append(list, item.(string))
	}
	return list
}
