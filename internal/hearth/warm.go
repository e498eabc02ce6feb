package hearth

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/schedule"
)

// annotationWarm says when the clock keeps replicas ready, for instance "2 from 30 6 * * 1-6 for 4h".
const annotationWarm = "com.hearth.warm"

// A warm time begins by a schedule and has a length; in it a function has at least so many replicas.
type warmTime struct {
	replicas int
	begins   schedule.Schedule
	lasts    time.Duration
}

const (
	maxWarmTimes = 20
	maxWarm      = 7 * 24 * time.Hour
)

var warmForm = regexp.MustCompile(`^([0-9]{1,6}) +from +(.+) +for +(\S+)$`)

// parseWarm reads warm times with semicolons between them. It returns an error of code Invalid that says what is wrong.
func parseWarm(text string) ([]warmTime, error) {
	var list []warmTime
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if len(list) == maxWarmTimes {
			return nil, Errorf(Invalid, "there are more than %d warm times", maxWarmTimes)
		}
		m := warmForm.FindStringSubmatch(part)
		if m == nil {
			return nil, Errorf(Invalid, "the warm time is %q, want REPLICAS from SCHEDULE for DURATION, such as 2 from 30 6 * * 1-6 for 4h", clip(part))
		}
		w := warmTime{}
		w.replicas, _ = strconv.Atoi(m[1])
		var err error
		if w.begins, err = schedule.Parse(m[2]); err != nil {
			return nil, err
		}
		if w.lasts = duration(m[3]); w.lasts < time.Second || w.lasts > maxWarm || w.replicas < 1 {
			return nil, Errorf(Invalid, "the warm time is %q, want at least one replica, for 1s to %dh", clip(part), int(maxWarm.Hours()))
		}
		list = append(list, w)
	}
	return list, nil
}

// HasWarmTimes reports whether the clock ever keeps replicas of the function ready.
func (f Function) HasWarmTimes() bool { return f.Annotation(annotationWarm) != "" }

// Warm is how many replicas the function is to have at least by the clock: what its annotation com.hearth.warm says of this moment, and 0
// outside of its times. An annotation that cannot be read counts as absent; Validate refuses it.
func (f Function) Warm(now time.Time) int {
	list, err := parseWarm(f.Annotation(annotationWarm))
	if err != nil {
		return 0
	}
	floor := 0
	for _, w := range list {
		if w.replicas <= floor {
			continue
		}
		if began := w.begins.Next(now.Add(-w.lasts)); !began.IsZero() && !began.After(now) {
			floor = w.replicas
		}
	}
	return floor
}
