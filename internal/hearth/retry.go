package hearth

import (
	"strconv"
	"strings"
	"time"
)

// A RetryPolicy says how often and when a failed queued call is attempted again.
type RetryPolicy struct {
	Attempts int           // at most; 1 is no retry
	MinWait  time.Duration // before the second attempt; it doubles with each further attempt
	MaxWait  time.Duration
	Codes    []int         // the statuses of an answer after which the call is attempted again
	MaxAge   time.Duration // how long a call may wait for a replica
	Backoff  Backoff       // how the waits are spread; "" is the instance's default
}

// A Backoff says how the waits between attempts are spread, so that calls that failed together are not
// attempted together again. The names are OpenFaaS's; see https://docs.openfaas.com/openfaas-pro/retries/,
// and "Exponential Backoff And Jitter",
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
type Backoff string

// The kinds of backoff. In each the wait doubles with each attempt.
const (
	BackoffExponential Backoff = "exponential" // all of the wait
	BackoffFull        Backoff = "full"        // 0 to 100 % of the wait
	BackoffEqual       Backoff = "equal"       // 50 to 100 % of the wait
)

// ParseBackoff reads the name of a backoff. It returns an error of code Invalid for any other text.
func ParseBackoff(text string) (Backoff, error) {
	switch b := Backoff(text); b {
	case BackoffExponential, BackoffFull, BackoffEqual:
		return b, nil
	}
	return "", Errorf(Invalid, "the backoff is %q, want exponential, full or equal", clip(text))
}

// DefaultRetry is OpenFaaS's documented default, with 425 and 503 added: both statuses say that a later
// attempt may succeed. See https://docs.openfaas.com/openfaas-pro/retries/.
var DefaultRetry = RetryPolicy{
	Attempts: 10,
	MinWait:  10 * time.Second,
	MaxWait:  120 * time.Second,
	Codes:    []int{408, 425, 429, 500, 502, 503, 504},
	MaxAge:   24 * time.Hour,
}

// readCodes reads the annotation com.openfaas.retry.codes.
func readCodes(p *parser, value string) error {
	var codes []int
	for text := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 100 || n > 599 {
			return errMalformed
		}
		codes = append(codes, n)
	}
	p.Retry.Codes = codes
	return nil
}
