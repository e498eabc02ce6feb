package hearth_test

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestScalingIsWhatTheLabelsSay(t *testing.T) {
	t.Parallel()
	plain := hearth.Scaling{Target: 32, Proportion: 1, Min: 1, Max: 20, ZeroAfter: 15 * time.Minute}
	with := func(change func(*hearth.Scaling)) hearth.Scaling {
		s := plain
		change(&s)
		return s
	}
	const prefix = "com.openfaas.scale."
	tests := map[string]struct {
		labels []string
		want   hearth.Scaling
	}{
		"none": {nil, plain},
		"a type": {[]string{"type=capacity"},
			with(func(s *hearth.Scaling) {
				s.Signal, s.Target, s.Proportion = hearth.SignalCapacity, 50,
					.9
			})},
		"a target is of rps": {[]string{"target=100"},
			with(func(s *hearth.Scaling) { s.Signal, s.Target, s.Proportion = hearth.SignalRate, 100, .9 })},
		"a proportion": {[]string{"target-proportion=0.7"},
			with(func(s *hearth.Scaling) { s.Proportion = .7 })},
		"all": {[]string{"type=queue", "target=2.5", "target-proportion=0.5", "min=2", "max=8", "zero=true",
			"zero-duration=90s", "down.window=1m"}, hearth.Scaling{
			Signal:     hearth.SignalQueue,
			Target:     2.5,
			Proportion: .5,
			Min:        2,
			Max:        8,
			Zero:       true,
			ZeroAfter:  90 * time.Second,
			DownWindow: time.Minute,
		}},
		"somebody's own rule":       {[]string{"type=my-rule"}, plain},
		"deployed asleep may sleep": {[]string{"min=0"}, with(func(s *hearth.Scaling) { s.Zero = true })},
		"nothing that can be read": {[]string{"target=many", "target-proportion=0", "zero=perhaps",
			"zero-duration=0", "down.window=-1s"}, plain},
		"the longest window to shrink": {[]string{"down.window=1h"},
			with(func(s *hearth.Scaling) { s.DownWindow = 5 * time.Minute })},
	}
	for name, test := range tests {
		var labels []string
		for _, l := range test.labels {
			labels = append(labels, prefix+l)
		}
		require.Equal(t, test.want, parse(t, labels, nil, nil).Scaling, name)
	}
	require.EqualValues(t, 4, parse(t, nil, nil, []string{"max_inflight=4"}).Scaling.Target,
		"what a replica takes at once")
	require.True(t, parse(t, []string{prefix + "min=3", prefix + "max=3"}, nil, nil).Scaling.Fixed())
}
