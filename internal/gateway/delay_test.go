package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDeliverAt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 5, 18, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		delay, at string
		want      time.Duration // from now
		err       string
	}{
		"none":                   {},
		"a duration":             {delay: "90s", want: 90 * time.Second},
		"part of a second":       {delay: "1.5s", want: 1500 * time.Millisecond},
		"seconds":                {delay: "90", want: 90 * time.Second},
		"no delay":               {delay: "0"},
		"a time":                 {at: "2026-11-05T18:30:00Z", want: 30 * time.Minute},
		"a time elsewhere":       {at: "2026-11-05T19:30:00+01:00", want: 30 * time.Minute},
		"seconds since 1970":     {at: "1793901660", want: time.Minute},
		"a time that is past":    {at: "2020-01-01T00:00:00Z"},
		"both":                   {delay: "1s", at: "2026-11-05T18:30:00Z", err: "give one"},
		"a negative delay":       {delay: "-1s", err: "want a duration"},
		"words":                  {delay: "soon", err: "want a duration"},
		"a date only":            {at: "2026-11-06", err: "want a time"},
		"a day":                  {delay: "24h", want: 24 * time.Hour},
		"more than a day":        {delay: "86401", err: "--max-delay"},
		"a time too far away":    {at: "2026-11-06T18:00:01Z", err: "--max-delay"},
		"a year that is no year": {at: "99999999999999", err: "want a time"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := deliverAt(http.Header{headerDelay: {tt.delay}, headerDeliverAt: {tt.at}}, now,
				24*time.Hour)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			if tt.want == 0 {
				require.Zero(t, at)
				return
			}
			require.Equal(t, tt.want, at.Sub(now))
		})
	}
}

func FuzzDeliverAt(f *testing.F) {
	f.Add("90s", "")
	f.Add("", "2026-11-05T18:30:00Z")
	f.Add("9223372036", "1")
	f.Fuzz(func(t *testing.T, delay, at string) {
		now := time.Unix(1_800_000_000, 0)
		when, err := deliverAt(http.Header{headerDelay: {delay}, headerDeliverAt: {at}}, now, 24*time.Hour)
		if err == nil && !when.IsZero() {
			require.True(t, when.After(now) && !when.After(now.Add(24*time.Hour)), when)
		}
	})
}
