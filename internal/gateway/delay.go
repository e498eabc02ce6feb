package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// A queued call may have a delay: X-Delay is a duration such as 90s, or a number of seconds; X-Deliver-At is
// a time as in RFC 3339, or seconds since 1970. A time in the past means now.
const (
	headerDelay     = "X-Delay"
	headerDeliverAt = "X-Deliver-At"
)

// deliverAt returns the time before which a call must not be delivered, or zero for at once. A delay beyond
// longest is an error.
func deliverAt(h http.Header, now time.Time, longest time.Duration) (time.Time, error) {
	delay, at := h.Get(headerDelay), h.Get(headerDeliverAt)
	var when time.Time
	switch {
	case delay == "" && at == "":
		return when, nil
	case delay != "" && at != "":
		return when, hearth.Errorf(hearth.Invalid, "%s and %s both set a delay: give one", headerDelay,
			headerDeliverAt)
	case delay != "":
		d, ok := parseDelay(delay)
		if !ok {
			return when, hearth.Errorf(hearth.Invalid,
				"the %s is %.40q, want a duration such as 90s, or a number of seconds", headerDelay, delay)
		}
		when = now.Add(d)
	default:
		var ok bool
		if when, ok = parseTime(at); !ok {
			return when, hearth.Errorf(hearth.Invalid,
				"the %s is %.40q, want a time such as 2026-11-05T18:30:00Z, or seconds since 1970",
				headerDeliverAt, at)
		}
	}
	if when.After(now.Add(longest)) {
		return when, hearth.Errorf(hearth.Invalid,
			"the delay is longer than the limit, %v; the operator sets it with --max-delay", longest)
	}
	if !when.After(now) {
		return time.Time{}, nil
	}
	return when, nil
}

func parseDelay(text string) (time.Duration, bool) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(n) * time.Second, n >= 0
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

func parseTime(text string) (time.Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(n, 0), n >= 0 && n < 1<<40
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	return t, err == nil
}
