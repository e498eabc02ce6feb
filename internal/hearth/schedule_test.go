package hearth_test

import (
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestScheduleOfAFunction(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		annotations []string
		want, wrong string
	}{
		"none":          {nil, "", ""},
		"no topic":      {[]string{"schedule=never"}, "", ""},
		"another topic": {[]string{"topic=bakery.dough", "schedule=never"}, "", ""},
		"cron":          {[]string{"topic=cron-function", "schedule=0  6 * * *"}, "0 6 * * *", ""},
		"cron and another": {[]string{"topic=bakery.dough , cron-function",
			"schedule=@hourly;\n@every 5m"}, "@hourly; @every 5m", ""},
		"no schedule": {[]string{"topic=cron-function"}, "",
			`function oven: the topic cron-function needs the annotation schedule`},
		"a schedule of spaces": {[]string{"topic=cron-function", "schedule= "}, "",
			"needs the annotation schedule"},
		"a wrong one": {[]string{"topic=cron-function", "schedule=daily"}, "",
			`function oven: the schedule "daily" is not valid: expected exactly 5 fields`},
	}
	for name, test := range tests {
		f, err := hearth.Parse(deployment(nil, test.annotations, nil))
		if test.wrong != "" {
			require.ErrorContains(t, err, test.wrong, name)
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err), name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, test.want, f.Schedule.String(), name)
	}
}
