package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

var (
	scheduleLua = wire.NewLua(luaText("schedule"), false)
	tickLua     = wire.NewLua(luaText("tick"), false) // a full Redis refuses it, as it does any call
)

// ErrOtherSchedule: Redis knows the function with another schedule, or with none.
var ErrOtherSchedule = errors.New("the schedule is not the function's any more")

// KeepSchedule notes the schedule of a function that was created at a time, and returns the last of its times
// that is done with. If the schedule is new, or the function is, that is since: it is not called for the
// past. If all is as it was noted before, since does not count, and a time that nobody was there for still
// does.
func (c *Client) KeepSchedule(ctx context.Context, n hearth.Name, schedule string, created, since time.Time) (last time.Time, err error) {
	ms, err := scheduleLua.Run(ctx, c.rdb, []string{keyCron(n)}, schedule, created.UnixMilli(), since.UnixMilli()).Int64()
	if err != nil {
		return time.Time{}, unavailable("note the schedule of "+n.Function, err)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// ForgetSchedule removes what was noted about a function's schedule.
func (c *Client) ForgetSchedule(ctx context.Context, n hearth.Name) error {
	return unavailable("forget the schedule of "+n.Function, c.rdb.Del(ctx, keyCron(n)).Err())
}

// A Tick is the call for one time of a schedule.
type Tick struct {
	wire.Entry // with a call id of its own, by which it is known if it is put twice

	Schedule string // that was kept
	Time     time.Time
}

// Tick puts the call for one time of a schedule on the function's own queue, in one step with the note that
// it has. fired is false if it was put by another one, or one for a later time was.
//
// It returns ErrOtherSchedule, ErrNoGroup if the function has no queue, an error of code Exhausted if that
// has reached the limit, and Unavailable if Redis is away or full; then it may be repeated.
func (c *Client) Tick(ctx context.Context, n hearth.Name, t Tick, limit hearth.QueueLimit) (fired bool, err error) {
	fields, err := t.Values()
	if err != nil {
		return false, err
	}
	calls := CallsOf(n)
	args := append([]any{t.Schedule, t.Time.UnixMilli(), t.CallID, limit.Length, limit.Bytes, calls.Group}, fields...)
	got, err := tickLua.Run(ctx, c.rdb, []string{keyCron(n), calls.Stream, keyBytes(n)}, args...).Text()
	if err != nil {
		return false, unavailable("queue a call of "+n.Function, err)
	}
	switch got {
	case "other":
		return false, ErrOtherSchedule
	case "nogroup":
		return false, fmt.Errorf("%w: %s", ErrNoGroup, calls)
	case "full":
		return false, hearth.Errorf(hearth.Exhausted, "the queue of %s is full: it may have %d calls with %d bytes in total", n.Function, limit.Length, limit.Bytes)
	}
	return got == "queued", nil
}
