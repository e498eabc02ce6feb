package hearth

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/schedule"
)

// A WarmTime begins by a schedule and has a length. During it, a function has at least so many replicas.
type WarmTime struct {
	Replicas int
	Begins   schedule.Schedule
	Lasts    time.Duration
}

// WarmTimes are those of a function.
type WarmTimes []WarmTime

// Replicas returns how many replicas a function must have at least at a time; 0 outside of all warm times.
func (w WarmTimes) Replicas(now time.Time) int {
	most := 0
	for _, t := range w {
		if t.Replicas <= most {
			continue
		}
		if began := t.Begins.Next(now.Add(-t.Lasts)); !began.IsZero() && !began.After(now) {
			most = t.Replicas
		}
	}
	return most
}

const (
	maxWarmTimes = 20
	maxWarm      = 7 * 24 * time.Hour
)

var warmForm = regexp.MustCompile(`^([0-9]{1,6}) +from +(.+) +for +(\S+)$`)

// readWarm reads the annotation com.hearth.warm.
func readWarm(p *parser, value string) error {
	for part := range strings.SplitSeq(value, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if len(p.Warm) == maxWarmTimes {
			return fmt.Errorf("there are more than %d warm times", maxWarmTimes)
		}
		m := warmForm.FindStringSubmatch(part)
		if m == nil {
			return fmt.Errorf("the warm time is %q, want REPLICAS from SCHEDULE for DURATION, such as 2 "+
				"from 30 6 * * 1-6 for 4h",
				clip(part))
		}
		var err error
		w := WarmTime{Lasts: duration(m[3])}
		w.Replicas, _ = strconv.Atoi(m[1])
		if w.Begins, err = schedule.Parse(m[2]); err != nil {
			return err
		}
		if w.Lasts < time.Second || w.Lasts > maxWarm || w.Replicas < 1 {
			return fmt.Errorf("the warm time is %q, want at least one replica, for 1s to %dh", clip(part),
				int(maxWarm.Hours()))
		}
		p.Warm = append(p.Warm, w)
	}
	return nil
}
