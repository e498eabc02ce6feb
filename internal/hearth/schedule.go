package hearth

import (
	"strings"
	"time"
	_ "time/tzdata" // a Hearth in a container has no zoneinfo of its own, and the same schedule must mean the same on every hearth

	"github.com/robfig/cron/v3"
)

// A Schedule is when the clock calls a function: at each time that one of its expressions names. The zero Schedule is never.
//
// An expression is what OpenFaaS's cron-connector takes: five fields (minute, hour, day of the month, month, day of the week), one of
// @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, or "@every" and a Go duration. CRON_TZ=ZONE or TZ=ZONE before it
// says in which zone the five fields are read; without, it is UTC, whatever the zone of the machine. If neither the day of the month nor
// that of the week begins with *, either one is enough.
// See https://docs.openfaas.com/reference/cron/ and crontab(5).
//
// Where clocks change, it does as cron(8): if the hour is not *, a time that the clock skips comes when the clock has jumped, and one that
// it repeats comes the first time only; if it is *, what counts is each minute that is on the clock.
//
// "@every D" comes at the multiples of D since 1970-01-01 00:00 UTC, so that it is the same times on every hearth and after every restart.
type Schedule struct {
	text  string
	parts []interface {
		next(after time.Time) time.Time
	}
}

const (
	maxSchedule    = 1024 // bytes
	maxExpressions = 20
	yearsAhead     = 9 // there are at most eight from one 29 February to the next
	examples       = `five fields such as "0 6 * * *", or @hourly, or @every 5m`
)

// The same fields as the community's cron-connector has.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// ParseSchedule reads expressions with semicolons between them. It returns an error of code Invalid that names the expression that is
// wrong, or that no time fits, such as 31 February.
func ParseSchedule(text string) (Schedule, error) {
	if len(text) > maxSchedule {
		return Schedule{}, Errorf(Invalid, "the schedule has %d bytes, want at most %d", len(text), maxSchedule)
	}
	var s Schedule
	for expr := range strings.SplitSeq(text, ";") {
		fields := strings.Fields(expr)
		if len(fields) == 0 {
			continue
		}
		if len(s.parts) == maxExpressions {
			return Schedule{}, Errorf(Invalid, "the schedule has more than %d expressions", maxExpressions)
		}
		if err := s.add(fields); err != nil {
			return Schedule{}, Errorf(Invalid, "the schedule %q is not valid: %w", clip(strings.Join(fields, " ")), err)
		}
	}
	if len(s.parts) == 0 {
		return Schedule{}, Errorf(Invalid, "the schedule is empty: want %s", examples)
	}
	return s, nil
}

// add adds an expression, given as its words.
func (s *Schedule) add(fields []string) error {
	zone, zoned := strings.CutPrefix(strings.TrimPrefix(fields[0], "CRON_"), "TZ=")
	if zoned && (len(fields) == 1 || zone == "" || zone == "Local") { // the parser panics at the first, and takes the others
		return Errorf(Invalid, "want a zone such as CRON_TZ=Europe/Berlin, and then when")
	}
	text := strings.Join(fields, " ")
	parsed, err := parser.Parse(text)
	if err != nil {
		return Errorf(Invalid, "%w; want %s", err, examples)
	}
	switch p := parsed.(type) {
	case cron.ConstantDelaySchedule: // rounded, and that of 0s and of -1h is a second: so it is read again
		d, err := time.ParseDuration(fields[len(fields)-1])
		if err != nil || d < time.Second || d%time.Second != 0 {
			return Errorf(Invalid, "want whole seconds, and at least one")
		}
		s.parts = append(s.parts, every(d/time.Second))
	case *cron.SpecSchedule:
		c := calendar{minutes: p.Minute, hours: p.Hour, days: p.Dom, months: p.Month, weekdays: p.Dow, zone: p.Location}
		if !zoned {
			c.zone = time.UTC
		}
		if c.minutes<<1 == 0 || c.hours<<1 == 0 || c.next(time.Unix(0, 0)).IsZero() {
			return Errorf(Invalid, "no time fits it")
		}
		s.parts = append(s.parts, c)
	}
	if s.text != "" {
		s.text += "; "
	}
	s.text += text
	return nil
}

// String is the schedule, with single spaces.
func (s Schedule) String() string { return s.text }

// Next is the first time after another one, which is not before 1970. It has whole seconds, and is zero only if the schedule is.
func (s Schedule) Next(after time.Time) time.Time {
	var first time.Time
	for _, p := range s.parts {
		if t := p.next(after); first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// Latest is the newest time after one and not after another, or zero if there is none. It costs some 40 Nexts at most, however many
// times lie between.
func (s Schedule) Latest(after, until time.Time) time.Time {
	within := func(t time.Time) bool { return !t.IsZero() && !t.After(until) }
	newest := s.Next(after)
	if !within(newest) {
		return time.Time{}
	}
	for low, high := newest.Unix(), until.Unix()+1; high-low > 1; { // the newest is not before low, and before high
		middle := low + (high-low)/2
		if t := s.Next(time.Unix(middle-1, 0)); within(t) {
			newest, low = t, t.Unix()
		} else {
			high = middle
		}
	}
	return newest
}

// every is a number of seconds.
type every int64

func (e every) next(after time.Time) time.Time {
	return time.Unix((after.Unix()/int64(e)+1)*int64(e), 0).UTC()
}

// calendar is five fields: sets of bits, of which the highest says that the field is *.
//
// The parser's own search is not used: where clocks change at midnight, such as in Cairo, or by half an hour, it leaves out whole days.
type calendar struct {
	minutes, hours, days, months, weekdays uint64
	zone                                   *time.Location
}

const star = 1 << 63

func has(set uint64, n int) bool { return set>>n&1 == 1 }

func (c calendar) next(after time.Time) time.Time {
	local := after.In(c.zone)
	// From the day before: where clocks go back at midnight, a day comes twice.
	day := time.Date(local.Year(), local.Month(), local.Day()-1, 0, 0, 0, 0, time.UTC)
	for end := day.AddDate(yearsAhead, 0, 0); day.Before(end); day = day.AddDate(0, 0, 1) {
		if !has(c.months, int(day.Month())) {
			day = time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC) // its last day
			continue
		}
		if c.onDay(day) {
			if t := c.within(day, after); !t.IsZero() {
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

func (c calendar) onDay(day time.Time) bool {
	date, weekday := has(c.days, day.Day()), has(c.weekdays, int(day.Weekday()))
	if (c.days|c.weekdays)&star != 0 {
		return date && weekday
	}
	return date || weekday
}

// within is the first time of a day that comes after another one, or zero.
func (c calendar) within(day, after time.Time) time.Time {
	if c.hours&star != 0 {
		end := c.at(day, 24, 0)
		t := c.at(day, 0, 0)
		if t.Before(after) {
			t = after.Truncate(time.Minute)
		}
		for ; t.Before(end); t = t.Add(time.Minute) {
			if t.After(after) && has(c.minutes, t.In(c.zone).Minute()) {
				return t
			}
		}
		return time.Time{}
	}
	for hour := range 24 {
		if !has(c.hours, hour) || c.at(day, hour, 59).Before(after) {
			continue
		}
		for minute := range 60 {
			if has(c.minutes, minute) {
				if t := c.at(day, hour, minute); t.After(after) {
					return t
				}
			}
		}
	}
	return time.Time{}
}

// at is when the clock first shows a time of a day, or, if it skips it, when it jumps.
func (c calendar) at(day time.Time, hour, minute int) time.Time {
	t := time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, c.zone)
	wanted := time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, time.UTC)
	shown := onClock(t)
	start, end := t.ZoneBounds()
	switch {
	case shown.After(wanted):
		return start
	case shown.Before(wanted):
		return end
	case !start.IsZero():
		_, before := start.Add(-1).Zone()
		_, now := t.Zone()
		if earlier := t.Add(time.Duration(now-before) * time.Second); earlier.Before(start) && now < before {
			return earlier
		}
	}
	return t
}

// onClock is what a clock in a time's zone shows, as if it were UTC.
func onClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}
