package hearth_test

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestWarmTimesFollowTheClock(t *testing.T) {
	t.Parallel()
	f := parse(t, nil, []string{"com.hearth.warm=2 from 30 6 * * 1-6 for 4h; 5 from CRON_TZ=Europe/Berlin " +
		"0 9 * * 6 for 90m"}, nil)
	for text, want := range map[string]int{
		"2026-03-02T06:29:59Z": 0, // a Monday
		"2026-03-02T06:30:00Z": 2,
		"2026-03-02T10:29:59Z": 2,
		"2026-03-02T10:30:00Z": 0,
		"2026-03-01T07:00:00Z": 0, // a Sunday
		"2026-03-07T08:00:00Z": 5, // a Saturday, nine o'clock in Berlin
		"2026-03-07T09:30:00Z": 2, // both have begun, and one is over
	} {
		now, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		require.Equal(t, want, f.Warm.Replicas(now), text)
	}
	require.Zero(t, parse(t, nil, nil, nil).Warm.Replicas(time.Now()))
}

func TestInvalidWarmTimeIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"whenever":                     "want REPLICAS from SCHEDULE for DURATION",
		"two from 0 6 * * * for 1h":    "want REPLICAS from SCHEDULE for DURATION",
		"21 from 0 6 * * * for 1h":     "more than com.openfaas.scale.max, 20",
		"0 from 0 6 * * * for 1h":      "at least one replica",
		"1 from 0 6 * * * for 0s":      "at least one replica",
		"1 from 0 6 * * * for 1000h":   "168h",
		"1 from 0 25 * * * for 1h":     "not valid",
		"1 from 0 6 31 2 * for 1h":     "no time matches it",
		"1 from 0 6 * * * for a while": "want REPLICAS",
	} {
		err := validate(deployment(nil, []string{"com.hearth.warm=" + text}, nil))
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err), text)
		require.ErrorContains(t, err, "com.hearth.warm", text)
		require.ErrorContains(t, err, want, text)
	}
	err := validate(deployment(nil, []string{"com.hearth.emits=bakery.dough, ,nothing like a topic"}, nil))
	require.ErrorContains(t, err, "com.hearth.emits")
}

// FuzzWarm checks that accepted warm times can be evaluated at any time, and never exceed their numbers.
func FuzzWarm(f *testing.F) {
	f.Add("2 from 30 6 * * 1-6 for 4h", int64(1_772_433_000))
	f.Add("1 from @every 1s for 168h;1 from TZ=Asia/Tokyo 0 0 29 2 * for 1s", int64(0))
	f.Fuzz(func(t *testing.T, text string, at int64) {
		fn, err := hearth.Parse(deployment(nil, []string{"com.hearth.warm=" + text}, nil))
		if err != nil {
			return
		}
		warm := fn.Warm.Replicas(time.Unix(at%4e9, 0))
		require.GreaterOrEqual(t, warm, 0)
		require.Less(t, warm, 1_000_000)
	})
}
