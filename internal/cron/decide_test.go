package cron

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/schedule"
	"github.com/stretchr/testify/require"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ schedule, last, now, fire, next string }{
		"nothing yet": {"0 * * * *", "2024-05-06T09:30:00Z", "2024-05-06T09:59:59.9Z",
			"", "2024-05-06T10:00:00Z"},
		"on time": {"0 * * * *", "2024-05-06T09:30:00Z", "2024-05-06T10:00:00Z",
			"2024-05-06T10:00:00Z", "2024-05-06T11:00:00Z"},
		"once": {"0 * * * *", "2024-05-06T10:00:00Z", "2024-05-06T10:00:00.5Z",
			"", "2024-05-06T11:00:00Z"},
		"a little late": {"0 * * * *", "2024-05-06T09:00:00Z", "2024-05-06T10:00:07Z",
			"2024-05-06T10:00:00Z", "2024-05-06T11:00:00Z"},
		"many were missed: the newest": {"*/5 * * * *", "2024-05-06T09:00:00Z", "2024-05-09T12:34:56Z",
			"2024-05-09T12:30:00Z", "2024-05-09T12:35:00Z"},
		"each second of a year was missed": {"@every 1s", "2023-05-06T09:00:00Z", "2024-05-06T10:00:00.2Z",
			"2024-05-06T10:00:00Z", "2024-05-06T10:00:01Z"},
		"deployed right on a time": {"@hourly", "2024-05-06T09:00:00Z", "2024-05-06T09:00:00Z", "",
			"2024-05-06T10:00:00Z"},
		"several, and the newest of all": {"0 6 * * *; 30 8 * * *; @weekly", "2024-05-05T05:00:00Z",
			"2024-05-06T07:00:00Z", "2024-05-06T06:00:00Z", "2024-05-06T08:30:00Z"},
		"two of them at once are one": {"0 6 * * *; @hourly", "2024-05-06T05:00:00Z",
			"2024-05-06T06:00:00Z", "2024-05-06T06:00:00Z", "2024-05-06T07:00:00Z"},
		"every is counted from 1970": {"@every 7h", "2024-05-06T00:00:00Z", "2024-05-06T10:00:00Z",
			"2024-05-06T09:00:00Z", "2024-05-06T16:00:00Z"},
		"a clock that was set back": {"@hourly", "2024-05-06T10:00:00Z", "2024-05-06T08:30:00Z", "",
			"2024-05-06T11:00:00Z"},
		"the night that has no half past 2": {"CRON_TZ=Europe/Berlin 30 2 * * *", "2024-03-30T12:00:00Z",
			"2024-03-31T01:00:00Z", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"},
		"the night that has two, the first": {"CRON_TZ=Europe/Berlin 30 2 * * *", "2024-10-26T12:00:00Z",
			"2024-10-27T00:30:00Z", "2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"},
		"the night that has two, later": {"CRON_TZ=Europe/Berlin 30 2 * * *", "2024-10-27T00:30:00Z",
			"2024-10-27T01:30:00Z", "", "2024-10-28T01:30:00Z"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := schedule.Parse(test.schedule)
			require.NoError(t, err)
			when := func(text string) time.Time {
				if text == "" {
					return time.Time{}
				}
				at, err := time.Parse(time.RFC3339, text)
				require.NoError(t, err)
				return at
			}
			fire, next := decide(s, when(test.last), when(test.now))
			require.Equal(t, []string{when(test.fire).String(), when(test.next).String()},
				[]string{fire.String(), next.String()})
		})
	}
}
