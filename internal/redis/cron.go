package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	goredis "github.com/redis/go-redis/v9"
)

// Both scripts only compare and set: this package reads and decides what is in a cursor, since it can check
// the MAC. A full Redis refuses both.
var (
	scheduleLua = wire.NewLua(luaText("schedule"), false)
	tickLua     = wire.NewLua(luaText("tick"), false)
	stateLua    = lua("state")
)

var (
	// ErrOtherSchedule is the error of a tick whose schedule is not in Redis: the function has another one or
	// none.
	ErrOtherSchedule = errors.New("the function has another schedule in Redis, or none")
	// ErrBadCursor is the error of a tick whose cursor in Redis is not authentic. KeepSchedule replaces it.
	ErrBadCursor = errors.New("the cursor of the schedule in Redis is not authentic")
	// ErrSchedulePaused is the error of a tick whose schedule is paused.
	ErrSchedulePaused = errors.New("the schedule is paused")
)

// A Cursor is how far the ticks of a function's schedule have been queued. Its record in Redis has a MAC, so
// nobody else can hold up a schedule or repeat its ticks.
type Cursor struct {
	Schedule string `json:"schedule"`
	Created  int64  `json:"created"`        // ms: when the function was created
	Since    int64  `json:"since"`          // ms: after this the ticks of the schedule count
	Last     int64  `json:"last"`           // ms: the last tick that is done
	Call     string `json:"call,omitempty"` // the id of its call

	Paused  int64  `json:"paused,omitempty"`   // ms: since when no ticks are queued; 0 if it is not paused
	Ran     int64  `json:"ran,omitempty"`      // ms: when somebody last had it run at once
	RanCall string `json:"ran_call,omitempty"` // the id of that call

	record string // as it is in Redis; "" if it is not there
}

// Done is the time of the last tick that is done.
func (c Cursor) Done() time.Time { return time.UnixMilli(c.Last).UTC() }

// LastRun returns when the last call of the schedule was queued, or its tick was due, and the id of the call:
// "" if there was none yet.
func (c Cursor) LastRun() (at time.Time, call string) {
	if c.RanCall != "" && c.Ran >= c.Last {
		return time.UnixMilli(c.Ran).UTC(), c.RanCall
	}
	return c.Done(), c.Call
}

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
		cursor = Cursor{Created: cursor.Created, Paused: cursor.Paused}
	}
	cursor.record = text
	return cursor, true
}

// ReadCursor returns the cursor of a function's schedule as it is in Redis. It returns ErrBadCursor if that
// is not authentic.
func (c *Client) ReadCursor(ctx context.Context, n hearth.Name) (Cursor, error) {
	text, err := c.rdb.Get(ctx, keyCron(n)).Result()
	if err != nil && !errors.Is(err, goredis.Nil) && !strings.Contains(err.Error(), "WRONGTYPE") {
		return Cursor{}, unavailable("read the schedule of "+n.Function, err)
	}
	cursor, ok := c.openCursor(n, text)
	if !ok {
		return cursor, ErrBadCursor
	}
	return cursor, nil
}

// maxCursorTries is how often a cursor is read again that another instance changes at the same moment.
const maxCursorTries = 20

var errBusyCursor = hearth.Errorf(hearth.Unavailable, "the cursor of the schedule changes all the time")

// KeepSchedule stores the schedule of a function that was created at a time, and returns its cursor. known is
// the cursor as this instance saw it last.
//
// A new schedule, or that of a new function, begins at since: it does not run for the past. The cursor of a
// known schedule stays where it is, so that a tick that was missed still runs. A cursor that is not authentic
// is replaced by one that begins now. A pause lasts as long as the function.
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
			if known.Created == next.Created { // it is the same function: an update does not end a pause
				next.Paused = known.Paused
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
// Tick returns ErrOtherSchedule, ErrBadCursor, ErrSchedulePaused, ErrNoGroup if the function has no queue, an
// error of code Exhausted if that is full, and Unavailable if Redis is unavailable or full. After the last
// two it may be repeated.
func (c *Client) Tick(
	ctx context.Context, n hearth.Name, cursor Cursor, t Tick, limit hearth.QueueLimit,
) (after Cursor, fired bool, err error) {
	ms := t.Time.UnixMilli()
	if cursor.Paused > 0 { // it may have been resumed by another instance
		if cursor, err = c.ReadCursor(ctx, n); err != nil {
			return cursor, false, err
		}
	}
	return c.queueTick(ctx, n, cursor, t, limit, func(now Cursor) (next Cursor, fired bool, err error) {
		switch {
		case now.Last == ms && now.Call == t.CallID: // it was queued, and the answer was lost
			return now, true, nil
		case now.Last >= ms:
			return now, false, nil
		case now.Paused > 0:
			return now, false, ErrSchedulePaused
		}
		now.Last, now.Call = ms, t.CallID
		return now, true, nil
	})
}

// RunSchedule queues a call of a schedule at once, as Tick does, also while the schedule is paused. The ticks
// of the schedule stay as they are. It returns what Tick returns.
func (c *Client) RunSchedule(
	ctx context.Context, n hearth.Name, cursor Cursor, t Tick, limit hearth.QueueLimit,
) (after Cursor, err error) {
	ms := t.Time.UnixMilli()
	after, _, err = c.queueTick(ctx, n, cursor, t, limit, func(now Cursor) (Cursor, bool, error) {
		now.Ran, now.RanCall = ms, t.CallID // the same, if it was queued, and the answer was lost
		return now, true, nil
	})
	return after, err
}

// queueTick queues the call of a tick, and makes the cursor what move returns, in the same step. If move
// leaves the cursor as it is, nothing is queued.
func (c *Client) queueTick(ctx context.Context, n hearth.Name, cursor Cursor, t Tick, limit hearth.QueueLimit,
	move func(Cursor) (next Cursor, fired bool, err error)) (after Cursor, fired bool, err error) {
	fields, err := t.Values()
	if err != nil {
		return cursor, false, err
	}
	calls := CallsOf(n)
	keys := []string{keyCron(n), calls.Stream, keyBytes(n)}
	for range maxCursorTries {
		if cursor.record == "" || cursor.Schedule != t.Schedule {
			return cursor, false, ErrOtherSchedule
		}
		next, fired, err := move(cursor)
		if err != nil || next == cursor {
			return cursor, fired, err
		}
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

// PauseSchedule stops the ticks of a function's schedule in all instances, or resumes them, and returns its
// cursor. cursor is as this instance saw it last. A second pause changes nothing. It returns ErrOtherSchedule
// if Redis has no schedule of the function, and ErrBadCursor.
func (c *Client) PauseSchedule(
	ctx context.Context, n hearth.Name, cursor Cursor, paused bool,
) (after Cursor, err error) {
	what := "pause the schedule of " + n.Function
	if !paused {
		what = "resume the schedule of " + n.Function
	}
	for range maxCursorTries {
		next := cursor
		if next.Paused == 0 && paused {
			next.Paused = time.Now().UnixMilli()
		} else if !paused {
			next.Paused = 0
		}
		if next != cursor && cursor.record != "" {
			if err := c.signCursor(n, &next); err != nil {
				return cursor, fmt.Errorf("%s: %w", what, err)
			}
		}
		// Also without a change: the cursor in Redis may be another one.
		record, err := scheduleLua.Run(ctx, c.rdb, []string{keyCron(n)}, cursor.record, next.record).Text()
		switch {
		case err != nil:
			return cursor, unavailable(what, err)
		case record == "":
			return Cursor{}, ErrOtherSchedule
		case record == next.record:
			return next, nil
		}
		var ok bool
		if cursor, ok = c.openCursor(n, record); !ok {
			return cursor, ErrBadCursor
		}
	}
	return cursor, errBusyCursor
}

// lookAtState is how many entries StateOf looks at, at most.
const lookAtState = 1000

// StateOf returns the state of a function's own call that was queued at about a time, or later: Past if it
// is gone, and Unknown if there are too many other calls to tell.
func (c *Client) StateOf(ctx context.Context, n hearth.Name, call string, at time.Time) (State, error) {
	const skew = time.Minute // between the clocks of the instance and of Redis
	s := CallsOf(n)
	keys, _ := counted(s)
	from := strconv.FormatInt(max(0, at.Add(-skew).UnixMilli()), 10)
	state, err := stateLua.Run(ctx, c.rdb, keys, call, from, lookAtState).Text()
	return State(state), unavailable("look for the call in the queue of "+n.Function, err)
}
