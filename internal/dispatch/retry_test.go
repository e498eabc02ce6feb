package dispatch

import (
	"net/http"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	p := hearth.DefaultRetry
	tests := map[string]struct {
		attempt int
		age     time.Duration
		o       outcome
		want    action
		wait    time.Duration
		reason  string
	}{
		"200":                     {1, 0, outcome{reached: true, status: 200}, settle, 0, ""},
		"204":                     {1, 0, outcome{reached: true, status: 204}, settle, 0, ""},
		"a redirect is an answer": {1, 0, outcome{reached: true, status: 302}, settle, 0, ""},
		"a late success is one": {99, time.Hour,
			outcome{reached: true, status: 200}, settle, 0, ""},
		"500 is tried again": {1, 0, outcome{reached: true, status: 500}, retry,
			10 * time.Second, "answered 500"},
		"the wait doubles": {3, 0, outcome{reached: true, status: 502}, retry,
			40 * time.Second, ""},
		"and has a limit": {9, 0, outcome{reached: true, status: 504}, retry,
			120 * time.Second, ""},
		"408": {1, 0, outcome{reached: true, status: 408}, retry,
			10 * time.Second, ""},
		"425": {1, 0, outcome{reached: true, status: 425}, retry,
			10 * time.Second, ""},
		"429 of the function": {1, 0, outcome{reached: true, status: 429}, retry,
			10 * time.Second, ""},
		"503 of the function": {1, 0, outcome{reached: true, status: 503}, retry,
			10 * time.Second, ""},
		"no attempts left": {10, 0, outcome{reached: true, status: 500}, bury, 0,
			"at attempt 10 of 10"},
		"400 is for ever": {1, 0, outcome{reached: true, status: 400}, bury,
			0, "not retried"},
		"404 of the function too": {1, 0, outcome{reached: true, status: 404}, bury,
			0, "not retried"},
		"501 too": {1, 0, outcome{reached: true, status: 501}, bury,
			0, "not retried"},
		"Retry-After": {1, 0, outcome{reached: true, status: 429, retryAfter: "60"},
			retry, time.Minute, ""},
		"not below the minimum": {1, 0, outcome{reached: true, status: 503, retryAfter: "1"}, retry,
			10 * time.Second, ""},
		"not past what is kept": {1, 0, outcome{reached: true, status: 503, retryAfter: "31536000"},
			retry, 24 * time.Hour, ""},
		"only for 429 and 503": {1, 0, outcome{reached: true, status: 500, retryAfter: "60"},
			retry, 10 * time.Second, ""},
		"what cannot be read": {1, 0, outcome{reached: true, status: 429, retryAfter: "soon"},
			retry, 10 * time.Second, ""},
		"the platform's errors always": {1, 0, outcome{reached: true, status: 400, internal: true}, retry,
			10 * time.Second, ""},
		"though not for ever": {10, 0,
			outcome{reached: true, status: 400, internal: true}, bury, 0, ""},
		"a connection that broke": {1, 0, outcome{reached: true, internal: true, reason: "broke off"},
			retry, 10 * time.Second, "broke off"},
		"what can never be made": {1, 0, outcome{reached: true, final: true, reason: "not allowed"},
			bury, 0, "not allowed"},
		"never reached: soon again": {1, 0, outcome{reason: "no replica"}, giveBack,
			50 * time.Millisecond, ""},
		"never reached: later": {1, 8 * time.Second, outcome{reason: "no replica"},
			giveBack, time.Second, ""},
		"never reached: not too late": {1, time.Hour, outcome{reason: "no replica"}, giveBack,
			5 * time.Second, ""},
		"never reached counts no attempt": {99, 0, outcome{status: 429, internal: true}, giveBack,
			50 * time.Millisecond, ""},
		"never reached: bounded by age": {1, 25 * time.Hour, outcome{reason: "no replica"}, bury, 0,
			"could not be delivered for 24h0m0s: no replica"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decide(p, tt.attempt, tt.age, tt.o, spread{backoff: hearth.BackoffExponential})
			require.Equal(t, tt.want.String(), v.do.String())
			require.Equal(t, tt.wait, v.wait)
			require.Contains(t, v.reason, tt.reason)
		})
	}
}

func TestWaitsAreSpread(t *testing.T) {
	t.Parallel()
	tests := map[hearth.Backoff]struct{ least, half, most time.Duration }{
		hearth.BackoffExponential: {40 * time.Second, 40 * time.Second, 40 * time.Second},
		hearth.BackoffFull:        {0, 20 * time.Second, 40 * time.Second},
		hearth.BackoffEqual:       {20 * time.Second, 30 * time.Second, 40 * time.Second},
	}
	for b, want := range tests {
		for at, wait := range map[float64]time.Duration{0: want.least, 0.5: want.half, 1: want.most} {
			v := decide(hearth.DefaultRetry, 3, 0, outcome{reached: true, status: 500}, spread{b, at})
			require.Equal(t, wait, v.wait, "%s at %v", b, at)
		}
		read, err := hearth.ParseBackoff(string(b))
		require.NoError(t, err)
		require.Equal(t, b, read)
	}
	_, err := hearth.ParseBackoff("linear")
	require.ErrorContains(t, err, "want exponential, full or equal")
	v := decide(hearth.RetryPolicy{Attempts: 5000, MaxWait: time.Hour, Codes: []int{500}}, 4000, 0,
		outcome{reached: true, status: 500}, spread{hearth.BackoffFull, 0.5})
	require.Zero(t, v.wait, "the minimum is 0, however often it is doubled")
}

func TestRetryAfterAsADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	d, ok := parseRetryAfter(now.Add(90*time.Second).Format(http.TimeFormat), now)
	require.True(t, ok)
	require.Equal(t, 90*time.Second, d)
	d, ok = parseRetryAfter(now.Add(-time.Hour).Format(http.TimeFormat), now)
	require.True(t, ok)
	require.Zero(t, d)
	for _, bad := range []string{"", "-1", "1.5", "tomorrow"} {
		_, ok = parseRetryAfter(bad, now)
		require.False(t, ok, bad)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(1, int64(0), true, 500, false, "3", 0.5)
	f.Add(10, int64(1)<<50, false, 0, true, "", 0.0)
	f.Fuzz(func(t *testing.T, attempt int, age int64, reached bool, status int, internal bool,
		after string, at float64) {
		if !(at >= 0 && at < 1) {
			at = 0
		}
		v := decide(hearth.DefaultRetry, attempt, time.Duration(age),
			outcome{reached: reached, status: status, internal: internal, retryAfter: after},
			spread{hearth.BackoffFull, at})
		require.GreaterOrEqual(t, v.wait, time.Duration(0))
		if v.do == bury {
			require.NotEmpty(t, v.reason)
		}
		if v.do == retry {
			require.True(t, reached)
			require.Less(t, attempt, hearth.DefaultRetry.Attempts)
		}
	})
}
