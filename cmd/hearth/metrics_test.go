package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scrape returns the metrics, values by name and labels.
func (n *testNode) scrape() map[string]float64 {
	n.t.Helper()
	res, text := n.do(http.MethodGet, "/metrics", "")
	require.Equal(n.t, http.StatusOK, res.StatusCode, text)
	require.Contains(n.t, res.Header.Get("Content-Type"), "text/plain")
	series := map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cut := strings.LastIndex(line, " ")
		value, err := strconv.ParseFloat(strings.TrimSpace(line[cut:]), 64)
		require.NoError(n.t, err, line)
		series[line[:cut]] = value
	}
	return series
}

// about returns the series that mention a text, except those whose values are times:
// buckets and sums of histograms, and usage.
func about(series map[string]float64, what string) map[string]float64 {
	found := map[string]float64{}
	for name, value := range series {
		bare, labels, _ := strings.Cut(name, "{")
		if strings.Contains(labels, what) && !strings.HasSuffix(bare, "_bucket") &&
			!strings.HasSuffix(bare, "_sum") && bare != "hearth_replica_seconds_total" &&
			!strings.HasPrefix(bare, "hearth_usage_") {
			found[name] = value
		}
	}
	return found
}

// comesTo waits until the series about a function are these, written without the function's label.
func (n *testNode) comesTo(function string, want map[string]float64) {
	n.t.Helper()
	full := map[string]float64{}
	for name, value := range want {
		bare, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		var list []string
		for l := range strings.SplitSeq(labels, ",") {
			if l != "" {
				list = append(list, l)
			}
		}
		label := fmt.Sprintf("function_name=%q", function+".openfaas-fn")
		if len(list) > 0 && strings.HasPrefix(list[0], "code") { // labels are sorted
			list = append(list, label)
		} else {
			list = append([]string{label}, list...)
		}
		full[bare+"{"+strings.Join(list, ",")+"}"] = value
	}
	require.EventuallyWithT(n.t, func(t *assert.CollectT) {
		require.Equal(t, full, about(n.scrape(), `"`+function+`.openfaas-fn"`))
	}, 20*time.Second, 10*time.Millisecond)
}

func asleep(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" }

func TestMetricsCountEachCallOnce(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	n.deploy("cold", asleep)
	eventually(t, func() bool { return n.available("probe") == 1 })
	for range 2 {
		n.do(http.MethodPost, "/function/probe", "x")
	}
	n.do(http.MethodPost, "/function/probe?status=500", "x")
	n.do(http.MethodPost, "/function/nobody", "x")
	n.do(http.MethodPost, "/async-function/probe", "x")
	n.do(http.MethodPost, "/async-function/probe?status=500", "x") // two attempts, then a dead letter
	n.comesTo("probe", map[string]float64{
		`gateway_function_invocation_started`:               6,
		`gateway_function_invocation_total{code="200"}`:     3,
		`gateway_function_invocation_total{code="500"}`:     3,
		`gateway_functions_seconds_count`:                   6,
		`gateway_function_invocation_inflight`:              0,
		`gateway_service_count`:                             1,
		`gateway_service_ready_count`:                       1,
		`gateway_service_min`:                               1,
		`gateway_service_target`:                            32,
		`gateway_service_target_load{scaling_type="work"}`:  32,
		`hearth_cold_starts_total`:                          0,
		`hearth_deliveries_total{outcome="done"}`:           1,
		`hearth_deliveries_total{outcome="retried"}`:        1,
		`hearth_deliveries_total{outcome="buried"}`:         1,
		`hearth_deliveries_total{outcome="cancelled"}`:      0,
		`hearth_deliveries_total{outcome="busy"}`:           0,
		`hearth_queue_depth{queue="probe:calls"}`:           0,
		`hearth_queue_dead_letters{queue="probe:calls"}`:    1,
		`hearth_queue_oldest_seconds{queue="probe:calls"}`:  0,
		`hearth_queue_paused{queue="probe:calls"}`:          0,
		`hearth_replica_restarts_total`:                     0,
		`hearth_cold_start_failures_total`:                  0,
		`hearth_dead_letters_total{reason="not_retried"}`:   0,
		`hearth_dead_letters_total{reason="undeliverable"}`: 0,
		`hearth_dead_letters_total{reason="lapsed"}`:        0,
		`hearth_dead_letters_total{reason="malformed"}`:     0,
		`hearth_dead_letters_total{reason="refused"}`:       0,
		`hearth_dead_letters_total{reason="attempts"}`:      1,
		`hearth_delivery_attempts_count`:                    2,
		`hearth_queue_wait_seconds_count`:                   2,
	})

	cold := map[string]float64{
		`gateway_function_invocation_started`:               0,
		`gateway_function_invocation_inflight`:              0,
		`gateway_service_count`:                             0,
		`gateway_service_ready_count`:                       0,
		`gateway_service_min`:                               0,
		`gateway_service_target`:                            32,
		`gateway_service_target_load{scaling_type="work"}`:  32,
		`hearth_cold_starts_total`:                          0,
		`hearth_deliveries_total{outcome="done"}`:           0,
		`hearth_deliveries_total{outcome="retried"}`:        0,
		`hearth_deliveries_total{outcome="buried"}`:         0,
		`hearth_deliveries_total{outcome="cancelled"}`:      0,
		`hearth_deliveries_total{outcome="busy"}`:           0,
		`hearth_queue_depth{queue="cold:calls"}`:            0,
		`hearth_queue_dead_letters{queue="cold:calls"}`:     0,
		`hearth_queue_oldest_seconds{queue="cold:calls"}`:   0,
		`hearth_queue_paused{queue="cold:calls"}`:           0,
		`hearth_replica_restarts_total`:                     0,
		`hearth_cold_start_failures_total`:                  0,
		`hearth_dead_letters_total{reason="not_retried"}`:   0,
		`hearth_dead_letters_total{reason="undeliverable"}`: 0,
		`hearth_dead_letters_total{reason="lapsed"}`:        0,
		`hearth_dead_letters_total{reason="malformed"}`:     0,
		`hearth_dead_letters_total{reason="refused"}`:       0,
		`hearth_dead_letters_total{reason="attempts"}`:      0,
	}
	n.comesTo("cold", cold)
	n.wake(t, "cold")
	cold[`gateway_function_invocation_started`] = 1
	cold[`gateway_function_invocation_total{code="200"}`] = 1
	cold[`gateway_functions_seconds_count`] = 1
	cold[`gateway_service_count`] = 1
	cold[`gateway_service_ready_count`] = 1
	cold[`hearth_cold_starts_total`] = 1
	cold[`hearth_cold_start_seconds_count`] = 1
	n.comesTo("cold", cold)

	eventually(t, func() bool {
		return n.scrape()[`hearth_usage_gb_seconds_total{function_name="probe.openfaas-fn"}`] > 0
	})
	all := n.scrape()
	for _, used := range []string{"busy_seconds", "gb_seconds", "replica_gb_seconds"} {
		require.Positive(t, all[`hearth_usage_`+used+`_total{function_name="probe.openfaas-fn"}`], used)
	}
	require.Positive(t, all[`http_requests_total{method="POST",path="/system/functions",status="202"}`])
	require.Empty(t, about(all, "nobody"), "a name that anybody may call makes no series")
	require.EqualValues(t, 1, all["hearth_redis_up"])
	require.EqualValues(t, 1, all[fmt.Sprintf("hearth_build_info{version=%q}", versionText())])
	require.Contains(t, all, "go_goroutines")
}

func TestMetricsCountCallsInFlightAndDisconnects(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	c, err := net.Dial("tcp", n.cfg.Listener.Addr().String())
	require.NoError(t, err)
	_, err = io.WriteString(c, "GET /function/probe?sleep=10s HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	const inflight = `gateway_function_invocation_inflight{function_name="probe.openfaas-fn"}`
	eventually(t, func() bool { return n.scrape()[inflight] == 1 })
	require.NoError(t, c.Close())
	eventually(t, func() bool {
		s := n.scrape()
		return s[inflight] == 0 &&
			s[`gateway_function_invocation_total{code="499",function_name="probe.openfaas-fn"}`] == 1
	})
}

func TestMetricsOfARemovedFunctionEndButItsQueuesRemain(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("tidy")
	n.deploy("messy")
	for _, path := range []string{"/function/tidy", "/function/messy"} {
		res, text := n.do(http.MethodPost, path, "")
		require.Equal(t, http.StatusOK, res.StatusCode, text)
	}
	n.do(http.MethodPost, "/async-function/messy?status=500", "")
	const letters = `hearth_queue_dead_letters{function_name="messy.openfaas-fn",queue="messy:calls"}`
	eventually(t, func() bool { return n.scrape()[letters] == 1 })
	require.NotEmpty(t, about(n.scrape(), `"tidy.`))
	require.NoError(t, n.client.DeleteFunction(t.Context(), "tidy", ""))
	require.NoError(t, n.client.DeleteFunction(t.Context(), "messy", ""))
	s := n.scrape()
	for name := range s {
		require.NotContains(t, name, "tidy")
	}
	require.Equal(t, map[string]float64{
		letters: 1,
		`hearth_queue_depth{function_name="messy.openfaas-fn",queue="messy:calls"}`:          0,
		`hearth_queue_oldest_seconds{function_name="messy.openfaas-fn",queue="messy:calls"}`: 0,
		`hearth_queue_paused{function_name="messy.openfaas-fn",queue="messy:calls"}`:         0,
	}, about(s, "messy"))
	n.system(http.MethodPost, "/system/dead-letters/purge",
		map[string]any{"all": true, "function": "messy"}, nil)
	require.Empty(t, about(n.scrape(), "messy"))

	n.deploy("tidy")
	require.Zero(t, n.scrape()[`gateway_function_invocation_started{function_name="tidy.openfaas-fn"}`],
		"it begins anew")
}

// freezer is a proxy in front of Redis that can stop forwarding, like a machine that hangs.
type freezer struct {
	net.Listener
	gate sync.RWMutex
}

func newFreezer(t *testing.T, redis string) *freezer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &freezer{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	carry := func(to, from net.Conn) {
		defer func() { _, _ = to.Close(), from.Close() }()
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			f.gate.RLock()
			_, err = to.Write(buffer[:n])
			f.gate.RUnlock()
			if err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", redis)
			if err != nil {
				_ = client.Close()
				continue
			}
			go carry(server, client)
			go carry(client, server)
		}
	}()
	return f
}

func TestMetricsWorkWhileRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	f := newFreezer(t, server.Addr())
	raw := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = raw.Close() })
	n := startTestNode(t, raw, t.TempDir(), func(c *nodeConfig) {
		c.RedisURL = "redis://" +
			f.Addr().String()
	})
	n.deploy("probe")
	eventually(t, func() bool { return n.available("probe") == 1 })
	whole := len(about(n.scrape(), "probe"))

	rest := func(calls float64) {
		res, text := n.do(http.MethodPost, "/function/probe", "x")
		require.Equal(t, http.StatusOK, res.StatusCode, text)
		s := n.scrape()
		require.Contains(t, s, "hearth_redis_up")
		require.Zero(t, s["hearth_redis_up"])
		require.EqualValues(t, 1, s[`gateway_service_ready_count{function_name="probe.openfaas-fn"}`])
		require.EqualValues(t, calls,
			s[`gateway_function_invocation_started{function_name="probe.openfaas-fn"}`])
		require.NotContains(t, s, `hearth_queue_depth{function_name="probe.openfaas-fn",queue="probe:calls"}`)
	}
	back := func() {
		eventually(t, func() bool {
			s := n.scrape()
			return s["hearth_redis_up"] == 1 &&
				len(about(s, "probe")) >= whole
		})
	}
	f.gate.Lock()
	rest(1)
	f.gate.Unlock()
	back()
	server.Close()
	rest(2)
	require.NoError(t, server.Restart())
	back()
}
