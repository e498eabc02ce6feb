package metrics_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/hearthfaas/hearth/internal/metrics"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

var (
	oven  = hearth.Name{Function: "oven", Namespace: "openfaas-fn"}
	baker = hearth.Name{Function: "baker", Namespace: "night"}
)

func function(n hearth.Name, replicas int, labels map[string]string) hearth.Function {
	return hearthtest.Parse(hearth.Function{
		Replicas: replicas,
		FunctionDeployment: types.FunctionDeployment{Service: n.Function,
			Namespace: n.Namespace, Labels: &labels},
	})
}

// scrape is what a scrape is answered, but for the series of the process itself: value by name and labels.
func scrape(t *testing.T, m *metrics.Metrics) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	series := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "go_") ||
			strings.HasPrefix(line, "process_") {
			continue
		}
		require.True(t, ok, line)
		number, err := strconv.ParseFloat(value, 64)
		require.NoError(t, err, line)
		series[name] = number
	}
	return series
}

// without leaves out the buckets and sums of histograms, whose values are times.
func without(series map[string]float64, suffixes ...string) map[string]float64 {
	for name := range series {
		bare, _, _ := strings.Cut(name, "{")
		for _, s := range suffixes {
			if strings.HasSuffix(bare, s) {
				delete(series, name)
			}
		}
	}
	return series
}

// state is one of two functions, of which the router knows one.
func state(queues func(context.Context) ([]queue.Queue, error)) metrics.State {
	return metrics.State{
		Functions: func() []hearth.Function {
			return []hearth.Function{function(oven, 3, map[string]string{"com.openfaas.scale.min": "2"}),
				function(baker, 0, nil)}
		},
		Load: func(n hearth.Name) (router.Load, bool) {
			return router.Load{
				InFlight:    4,
				Held:        1,
				Available:   2,
				Restarts:    4,
				ReplicaTime: 90 * time.Second,
				BusyTime:    4 * time.Second,
			}, n == oven
		},
		Used: func(n hearth.Name) (meter.Usage, bool) {
			return meter.Usage{BusyMemory: 4000 * 512, ReplicaMemory: 90_000 * 512}, n == oven
		},
		Queues: queues,
	}
}

// oneQueue is what is left of a removed function, and nothing that is left of another.
func oneQueue(context.Context) ([]queue.Queue, error) {
	return []queue.Queue{{Name: "baker:calls", Function: baker.String()},
		{Name: "oven:calls", Function: oven.String(), Depth: redis.Depth{
			Waiting: 7,
			Leased:  1,
			Due:     2,
			Dead:    3,
			Oldest:  1.5,
		}}}, nil
}
