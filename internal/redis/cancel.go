package redis

import (
	"context"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// cancelLook is how many entries one script looks at: so many take Redis about a millisecond, in which it does nothing else.
const cancelLook = 1000

// Cancel takes all calls with a call id out of a function's own queue: those that wait, and those under way, whose answers then
// count for nothing. It looks through the whole queue, unless it is told the id of the only entry that is meant. It returns the
// entries' ids, and those of dead letters with that call id, which it leaves alone.
func (c *Client) Cancel(ctx context.Context, n hearth.Name, callID, only string) (cancelled, dead []string, err error) {
	s := CallsOf(n)
	keys, _ := counted(s)
	for from := "-"; from != ""; {
		got, err := cancelLua.Run(ctx, c.rdb, keys, s.Group, callID, from, cancelLook, only).Slice()
		if err != nil {
			return cancelled, dead, away("look for the call in the queue of "+n.Function, err)
		}
		from = got[0].(string)
		cancelled = appendStrings(cancelled, got[1])
		dead = appendStrings(dead, got[2])
	}
	return cancelled, dead, nil
}

func appendStrings(list []string, got any) []string {
	for _, item := range got.([]any) {
		list = append(list, item.(string))
	}
	return list
}
