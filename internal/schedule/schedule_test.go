package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/schedule"
	"github.com/stretchr/testify/require"
)

func parse(t testing.TB, text string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(text)
	require.NoError(t, err)
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return when
}

func TestNextTimeOfASchedule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		schedule, after string
		want            []string // in sequence
	}{
		"five fields": {
			"30 6 * * *", "2024-05-01T06:30:00Z",
			[]string{"2024-05-02T06:30:00Z", "2024-05-03T06:30:00Z"},
		},
		"between two seconds": {
			"* * * * *", "2024-05-01T06:29:59.9Z",
			[]string{"2024-05-01T06:30:00Z", "2024-05-01T06:31:00Z"},
		},
		"lists, ranges and steps": {
			"*/30 9-10 * jan-mar,12 mon-fri", "2024-03-29T10:00:00Z",
			[]string{"2024-03-29T10:30:00Z", "2024-12-02T09:00:00Z"},
		},
		"day of the month or the week": {
			"0 0 13 * fri", "2024-09-01T00:00:00Z",
			[]string{"2024-09-06T00:00:00Z", "2024-09-13T00:00:00Z", "2024-09-20T00:00:00Z"},
		},
		"a name": {
			"@monthly", "2024-01-31T12:00:00Z",
			[]string{"2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		},
		"a week begins on Sunday": {
			"@weekly", "2024-05-01T00:00:00Z",
			[]string{"2024-05-05T00:00:00Z"},
		},
		"29 February, around 2100": {
			"0 0 29 2 *", "2092-03-01T00:00:00Z",
			[]string{"2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"},
		},
		"every, counted from 1970": {
			"@every 7m", "1970-01-01T00:00:00Z",
			[]string{"1970-01-01T00:07:00Z", "1970-01-01T00:14:00Z"},
		},
		"every, between two multiples": {
			"@every 5m", "2024-05-01T10:02:31Z",
			[]string{"2024-05-01T10:05:00Z", "2024-05-01T10:10:00Z"},
		},
		"several": {
			"0 6 * * *;@every 8h; 0 7 1 * *;", "2024-05-01T00:00:00Z",
			[]string{"2024-05-01T06:00:00Z", "2024-05-01T07:00:00Z", "2024-05-01T08:00:00Z",
				"2024-05-01T16:00:00Z"},
		},
		"several at the same time": {
			"0 * * * *; @hourly", "2024-05-01T00:00:00Z",
			[]string{"2024-05-01T01:00:00Z", "2024-05-01T02:00:00Z"},
		},
		"in a zone": {
			"CRON_TZ=Europe/Berlin 0 6 * * *", "2024-05-01T05:00:00Z",
			[]string{"2024-05-02T04:00:00Z"},
		},
		"in a zone, by its short name": {
			"TZ=Asia/Kolkata @daily", "2024-05-01T00:00:00Z",
			[]string{"2024-05-01T18:30:00Z"},
		},
		"a time that the clock skips": {
			"CRON_TZ=Europe/Berlin 30 2 * * *", "2024-03-30T12:00:00Z",
			[]string{"2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"},
		},
		"a time that the clock repeats": {
			"CRON_TZ=Europe/Berlin 30 2 * * *", "2024-10-26T12:00:00Z",
			[]string{"2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"},
		},
		"each hour, when the clock jumps": {
			"CRON_TZ=Europe/Berlin 30 * * * *", "2024-03-31T00:00:00Z",
			[]string{"2024-03-31T00:30:00Z", "2024-03-31T01:30:00Z"},
		},
		"each hour, when the clock is set back": {
			"CRON_TZ=Europe/Berlin 30 * * * *", "2024-10-27T00:00:00Z",
			[]string{"2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z", "2024-10-27T02:30:00Z"},
		},
		"a midnight that the clock skips": {
			"CRON_TZ=Africa/Cairo @daily", "2024-04-25T12:00:00Z",
			[]string{"2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"},
		},
		"a midnight that repeats": {
			"CRON_TZ=America/Havana @daily", "2024-11-02T12:00:00Z",
			[]string{"2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"},
		},
		"an evening that repeats": {
			"CRON_TZ=Africa/Cairo 30 23 * * *", "2024-10-31T12:00:00Z",
			[]string{"2024-10-31T20:30:00Z", "2024-11-01T21:30:00Z"},
		},
		"daylight saving of half an hour": {
			"CRON_TZ=Australia/Lord_Howe 0 12 * * *", "2024-10-05T02:00:00Z",
			[]string{"2024-10-06T01:00:00Z", "2024-10-07T01:00:00Z"},
		},
		"a day that the calendar skips": {
			"CRON_TZ=Pacific/Apia 0 12 30 12 *", "2011-12-01T00:00:00Z",
			[]string{"2011-12-30T10:00:00Z", "2012-12-29T22:00:00Z"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, last := parse(t, test.schedule), at(t, test.after)
			for _, want := range test.want {
				last = s.Next(last)
				require.Equal(t, want, last.Format(time.RFC3339))
			}
			require.Equal(t, last, s.Latest(at(t, test.after), last))
			require.Equal(t, last, s.Latest(at(t, test.after), last.Add(time.Second/2)))
			require.Zero(t, s.Latest(last, s.Next(last).Add(-1)))
		})
	}
	require.Zero(t, schedule.Schedule{}.Next(time.Now()))
	require.Zero(t, schedule.Schedule{}.Latest(time.Time{}, time.Now()))
}

// TestEveryDayCountsInZonesWithOddClocks compares each half hour of a year with the clock of the zone.
func TestEveryDayCountsInZonesWithOddClocks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Africa/Cairo", "Asia/Amman",
		"Australia/Lord_Howe",
		"Africa/Casablanca", "Atlantic/Azores",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(name)
			require.NoError(t, err)
			noon, halfPast := parse(t, "CRON_TZ="+name+" 0 12 * * *"), parse(t, "CRON_TZ="+name+" 30 * * * *")
			from, to := at(t, "2024-01-01T00:00:00Z"), at(t, "2025-01-01T00:00:00Z")
			lastNoon, lastHalf := noon.Next(from), halfPast.Next(from)
			for now := from.Add(30 * time.Minute); now.Before(to); now = now.Add(30 * time.Minute) {
				switch local := now.In(zone); {
				case local.Hour() == 12 && local.Minute() == 0:
					require.True(t, lastNoon.Equal(now), "%v, got %v", local, lastNoon.In(zone))
					lastNoon = noon.Next(now)
				case local.Minute() == 30:
					require.True(t, lastHalf.Equal(now), "%v, got %v", local, lastHalf.In(zone))
					lastHalf = halfPast.Next(now)
				}
			}
		})
	}
}

func TestInvalidScheduleIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "is empty",
		" ; ":                           "is empty",
		"soon":                          "expected exactly 5 fields, found 1",
		"0 * * * * *":                   "found 6",
		"60 * * * *":                    "above maximum",
		"* * * * 7":                     "above maximum",
		"*/0 * * * *":                   "positive",
		"5-1 * * * *":                   "beyond end",
		"@fortnightly":                  "unrecognized",
		"0 0 31 2 *":                    "no time matches",
		"0 0 31 4,6,9,11 *":             "no time matches",
		", * * * *":                     "no time matches",
		"* , * * *":                     "no time matches",
		"* * , , ,":                     "no time matches",
		"@every 0s":                     "at least one",
		"@every -5m":                    "at least one",
		"@every 500ms":                  "at least one",
		"@every 1500ms":                 "whole seconds",
		"@every day":                    "parse duration",
		"@every":                        "unrecognized",
		"TZ=UTC":                        "want a time zone",
		"CRON_TZ=Europe/Berlin":         "want a time zone",
		"TZ= * * * * *":                 "want a time zone",
		"TZ=Local * * * * *":            "want a time zone",
		"TZ=Mars/Olympus * * * * *":     "bad location",
		"TZ=../../etc/passwd * * * * *": "bad location",
		"TZ=UTC TZ=UTC * * * * *":       "found 6",
		"@hourly; 0 0 30 2 *":           `"0 0 30 2 *" is not valid: no time matches`,
		strings.Repeat("@hourly;", 21):  "more than 20",
		strings.Repeat(" ", 2000):       "at most 1024",
	} {
		_, err := schedule.Parse(text)
		require.ErrorContains(t, err, want, text)
	}
}

// FuzzParse checks that an accepted schedule has a later next time, and that its text parses to itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"0 6 * * *", "@every 5m; @hourly", "CRON_TZ=Europe/Berlin 30 2 * * *", "TZ=UTC",
		"0 0 31 2 *", ", * * * *",
		"*/61 * * * *", "0 0 29 2 ?", "59 23 31 dec sat", "@every 2562047h",
		"TZ=Australia/Lord_Howe 15 1-3/2 * 4,10 0",
		"\t;", "9223372036854775807 * * * *", "0/9223372036854775807 * * * *",
	} {
		f.Add(s, int64(1_700_000_000), int64(86400))
	}
	f.Fuzz(func(t *testing.T, text string, from, span int64) {
		s, err := schedule.Parse(text)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		again, err := schedule.Parse(s.String())
		require.NoError(t, err)
		require.Equal(t, s.String(), again.String())
		after := time.Unix(from&0xffffffff, from&0xfffffff)
		until := after.Add(time.Duration(span%(10*365*86400)) * time.Second)
		next, newest := s.Next(after), s.Latest(after, until)
		require.True(t, next.After(after), "%v is not after %v", next, after)
		require.Zero(t, next.Nanosecond())
		require.Equal(t, newest.IsZero(), next.After(until))
		if !newest.IsZero() {
			require.False(t, newest.Before(next) || newest.After(until))
			require.True(t, s.Next(newest).After(until))
		}
	})
}
