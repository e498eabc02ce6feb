package calls

import (
	"context"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/redis"
)

// maxLive is how many unfinished calls of one queue a question looks at.
const maxLive = 1000

// live calls visit with unfinished calls, queue by queue.
func (x *Index) live(
	ctx context.Context, subs []wire.Subscription, q redis.LiveQuery, visit func(*Call),
) error {
	some, err := x.cfg.Redis.NotEmpty(ctx, subs)
	if err != nil {
		return err
	}
	for s, paused := range some {
		list, err := x.cfg.Redis.Live(ctx, s, q)
		if err != nil {
			return err
		}
		for _, l := range list {
			if c, ok := liveCall(s, l); ok {
				c.Why = x.why(c, l, paused)
				visit(c)
			}
		}
	}
	return nil
}

// liveCall returns an unfinished call.
func liveCall(s wire.Subscription, l redis.Live) (*Call, bool) {
	c, ok := newCall(s, l.ID)
	e := Entry{
		CallID:  l.Entry.CallID,
		Parent:  l.Entry.Traceparent,
		Method:  l.Entry.Method,
		Path:    l.Entry.Path,
		Attempt: l.Attempts,
	}
	if !l.Entry.DeliverAt.IsZero() {
		e.DeliverAt = l.Entry.DeliverAt.UnixMilli()
	}
	if !l.Since.IsZero() {
		e.Taken = l.Since.UnixMilli()
	}
	c.fill(e)
	c.State = State(l.State)
	if queued := max(ms(l.ID), e.DeliverAt); e.Taken == 0 && queued > 0 {
		c.QueueWait = float64(max(0, time.Now().UnixMilli()-queued))
	}
	if l.Last != nil {
		c.failures = []redis.Failure{*l.Last}
		c.Reason, c.Status, c.Replica = l.Last.Reason, l.Last.Status, l.Last.Replica
	}
	if c.State == Dead {
		c.EndedAt = at(l.Until.UnixMilli())
	}
	return c, ok
}

// why returns in one sentence why a call waits; "" if it does not.
func (x *Index) why(c *Call, l redis.Live, paused bool) string {
	switch {
	case c.State == Dead || c.State == InFlight:
		return ""
	case paused:
		return "The queue is paused."
	case c.State == Delayed:
		return fmt.Sprintf("It is delivered at %s.", l.Until.Format(time.RFC3339))
	case c.State == Retrying:
		after := ""
		if l.Last != nil {
			after = ": " + l.Last.Reason
		}
		wait := max(0, time.Until(l.Until)).Round(time.Second)
		return fmt.Sprintf("Attempt %d comes in %v%s.", l.Attempts+1, wait, after)
	}
	return x.cfg.Why(c.name)
}
