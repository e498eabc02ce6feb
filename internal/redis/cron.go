package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// Both scripts only compare and set: this package reads and decides what is in a cursor, since it can check
// the MAC. A full Redis refuses both.
var (
	scheduleLua = wire.NewLua(luaText("schedule"), false)
	tickLua     = wire.NewLua(luaText("tick"), false)
)

var (
	// ErrOtherSchedule is the error of a tick whose schedule is not in Redis: the function has another one or
	// none.
	ErrOtherSchedule = errors.New("the function has another schedule in Redis, or none")
	// ErrBadCursor is the error of a tick whose cursor in Redis is not authentic. KeepSchedule replaces it.
	ErrBadCursor = errors.New("the cursor of the schedule in Redis is not authentic")
)

// A Cursor is how far the ticks of a function's schedule have been queued. Its record in Redis has a MAC, so
// nobody else can hold up a schedule or repeat its ticks.
type Cursor struct {
	Schedule string `json:"schedule"`
	Created  int64  `json:"created"`        // ms: when the function was created
	Since    int64  `json:"since"`          // ms: after this the ticks of the schedule count
	Last     int64  `json:"last"`           // ms: the last tick that is done
	Call     string `json:"call,omitempty"` // the id of its call

	record string // as it is in Redis; "" if it is not there
}

// Done is the time of the last tick that is done.
func (c Cursor) Done() time.Time { return time.UnixMilli(c.Last).UTC() }

// covers reports whether the cursor stays when a schedule is deployed: the schedule and the function are the
// same, or an instance comes late with an older one.
func (c Cursor) covers(schedule string, created, since int64) bool {
	return c.Last > 0 && (c.Schedule == schedule && c.Created == created || c.Since > since)
}

// signCursor sets the cursor's record.
func (c *Client) signCursor(n hearth.Name, cursor *Cursor) error {
	if c.records.Key.IsZero() {
		return errNoKey
	}
	text, err := json.Marshal(cursor)
	if err != nil {
		return err
	}
	cursor.record = string(c.records.Key.SignJSON(keyCron(n), "", text))
	return nil
}

// openCursor reads a record. ok is false if it is not authentic, which is noted as a bad record.
func (c *Client) openCursor(n hearth.Name, text string) (cursor Cursor, ok bool) {
	if text == "" {
		return Cursor{}, true
	}
	object, err := c.records.Key.OpenJSON(keyCron(n), "", []byte(text))
	if err == nil {
		err = json.Unmarshal(object, &cursor)
	}
	if err != nil {
		c.Judge(KindSchedule, n.String(), err)
		return Cursor{record: text}, false
	}
	// The clock of the instance that wrote it was wrong: its times would hold up the schedule.
	if ahead := time.Now().Add(time.Minute).UnixMilli(); cursor.Last > ahead || cursor.Since > ahead {
		cursor = Cursor{}
	}
	cursor.record = text
	return cursor, true
}

// maxCursorTries is how often a cursor is read again that another instance changes at the same moment.
const maxCursorTries = 20

var errBusyCursor = hearth.Errorf(hearth.Unavailable, "the cursor of the schedule changes all the time")

// KeepSchedule stores the schedule of a function that was created at a time, and returns its cursor. known is
// the cursor as this instance saw it last.
//
// A new schedule, or that of a new function, begins at since: it does not run for the past. The cursor of a
// known schedule stays where it is, so that a tick that was missed still runs. A cursor that is not authentic
// is replaced by one that begins now.
func (c *Client) KeepSchedule(ctx context.Context, n hearth.Name, schedule string, created, since time.Time,
	known Cursor) (Cursor, error) {
	begin, what := since.UnixMilli(), "keep the schedule of "+n.Function
	for range maxCursorTries {
		if known.record != "" && known.Last == 0 { // it is not authentic
			begin = max(begin, time.Now().UnixMilli())
		}
		next := known
		if !known.covers(schedule, created.UnixMilli(), begin) {
			next = Cursor{
				Schedule: schedule,
				Created:  created.UnixMilli(),
				Since:    begin,
				Last:     max(known.Last, begin),
			}
			if err := c.signCursor(n, &next); err != nil {
				return known, fmt.Errorf("%s: %w", what, err)
			}
		}
		record, err := scheduleLua.Run(ctx, c.rdb, []string{keyCron(n)}, known.record, next.record).Text()
		if err != nil {
			return known, unavailable(what, err)
		}
		if record == next.record {
			return next, nil
		}
		known, _ = c.openCursor(n, record)
	}
	return known, errBusyCursor
}

// ForgetSchedule removes the cursor of a function's schedule.
func (c *Client) ForgetSchedule(ctx context.Context, n hearth.Name) error {
	return unavailable("forget the schedule of "+n.Function, c.rdb.Del(ctx, keyCron(n)).Err())
}

// A Tick is the call for one time of a schedule.
type Tick struct {
	wire.Entry // its call id tells the tick from that of another instance

	Schedule string // as it was kept
	Time     time.Time
}

// Tick queues the call for one tick of a schedule, and moves the cursor in the same step. cursor is as this
// instance saw it last; after is as it is now. fired is false if another instance queued this tick, or a
// later one.
//
// Tick returns ErrOtherSchedule, ErrBadCursor, ErrNoGroup if the function has no queue, an error of code
// Exhausted if that is full, and Unavailable if Redis is unavailable or full. After the last two it may be
// repeated.
func (c *Client) Tick(
	ctx context.Context, n hearth.Name, cursor Cursor, t Tick, limit hearth.QueueLimit,
) (after Cursor, fired bool, err error) {
	fields, err := t.Values()
	if err != nil {
		return cursor, false, err
	}
	ms, calls := t.Time.UnixMilli(), CallsOf(n)
	keys := []string{keyCron(n), calls.Stream, keyBytes(n)}
	for range maxCursorTries {
		switch {
		case cursor.record == "" || cursor.Schedule != t.Schedule:
			return cursor, false, ErrOtherSchedule
		case cursor.Last == ms && cursor.Call == t.CallID: // it was queued, and the answer was lost
			return cursor, true, nil
		case cursor.Last >= ms:
			return cursor, false, nil
		}
		next := cursor
		next.Last, next.Call = ms, t.CallID
		if err := c.signCursor(n, &next); err != nil {
			return cursor, false, fmt.Errorf("queue a call of %s: %w", n.Function, err)
		}
		args := append([]any{cursor.record, next.record, limit.Length, limit.Bytes, calls.Group}, fields...)
		got, err := tickLua.Run(ctx, c.rdb, keys, args...).StringSlice()
		if err != nil {
			return cursor, false, unavailable("queue a call of "+n.Function, err)
		}
		switch got[0] {
		case "queued":
			c.Judge(KindSchedule, n.String(), nil)
			return next, true, nil
		case "nogroup":
			return cursor, false, fmt.Errorf("%w: %s", ErrNoGroup, calls)
		case "full":
			return cursor, false, hearth.Errorf(hearth.Exhausted,
				"the queue of %s is full: it may have %d calls with %d bytes in total",
				n.Function, limit.Length, limit.Bytes)
		}
		var ok bool
		if cursor, ok = c.openCursor(n, got[1]); !ok {
			return cursor, false, ErrBadCursor
		}
	}
	return cursor, false, errBusyCursor
}
