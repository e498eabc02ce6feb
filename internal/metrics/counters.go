package metrics

import (
	"maps"
	"slices"

	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	started = counter("gateway_function_invocation_started",
		"Calls of a function that started, from callers and from queues.")
	coldStarts = counter("hearth_cold_starts_total",
		"Calls that arrived when no replica took calls, and were held until one did.")
	coldFailed = counter("hearth_cold_start_failures_total",
		"Held calls that got no replica: none was ready in time, or none can start.")
	deliveries = counter("hearth_deliveries_total",
		"Deliveries of queued calls and messages, by outcome: done, busy (not an attempt, comes "+
			"again), retried, buried (a dead letter now).", "outcome")
	buried = counter("hearth_dead_letters_total",
		"Queued calls, messages and callbacks that became dead letters, by reason: attempts, not_retried, "+
			"undeliverable, lapsed, malformed, refused.", "reason")
)

// counters collects what each function counts from the start.
type counters struct{ m *Metrics }

func (counters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{started, coldStarts, coldFailed, deliveries, buried} {
		ch <- d
	}
}

func (c counters) Collect(ch chan<- prometheus.Metric) {
	show := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	c.m.mu.RLock()
	list := slices.Collect(maps.Values(c.m.functions))
	c.m.mu.RUnlock()
	for _, f := range list {
		label := f.name.String()
		if f.called {
			show(started, f.started.Load(), label)
			show(coldStarts, f.coldStarts.Load(), label)
			show(coldFailed, f.coldFailed.Load(), label)
		}
		for i := range outcomes {
			show(deliveries, f.delivered[i].Load(), label, outcomes[i])
		}
		for i, reason := range dispatch.Reasons {
			show(buried, f.dead[i].Load(), label, reason)
		}
	}
}
