package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
)

// Pause stops the deliveries of a subscription in all instances, until Resume: Take takes nothing. Messages
// are accepted, and what is in flight ends as usual. It returns since when the subscription is paused, and
// ErrNoGroup if its group does not exist. A second Pause changes nothing.
//
// The pause ends with the subscription: Unsubscribe removes it.
func (c *Client) Pause(ctx context.Context, s wire.Subscription) (since time.Time, err error) {
	text, err := pauseLua.Run(ctx, c.rdb, []string{s.Stream, keyPaused(s)}, s.Group).Text()
	if err != nil {
		return since, unavailable("pause "+s.Stream, err)
	}
	if text == "" {
		return since, fmt.Errorf("%w: %s", ErrNoGroup, s)
	}
	return pausedSince(text), nil
}

// Resume ends a pause, if there is one. Dispatchers must be told, or they find out when they next look.
func (c *Client) Resume(ctx context.Context, s wire.Subscription) error {
	return unavailable("resume "+s.Stream, c.rdb.Del(ctx, keyPaused(s)).Err())
}

// pausedSince reads the value of a pause. One that somebody else has written, and that has no time, began
// long ago.
func pausedSince(text string) time.Time {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		ms = 0
	}
	return time.UnixMilli(ms).UTC()
}
