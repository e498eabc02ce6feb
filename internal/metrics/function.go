package metrics

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/prometheus/client_golang/prometheus"
)

// function is one function's series, found once: a call then costs no look-up of
// labels. It is a router.Recorder.
type function struct {
	m      *Metrics
	name   hearth.Name
	called bool // its calls are counted, and not only its deliveries

	// Counters that each function has from the start, so that increase() sees the first event. A client's
	// counter would cost a function at zero half a KB; see counters.
	started    atomic.Uint64
	coldStarts atomic.Uint64
	coldFailed atomic.Uint64
	delivered  [len(outcomes)]atomic.Uint64         // in the order of outcomes
	dead       [len(dispatch.Reasons)]atomic.Uint64 // in the order of dispatch.Reasons

	mu      sync.RWMutex
	removed bool                       // then calls that still end must not bring a series back
	codes   map[int]prometheus.Counter // those that there were
	// this and the next from the first call: a function asleep has no use for 40 buckets
	seconds     prometheus.Observer
	coldSeconds prometheus.Observer
	attempts    prometheus.Observer
	queueWait   prometheus.Observer
}

// outcomes are those of deliveries that are counted.
var outcomes = [...]string{
	dispatch.Done,
	dispatch.Busy,
	dispatch.Retried,
	dispatch.Buried,
	dispatch.Cancelled,
}

func (f *function) Started() { f.started.Add(1) }

func (f *function) Held() { f.coldStarts.Add(1) }

func (f *function) Denied() { f.coldFailed.Add(1) }

// count counts a delivery.
func (f *function) count(d dispatch.Delivered) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.removed {
		return
	}
	if d.Outcome == dispatch.Buried {
		f.dead[slices.Index(dispatch.Reasons[:], d.Reason)].Add(1)
	}
	if d.Callback {
		// Counted from the first callback on: most functions have none.
		f.m.callbacks.WithLabelValues(f.name.String(), d.Outcome).Inc()
		return
	}
	f.delivered[slices.Index(outcomes[:], d.Outcome)].Add(1)
	if d.Attempt == 1 && d.Outcome != dispatch.Busy {
		if f.queueWait == nil {
			f.queueWait = f.m.queueWait.WithLabelValues(f.name.String())
		}
		f.queueWait.Observe(d.Waited.Seconds())
	}
	if d.Outcome != dispatch.Done && d.Outcome != dispatch.Buried {
		return
	}
	if f.attempts == nil {
		f.attempts = f.m.attempts.WithLabelValues(f.name.String())
	}
	f.attempts.Observe(float64(d.Attempt))
}

func (f *function) Given(waited time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.removed {
		return
	}
	if f.coldSeconds == nil {
		f.coldSeconds = f.m.coldSeconds.WithLabelValues(f.name.String())
	}
	f.coldSeconds.Observe(waited.Seconds())
}

func (f *function) Ended(status int, took time.Duration) {
	f.mu.RLock()
	count, seconds := f.codes[status], f.seconds
	f.mu.RUnlock()
	if count == nil {
		if count, seconds = f.first(status); count == nil {
			return
		}
	}
	count.Inc()
	seconds.Observe(took.Seconds())
}

// first makes what a status needs that was not seen before: nothing, if the function was removed.
func (f *function) first(status int) (count prometheus.Counter, seconds prometheus.Observer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.removed {
		return nil, nil
	}
	if f.seconds == nil {
		f.seconds = f.m.seconds.WithLabelValues(f.name.String())
	}
	if f.codes == nil {
		f.codes = map[int]prometheus.Counter{}
	}
	f.codes[status] = f.m.invocations.WithLabelValues(f.name.String(), strconv.Itoa(status))
	return f.codes[status], f.seconds
}

func (f *function) Drained(router.Load) {}

func (f *function) Removed(func() router.Load) { f.end() }

// end ends its series.
func (f *function) end() {
	f.m.mu.Lock()
	delete(f.m.functions, f.name)
	f.m.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = true
	gone := prometheus.Labels{functionName: f.name.String()}
	for _, vec := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{f.m.invocations, f.m.seconds, f.m.coldSeconds, f.m.attempts, f.m.callbacks, f.m.queueWait} {
		vec.DeletePartialMatch(gone)
	}
}
