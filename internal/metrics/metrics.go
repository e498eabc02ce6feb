package metrics

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is what is counted, by function.
type Metrics struct {
	registry *prometheus.Registry

	invocations *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	coldSeconds *prometheus.HistogramVec
	attempts    *prometheus.HistogramVec
	callbacks   *prometheus.CounterVec
	queueWait   *prometheus.HistogramVec

	requests       *prometheus.CounterVec // of the management API
	requestSeconds *prometheus.HistogramVec

	mu        sync.RWMutex
	functions map[hearth.Name]*function
}

// callSeconds, coldSeconds, waitSeconds and attemptsMade are upper bounds. A function may
// answer from memory, or bake for minutes.
var (
	callSeconds  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}
	attemptsMade = []float64{1, 2, 3, 5, 10, 20}
	waitSeconds  = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
	coldSeconds  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

const (
	functionName = "function_name" // NAME.NAMESPACE, always
	maxScrapes   = 4               // at once: /metrics is public, and each asks Redis
)

// New makes the metrics of an instance that knows no functions yet.
func New(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help},
			append([]string{functionName}, labels...))
	}
	histogram := func(name, help string, bounds []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds},
			[]string{functionName})
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		functions: map[hearth.Name]*function{},

		invocations: counter("gateway_function_invocation_total",
			"Calls of a function that ended, by HTTP status; 499 if the caller left before the answer.",
			"code"),
		seconds: histogram("gateway_functions_seconds",
			"Time from a call's arrival to the end of its answer.", callSeconds),
		coldSeconds: histogram("hearth_cold_start_seconds",
			"Time from a held call's arrival until a replica took it. What that replica then still needs "+
				"to start is in gateway_functions_seconds.", coldSeconds),
	}
	m.attempts = histogram("hearth_delivery_attempts",
		"Attempts of a queued call or message until it succeeded or became a dead letter.", attemptsMade)
	m.callbacks = counter("hearth_callbacks_total",
		"Deliveries of callbacks, by outcome, as in hearth_deliveries_total.", "outcome")
	m.queueWait = histogram("hearth_queue_wait_seconds",
		"Time from queueing a call or message to taking it the first time.",
		waitSeconds)
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total",
		Help: "Requests of the management API, by path pattern."},
		[]string{"method", "path", "status"})
	m.requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_request_duration_seconds",
		Help:    "Time to answer a request of the management API.",
		Buckets: callSeconds,
	}, []string{"method", "path", "status"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "hearth_build_info",
		Help:        "Always 1; the label is the version that runs.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
		counters{m}, m.invocations, m.seconds, m.coldSeconds, m.attempts, m.callbacks, m.queueWait,
		m.requests, m.requestSeconds)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes})
}

// Recorder begins a function's series. It is router.Config's.
func (m *Metrics) Recorder(n hearth.Name) router.Recorder {
	f := &function{m: m, name: n, called: true}
	m.add(f)
	return f
}

// Deliveries begins the series of a function whose calls are another's to count, as of
// one behind a connector. ended ends them.
func (m *Metrics) Deliveries(n hearth.Name) (ended func()) {
	f := &function{m: m, name: n}
	m.add(f)
	return f.end
}

func (m *Metrics) add(f *function) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.functions[f.name] = f
}

// Delivered counts a delivery, unless its function was removed meanwhile. It is dispatch.Config's.
func (m *Metrics) Delivered(n hearth.Name, d dispatch.Delivered) {
	m.mu.RLock()
	f := m.functions[n]
	m.mu.RUnlock()
	if f != nil {
		f.count(d)
	}
}

// Served counts a request of the management API. It is gateway.Config's.
func (m *Metrics) Served(method, pattern string, status int, took time.Duration) {
	code := strconv.Itoa(status)
	m.requests.WithLabelValues(method, pattern, code).Inc()
	m.requestSeconds.WithLabelValues(method, pattern, code).Observe(took.Seconds())
}
