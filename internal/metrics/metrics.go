package metrics

import (
	"net/http"
	"sync"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is what is counted, by function.
type Metrics struct {
	registry *prometheus.Registry

	started     *prometheus.CounterVec
	invocations *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	deliveries  *prometheus.CounterVec
	coldStarts  *prometheus.CounterVec
	coldSeconds *prometheus.HistogramVec

	mu        sync.RWMutex
	functions map[hearth.Name]*function
}

// callSeconds and coldSeconds are upper bounds. A function may answer from memory, or bake for minutes.
var (
	callSeconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}
	coldSeconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

const (
	functionName = "function_name" // NAME.NAMESPACE, always
	maxScrapes   = 4               // at once: /metrics is public, and each asks Redis
)

// New makes the metrics of a hearth that knows no functions yet.
func New(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{functionName}, labels...))
	}
	histogram := func(name, help string, bounds []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds}, []string{functionName})
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		functions: map[hearth.Name]*function{},

		started:     counter("gateway_function_invocation_started", "Calls of a function that came, by callers and from queues."),
		invocations: counter("gateway_function_invocation_total", "Calls of a function that ended, by HTTP status; 499 if the caller left before the answer.", "code"),
		seconds:     histogram("gateway_functions_seconds", "Time from a call's arrival to the end of its answer.", callSeconds),
		deliveries: counter("hearth_deliveries_total",
			"Deliveries of queued calls and messages, by outcome: done, busy (not an attempt, comes again), retried, buried (a dead letter now).", "outcome"),
		coldStarts: counter("hearth_cold_starts_total", "Calls that came when no replica took calls, and were held until one did."),
		coldSeconds: histogram("hearth_cold_start_seconds",
			"Time from a held call's arrival until a replica took it. What that replica then still needs to start is in gateway_functions_seconds.", coldSeconds),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "hearth_build_info", Help: "1, of the version that runs.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
		m.started, m.invocations, m.seconds, m.deliveries, m.coldStarts, m.coldSeconds)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes})
}

// Recorder begins a function's series. It is router.Config's.
func (m *Metrics) Recorder(n hearth.Name) router.Recorder {
	f := newFunction(m, n)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.functions[n] = f
	return f
}

// Delivered counts a delivery, unless its function was removed meanwhile. It is dispatch.Config's.
func (m *Metrics) Delivered(n hearth.Name, came string) {
	m.mu.RLock()
	f := m.functions[n]
	m.mu.RUnlock()
	if f != nil {
		f.delivered[came].Inc()
	}
}
