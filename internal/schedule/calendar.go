package schedule

import "time"

// every is an interval in seconds, counted from 1970.
type every int64

func (e every) next(after time.Time) time.Time {
	return time.Unix((after.Unix()/int64(e)+1)*int64(e), 0).UTC()
}

// A calendar is an expression of five fields. Each field is a set of bits, of which the highest means *.
type calendar struct {
	minutes, hours, days, months, weekdays uint64
	zone                                   *time.Location
}

const (
	star       = 1 << 63
	yearsAhead = 9 // from one 29 February to the next it is at most eight
)

func has(set uint64, n int) bool { return set>>n&1 == 1 }

// next returns the calendar's first time after another time, or zero if there is none within yearsAhead.
func (c calendar) next(after time.Time) time.Time {
	local := after.In(c.zone)
	// Start on the day before: where clocks go back at midnight, a day comes twice.
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

// onDay reports whether the two day fields match a day.
func (c calendar) onDay(day time.Time) bool {
	date, weekday := has(c.days, day.Day()), has(c.weekdays, int(day.Weekday()))
	if (c.days|c.weekdays)&star != 0 {
		return date && weekday
	}
	return date || weekday
}

// within returns the calendar's first time on a day that is after another time, or zero.
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

// at returns when the clock first shows a time of day. If the clock skips that time, it returns when the
// clock jumps.
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

// onClock returns the time that a clock in t's zone shows, as if the zone were UTC.
func onClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}
