package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a container has no zone files, and a schedule must mean the same on every instance

	"github.com/robfig/cron/v3"
)

// A Schedule is a set of times: those that at least one of its expressions names. The zero Schedule has none.
//
// An expression is one of:
//   - five fields: minute, hour, day of the month, month, day of the week
//   - @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly
//   - "@every" and a Go duration of whole seconds
//
// This is what OpenFaaS's cron-connector reads; see https://docs.openfaas.com/reference/cron/ and crontab(5).
// CRON_TZ=ZONE or TZ=ZONE before an expression sets its time zone. The default is UTC, whatever the zone of
// the machine. When neither day field begins with *, a day needs to match only one of them.
//
// When clocks change, a Schedule follows cron(8). With a fixed hour, a skipped time moves to the moment at
// which the clock jumps, and a repeated time counts once, the first time. With * as its hour, every minute
// that the clock shows counts.
//
// "@every D" means the multiples of D since 1970-01-01 00:00 UTC. So it is the same on every instance and
// after every restart.
type Schedule struct {
	text        string
	expressions []interface {
		next(after time.Time) time.Time
	}
}

const (
	maxLength      = 1024 // bytes
	maxExpressions = 20
	examples       = `five fields such as "0 6 * * *", or @hourly, or @every 5m`
)

// parser accepts the fields that the community's cron-connector accepts.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Parse reads expressions separated by semicolons. Its error names the expression that is not valid, or that
// no time matches, such as 31 February.
func Parse(text string) (Schedule, error) {
	if len(text) > maxLength {
		return Schedule{}, fmt.Errorf("the schedule has %d bytes, want at most %d", len(text), maxLength)
	}
	var s Schedule
	for expression := range strings.SplitSeq(text, ";") {
		words := strings.Fields(expression)
		if len(words) == 0 {
			continue
		}
		if len(s.expressions) == maxExpressions {
			return Schedule{}, fmt.Errorf("the schedule has more than %d expressions", maxExpressions)
		}
		if err := s.add(words); err != nil {
			return Schedule{}, fmt.Errorf("the schedule %.80q is not valid: %w",
				strings.Join(words, " "), err)
		}
	}
	if s.IsZero() {
		return Schedule{}, fmt.Errorf("the schedule is empty, want %s", examples)
	}
	return s, nil
}

// add adds one expression, given as its words.
func (s *Schedule) add(words []string) error {
	zone, zoned := strings.CutPrefix(strings.TrimPrefix(words[0], "CRON_"), "TZ=")
	// The parser panics when nothing follows the zone, and it accepts no zone and Local.
	if zoned && (len(words) == 1 || zone == "" || zone == "Local") {
		return errors.New("want a time zone such as CRON_TZ=Europe/Berlin, followed by an expression")
	}
	text := strings.Join(words, " ")
	parsed, err := parser.Parse(text)
	if err != nil {
		return fmt.Errorf("%w; want %s", err, examples)
	}
	switch p := parsed.(type) {
	// the parser rounds, and makes a second of 0s and of -1h: so read it again
	case cron.ConstantDelaySchedule:
		d, err := time.ParseDuration(words[len(words)-1])
		if err != nil || d < time.Second || d%time.Second != 0 {
			return errors.New("want whole seconds, and at least one")
		}
		s.expressions = append(s.expressions, every(d/time.Second))
	case *cron.SpecSchedule:
		c := calendar{
			minutes:  p.Minute,
			hours:    p.Hour,
			days:     p.Dom,
			months:   p.Month,
			weekdays: p.Dow,
			zone:     p.Location,
		}
		if !zoned {
			c.zone = time.UTC
		}
		if c.minutes<<1 == 0 || c.hours<<1 == 0 || c.next(time.Unix(0, 0)).IsZero() {
			return errors.New("no time matches it")
		}
		s.expressions = append(s.expressions, c)
	}
	if s.text != "" {
		s.text += "; "
	}
	s.text += text
	return nil
}

// IsZero reports whether the schedule has no times.
func (s Schedule) IsZero() bool { return len(s.expressions) == 0 }

// String is the schedule's text, with single spaces.
func (s Schedule) String() string { return s.text }

// Next returns the schedule's first time after another time, which must not be before 1970. The result has
// whole seconds. It is zero only for the zero Schedule.
func (s Schedule) Next(after time.Time) time.Time {
	var first time.Time
	for _, e := range s.expressions {
		if t := e.next(after); first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// Latest returns the schedule's last time that is after one time and not after another, or zero if there is
// none. It costs about 40 calls of Next at most, however many times lie in between.
func (s Schedule) Latest(after, until time.Time) time.Time {
	within := func(t time.Time) bool { return !t.IsZero() && !t.After(until) }
	latest := s.Next(after)
	if !within(latest) {
		return time.Time{}
	}
	for low, high := latest.Unix(), until.Unix()+1; high-low > 1; { // low <= the latest < high
		middle := low + (high-low)/2
		if t := s.Next(time.Unix(middle-1, 0)); within(t) {
			latest, low = t, t.Unix()
		} else {
			high = middle
		}
	}
	return latest
}
