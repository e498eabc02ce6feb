package metrics

import (
	"cmp"
	"context"
	"time"

	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/prometheus/client_golang/prometheus"
)

// State is what is looked up at each scrape.
type State struct {
	// Functions are those that are deployed. Nil if they are another's, as a connector's are.
	Functions func() []hearth.Function
	// Load is what a function has to do. ok is false if there is no such function.
	Load func(hearth.Name) (l router.Load, ok bool)
	// Queues are all subscriptions. It asks Redis.
	Queues func(context.Context) ([]queue.Queue, error)
	// Used is what a function used since it was deployed, or this instance started. ok is false if there
	// is no such function. Nil if nobody meters.
	Used func(hearth.Name) (u meter.Usage, ok bool)
	// Schedules are the schedules of all functions. Nil if there is no scheduler.
	Schedules func() []cron.State

	// Deadline is for how long Redis is waited for. It must be shorter than what
	// Prometheus waits for a scrape. Defaults to 2 s.
	Deadline time.Duration
}

// Show adds the state to what a scrape is answered.
func (m *Metrics) Show(s State) {
	if s.Deadline == 0 {
		s.Deadline = 2 * time.Second
	}
	m.registry.MustRegister(stateCollector{s})
}

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func counter(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{functionName}, labels...), nil)
}

var (
	desired = gauge("gateway_service_count", "Desired replicas of a function.", functionName)
	ready   = gauge("gateway_service_ready_count", "Ready replicas of a function.", functionName)
	minimum = gauge("gateway_service_min",
		"Replicas that a function starts with, also after scaling up from zero.", functionName)
	target = gauge("gateway_service_target",
		"Load per replica that the autoscaler aims for, in the unit of the signal.",
		functionName)
	load = gauge("gateway_service_target_load",
		"Load per replica above which a function grows: its target times the proportion. Without "+
			"labels, the signal is work.", functionName, "scaling_type")
	inflight = gauge("gateway_function_invocation_inflight",
		"Calls of a function in flight, or held until it has a replica.", functionName)

	replicaSeconds = counter("hearth_replica_seconds_total",
		"Lifetime of the function's replicas on this instance, in seconds, summed over replicas.")
	restarts = counter("hearth_replica_restarts_total",
		"Replicas of the function that ended by themselves and were restarted by this instance.")

	busySeconds = counter("hearth_usage_busy_seconds_total",
		"Duration of the function's calls on this instance, in seconds, summed over calls.")
	gbSeconds = counter("hearth_usage_gb_seconds_total",
		"hearth_usage_busy_seconds_total times the function's memory limit, in GB.")
	replicaGB = counter("hearth_usage_replica_gb_seconds_total",
		"hearth_replica_seconds_total times the function's memory limit, in GB.")

	fired = counter("hearth_cron_fired_total",
		"Scheduled invocations of the function that this instance queued.")
	next = gauge("hearth_cron_next_timestamp_seconds",
		"Next tick of the function's schedule. A tick in the past could not be queued yet.", functionName)

	waiting = gauge("hearth_queue_depth",
		"Messages that were not taken yet; with several subscribers to a topic, an upper bound.",
		functionName, "queue")
	deadLetters = gauge("hearth_queue_dead_letters", "Dead letters of a queue.", functionName, "queue")
	oldest      = gauge("hearth_queue_oldest_seconds",
		"Age of the oldest message that was not taken yet.", functionName, "queue")
	paused = gauge("hearth_queue_paused",
		"1 while a queue is paused, else 0. A paused queue delivers nothing.", functionName, "queue")
	redisUp = gauge("hearth_redis_up", "Whether Redis reported the queues in time for this scrape.")
)

// stateCollector looks the state up.
type stateCollector struct{ s State }

func (stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{desired, ready, minimum, target, load, inflight, replicaSeconds,
		restarts, busySeconds, gbSeconds, replicaGB, fired, next, waiting, deadLetters, oldest, paused,
		redisUp} {
		ch <- d
	}
}

func (c stateCollector) Collect(ch chan<- prometheus.Metric) {
	show := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if c.s.Functions != nil {
		for _, f := range c.s.Functions() {
			c.function(f, ch, show)
		}
	}
	if c.s.Schedules != nil {
		for _, s := range c.s.Schedules() {
			ch <- prometheus.MustNewConstMetric(fired, prometheus.CounterValue,
				float64(s.Fired), s.Name.String())
			show(next, float64(s.Next.Unix()), s.Name.String())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.s.Deadline)
	defer cancel()
	queues, err := c.s.Queues(ctx)
	if err != nil {
		show(redisUp, 0)
		return
	}
	show(redisUp, 1)
	for _, q := range queues {
		if !q.Deployed && q.Depth == (redis.Depth{}) {
			continue // nothing is left to decide about
		}
		show(waiting, float64(q.Waiting), q.Function, q.Name)
		show(deadLetters, float64(q.Dead), q.Function, q.Name)
		show(oldest, q.Oldest, q.Function, q.Name)
		isPaused := 0.0
		if q.Paused {
			isPaused = 1
		}
		show(paused, isPaused, q.Function, q.Name)
	}
}

// function shows how one is, unless it is being removed.
func (c stateCollector) function(f hearth.Function, ch chan<- prometheus.Metric,
	show func(d *prometheus.Desc, value float64, labels ...string)) {
	name := f.Name().String()
	now, ok := c.s.Load(f.Name())
	if !ok {
		return
	}
	scaling := f.Scaling
	show(desired, float64(f.Replicas), name)
	show(ready, float64(now.Available), name)
	show(minimum, float64(f.MinReplicas), name)
	show(target, scaling.Target, name)
	show(load, scaling.Target*scaling.Proportion, name, cmp.Or(string(scaling.Signal), "work"))
	show(inflight, float64(now.InFlight+now.Held), name)
	sum := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, name)
	}
	sum(replicaSeconds, now.ReplicaTime.Seconds())
	sum(restarts, float64(now.Restarts))
	sum(busySeconds, now.BusyTime.Seconds())
	if c.s.Used == nil {
		return
	}
	if u, ok := c.s.Used(f.Name()); ok {
		sum(gbSeconds, meter.GBSeconds(u.BusyMemory))
		sum(replicaGB, meter.GBSeconds(u.ReplicaMemory))
	}
}
