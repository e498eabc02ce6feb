package hearth

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A QueueLimit is the most that one function's queued calls and callbacks may take, dead letters included.
type QueueLimit struct {
	Length int   // calls and callbacks
	Bytes  int64 // of all their fields
}

// DefaultQueueLimit is the default limit of an instance.
var DefaultQueueLimit = QueueLimit{Length: 100_000, Bytes: 256 << 20}

// Or returns the limit, with the fields of another one where it is zero.
func (l QueueLimit) Or(other QueueLimit) QueueLimit {
	return QueueLimit{Length: cmp.Or(l.Length, other.Length), Bytes: cmp.Or(l.Bytes, other.Bytes)}
}

// A Rate is how often one caller may call a function.
type Rate struct {
	Calls int // 0 is no limit
	Per   time.Duration
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// ParseRate reads a rate such as 10/s, 600/m or 5000/h. It returns an error of
// code Invalid for any other text.
func ParseRate(text string) (Rate, error) {
	calls, unit, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(calls)
	if err != nil || n < 1 || n > 1_000_000 || rateUnits[unit] == 0 {
		return Rate{}, Errorf(Invalid,
			"the rate is %q, want calls per second, minute or hour, such as 10/s, 600/m or 5000/h",
			clip(text))
	}
	return Rate{n, rateUnits[unit]}, nil
}

// String is the rate as ParseRate reads it.
func (r Rate) String() string {
	for unit, per := range rateUnits {
		if per == r.Per {
			return fmt.Sprintf("%d/%s", r.Calls, unit)
		}
	}
	return "no limit"
}
