package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/metrics"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/stretchr/testify/require"
)

func TestWhatHappensIsCountedByFunction(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1")
	require.Equal(t, map[string]float64{`hearth_build_info{version="v1"}`: 1}, scrape(t, m))

	r := m.Recorder(oven)
	for range 3 {
		r.Started()
	}
	r.Held()
	r.Held()
	r.Given(40 * time.Millisecond)
	r.Ended(http.StatusOK, 200*time.Millisecond)
	r.Ended(http.StatusInternalServerError, 20*time.Second)
	for _, came := range []string{dispatch.Done, dispatch.Done, dispatch.Busy, dispatch.Retried,
		dispatch.Buried} {
		m.Delivered(oven, dispatch.Delivered{Outcome: came, Attempt: 2, Reason: dispatch.NotRetried})
	}
	r.Denied()
	m.Delivered(oven,
		dispatch.Delivered{Outcome: dispatch.Buried, Attempt: 1, Reason: dispatch.Refused, Callback: true})
	m.Served(http.MethodGet, "/system/functions", http.StatusOK, time.Millisecond)
	m.Recorder(baker)
	got := scrape(t, m)
	require.EqualValues(t, 0, got[`gateway_functions_seconds_bucket{function_name="oven.openfaas-fn",`+
		`le="0.1"}`])
	require.EqualValues(t, 1, got[`gateway_functions_seconds_bucket{function_name="oven.openfaas-fn",`+
		`le="0.25"}`])
	require.EqualValues(t, 2, got[`gateway_functions_seconds_bucket{function_name="oven.openfaas-fn",`+
		`le="30"}`])
	require.InDelta(t, 20.2, got[`gateway_functions_seconds_sum{function_name="oven.openfaas-fn"}`], 1e-9)
	require.InDelta(t, 0.04, got[`hearth_cold_start_seconds_sum{function_name="oven.openfaas-fn"}`], 1e-9)
	want := map[string]float64{
		`hearth_build_info{version="v1"}`:                                                1,
		`gateway_function_invocation_started{function_name="oven.openfaas-fn"}`:          3,
		`gateway_function_invocation_total{code="200",function_name="oven.openfaas-fn"}`: 1,
		`gateway_function_invocation_total{code="500",function_name="oven.openfaas-fn"}`: 1,
		`gateway_functions_seconds_count{function_name="oven.openfaas-fn"}`:              2,
		`hearth_cold_starts_total{function_name="oven.openfaas-fn"}`:                     2,
		`hearth_cold_start_seconds_count{function_name="oven.openfaas-fn"}`:              1,
		`hearth_deliveries_total{function_name="oven.openfaas-fn",outcome="done"}`:       2,
		`hearth_deliveries_total{function_name="oven.openfaas-fn",outcome="busy"}`:       1,
		`hearth_deliveries_total{function_name="oven.openfaas-fn",outcome="retried"}`:    1,
		`hearth_deliveries_total{function_name="oven.openfaas-fn",outcome="buried"}`:     1,
		`hearth_deliveries_total{function_name="oven.openfaas-fn",outcome="cancelled"}`:  0,

		`gateway_function_invocation_started{function_name="baker.night"}`:         0,
		`hearth_cold_starts_total{function_name="baker.night"}`:                    0,
		`hearth_deliveries_total{function_name="baker.night",outcome="done"}`:      0,
		`hearth_deliveries_total{function_name="baker.night",outcome="busy"}`:      0,
		`hearth_deliveries_total{function_name="baker.night",outcome="retried"}`:   0,
		`hearth_deliveries_total{function_name="baker.night",outcome="buried"}`:    0,
		`hearth_deliveries_total{function_name="baker.night",outcome="cancelled"}`: 0,

		`hearth_cold_start_failures_total{function_name="oven.openfaas-fn"}`:                      1,
		`hearth_delivery_attempts_count{function_name="oven.openfaas-fn"}`:                        3,
		`hearth_callbacks_total{function_name="oven.openfaas-fn",outcome="buried"}`:               1,
		`hearth_cold_start_failures_total{function_name="baker.night"}`:                           0,
		`http_requests_total{method="GET",path="/system/functions",status="200"}`:                 1,
		`http_request_duration_seconds_count{method="GET",path="/system/functions",status="200"}`: 1,
	}
	for _, reason := range dispatch.Reasons {
		for _, name := range []string{"oven.openfaas-fn", "baker.night"} {
			want[fmt.Sprintf("hearth_dead_letters_total{function_name=%q,reason=%q}", name, reason)] = 0
		}
	}
	want[`hearth_dead_letters_total{function_name="oven.openfaas-fn",reason="not_retried"}`] = 1
	want[`hearth_dead_letters_total{function_name="oven.openfaas-fn",reason="refused"}`] = 1
	require.EqualValues(t, 6, got[`hearth_delivery_attempts_sum{function_name="oven.openfaas-fn"}`])
	require.Equal(t, want, without(got, "_bucket", "_sum"))
}

func TestRemovedFunctionLeavesNothingAlsoWhenItsCallsEndLater(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1")
	old := m.Recorder(oven)
	old.Started()
	old.Held()
	old.Given(time.Second)
	old.Ended(http.StatusOK, time.Second)
	m.Delivered(oven, dispatch.Delivered{
		Outcome: dispatch.Done,
		Attempt: 1,
		Reason:  dispatch.Exhausted,
		Waited:  time.Second,
	})
	require.EqualValues(t, 1, scrape(t, m)[`hearth_queue_wait_seconds_sum{function_name="oven.openfaas-fn"}`])
	late := func() {
		old.Started()
		old.Held()
		old.Given(time.Second)
		old.Ended(http.StatusOK, time.Second)
		old.Ended(http.StatusBadGateway, time.Second)
	}
	nothing := map[string]float64{`hearth_build_info{version="v1"}`: 1}
	old.Removed(nil)
	require.Equal(t, nothing, scrape(t, m))
	late()
	m.Delivered(oven, dispatch.Delivered{Outcome: dispatch.Buried, Attempt: 1, Reason: dispatch.Exhausted})
	require.Equal(t, nothing, scrape(t, m))

	m.Recorder(oven)
	fresh := scrape(t, m)
	late()
	require.Equal(t, fresh, scrape(t, m), "calls of the one before are not the new one's")
	require.Zero(t, fresh[`gateway_function_invocation_started{function_name="oven.openfaas-fn"}`])
}

func TestNothingIsLostOrBroughtBackWhenAllHappensAtOnce(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1")
	r, gone := m.Recorder(oven), m.Recorder(baker)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				r.Started()
				r.Ended(200+i%5, time.Millisecond)
				gone.Ended(200+i%5, time.Millisecond)
				gone.Given(time.Millisecond)
				m.Delivered(baker,
					dispatch.Delivered{Outcome: dispatch.Done, Attempt: 1, Reason: dispatch.Exhausted})
			}
		})
	}
	all.Go(func() { gone.Removed(nil) })
	all.Go(func() { scrape(t, m) })
	all.Wait()
	got := scrape(t, m)
	require.EqualValues(t, 8000, got[`gateway_function_invocation_started{function_name="oven.openfaas-fn"}`])
	require.EqualValues(t, 1600,
		got[`gateway_function_invocation_total{code="204",function_name="oven.openfaas-fn"}`])
	for name := range got {
		require.NotContains(t, name, "baker")
	}
}

// TestConnectorCountsDeliveriesOnly: calls are counted by the gateway that makes them.
func TestConnectorCountsDeliveriesOnly(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1")
	m.Show(metrics.State{Queues: oneQueue})
	ended := m.Deliveries(oven)
	m.Delivered(oven, dispatch.Delivered{Outcome: dispatch.Buried, Attempt: 3, Reason: dispatch.Exhausted})
	got := scrape(t, m)
	require.EqualValues(t, 1, got[`hearth_deliveries_total{function_name="oven.openfaas-fn",`+
		`outcome="buried"}`])
	require.EqualValues(t, 1, got[`hearth_dead_letters_total{function_name="oven.openfaas-fn",`+
		`reason="attempts"}`])
	require.EqualValues(t, 3, got[`hearth_delivery_attempts_sum{function_name="oven.openfaas-fn"}`])
	require.EqualValues(t, 7, got[`hearth_queue_depth{function_name="oven.openfaas-fn",queue="oven:calls"}`])
	for name := range got {
		require.NotContains(t, name, "gateway_")
		require.NotContains(t, name, "cold_start")
	}
	ended()
	require.NotContains(t, scrape(t, m),
		`hearth_deliveries_total{function_name="oven.openfaas-fn",outcome="buried"}`)
}

func TestStateIsLookedUpAtEachScrape(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1")
	s := state(oneQueue)
	s.Schedules = func() []cron.State {
		return []cron.State{{Name: oven, Fired: 6,
			Next: time.Unix(1_714_953_600, 0)}}
	}
	m.Show(s)
	require.Equal(t, map[string]float64{
		`hearth_cron_fired_total{function_name="oven.openfaas-fn"}`:                         6,
		`hearth_cron_next_timestamp_seconds{function_name="oven.openfaas-fn"}`:              1_714_953_600,
		`hearth_build_info{version="v1"}`:                                                   1,
		`gateway_service_count{function_name="oven.openfaas-fn"}`:                           3,
		`gateway_service_ready_count{function_name="oven.openfaas-fn"}`:                     2,
		`hearth_replica_seconds_total{function_name="oven.openfaas-fn"}`:                    90,
		`hearth_replica_restarts_total{function_name="oven.openfaas-fn"}`:                   4,
		`gateway_service_min{function_name="oven.openfaas-fn"}`:                             2,
		`gateway_service_target{function_name="oven.openfaas-fn"}`:                          32,
		`gateway_service_target_load{function_name="oven.openfaas-fn",scaling_type="work"}`: 32,
		`gateway_function_invocation_inflight{function_name="oven.openfaas-fn"}`:            5,
		`hearth_queue_depth{function_name="oven.openfaas-fn",queue="oven:calls"}`:           7,
		`hearth_queue_dead_letters{function_name="oven.openfaas-fn",queue="oven:calls"}`:    3,
		`hearth_queue_oldest_seconds{function_name="oven.openfaas-fn",queue="oven:calls"}`:  1.5,
		`hearth_queue_paused{function_name="oven.openfaas-fn",queue="oven:calls"}`:          0,
		`hearth_usage_busy_seconds_total{function_name="oven.openfaas-fn"}`:                 4,
		`hearth_usage_gb_seconds_total{function_name="oven.openfaas-fn"}`:                   2,
		`hearth_usage_replica_gb_seconds_total{function_name="oven.openfaas-fn"}`:           45,
		`hearth_redis_up`: 1,
	}, scrape(t, m), "and nothing of a function that the router does not know any more")
}

func TestScrapeWithoutRedisAnswersWithTheRest(t *testing.T) {
	t.Parallel()
	for name, queues := range map[string]func(context.Context) ([]queue.Queue, error){
		"away":  func(context.Context) ([]queue.Queue, error) { return nil, errors.New("away") },
		"stuck": func(ctx context.Context) ([]queue.Queue, error) { <-ctx.Done(); return nil, ctx.Err() },
	} {
		m := metrics.New("v1")
		s := state(queues)
		s.Deadline = 5 * time.Millisecond
		m.Show(s)
		got := scrape(t, m)
		require.Contains(t, got, "hearth_redis_up", name)
		require.Zero(t, got["hearth_redis_up"], name)
		require.EqualValues(t, 3, got[`gateway_service_count{function_name="oven.openfaas-fn"}`], name)
		require.NotContains(t, got, `hearth_queue_depth{function_name="oven.openfaas-fn",queue="oven:calls"}`)
	}
}
