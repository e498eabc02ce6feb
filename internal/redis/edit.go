package redis

import (
	"context"
	"errors"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

var editLua = accepting("edit")

// Why a dead letter cannot be edited.
var (
	ErrNotDead      = errors.New("there is no such dead letter")
	ErrEditedBefore = errors.New("the dead letter was edited before, in another way")
	ErrEntryGone    = errors.New("the entry of the dead letter is gone from its stream")
)

// An Edit is what becomes of a dead letter.
type Edit struct {
	Body        []byte
	ContentType string // "" leaves it as it is
}

// Edit replaces a dead letter by a copy with another body, and queues it with all its attempts, in one step.
// It returns the id of the copy, which keeps the call id, the trace, the headers, the callback, the
// Idempotency-Key and the failures. The record of calls keeps the dead letter as it was. Of a topic's message
// only this subscription gets the copy. An edit may be repeated for a day: it is made once.
//
// It returns ErrNotDead, ErrEditedBefore with the id of that copy, ErrEntryGone, an error of code Exhausted
// if the function's queue would pass its limit, and Unavailable if Redis is full or unavailable.
func (c *Client) Edit(
	ctx context.Context, s wire.Subscription, id string, e Edit, limit hearth.QueueLimit,
) (copied string, err error) {
	if !entryID.MatchString(id) {
		return "", ErrNotDead
	}
	ok, most := c.room(ctx, s.Stream, int64(len(e.Body)+len(e.ContentType)))
	if !ok {
		return "", hearth.Errorf(hearth.Unavailable, "Redis is full: could not edit the dead letter %s", id)
	}
	if most > 0 {
		limit.Bytes = min(limit.Bytes, most)
	}
	got, err := editLua.Run(ctx, c.rdb, keysOfEdit(s), s.Group, id, hash(e.ContentType+"\x00"+string(e.Body)),
		limit.Bytes, e.Body, e.ContentType, c.recording()).StringSlice()
	if err != nil {
		return "", unavailable("edit the dead letter "+id+" of "+s.Stream, err)
	}
	switch got[0] {
	case "none":
		return "", ErrNotDead
	case "gone":
		return "", ErrEntryGone
	case "other":
		return got[1], ErrEditedBefore
	case "full":
		return "", hearth.Errorf(hearth.Exhausted,
			"the edited message is too large for its queue, which has %s bytes and may have %d: purge some "+
				"dead letters, or raise com.hearth.queue.bytes", got[1], limit.Bytes)
	}
	return got[1], nil
}

// keysOfEdit returns the keys of edit.lua.
func keysOfEdit(s wire.Subscription) []string {
	keys := append(s.Keys(), keyEdits(s))
	n, err := hearth.ParseName(s.Group)
	switch {
	case err != nil:
	case s == CallsOf(n):
		keys = append(keys, keyBytes(n), keyCallbackBytes(n), keyKeys(n), keyEnded(n))
	case s == CallbacksOf(n):
		keys = append(keys, keyCallbackBytes(n), keyBytes(n))
	}
	return append(keys, s.Record())
}
