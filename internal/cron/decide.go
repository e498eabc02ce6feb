package cron

import (
	"time"

	"github.com/hearthfaas/hearth/internal/schedule"
)

// decide says which time of a schedule is to be fired now, or none, if the times until
// last are done with; and when to look again.
func decide(s schedule.Schedule, last, now time.Time) (fire, next time.Time) {
	if last.After(now) { // the clock was set back
		return time.Time{}, s.Next(last)
	}
	return s.Latest(last, now), s.Next(now)
}
