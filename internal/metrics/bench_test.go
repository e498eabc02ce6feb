package metrics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/metrics"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// BenchmarkRecord is what one call is charged for being counted, beside what
// looking labels up for each call would cost.
func BenchmarkRecord(b *testing.B) {
	b.Run("resolved", func(b *testing.B) {
		r := metrics.New("v1").Recorder(oven)
		b.ReportAllocs()
		for b.Loop() {
			r.Started()
			r.Ended(http.StatusOK, time.Millisecond)
		}
	})
	b.Run("labels", func(b *testing.B) {
		started := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a"}, []string{"f"})
		total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "b"}, []string{"f", "code"})
		seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "c"}, []string{"f"})
		b.ReportAllocs()
		for b.Loop() {
			started.WithLabelValues(oven.String()).Inc()
			total.WithLabelValues(oven.String(), strconv.Itoa(http.StatusOK)).Inc()
			seconds.WithLabelValues(oven.String()).Observe(time.Millisecond.Seconds())
		}
	})
}

// BenchmarkRoundTrip is a call through the router to a replica that answers at once: counted and not, and
// with a limit on how many calls a replica has.
func BenchmarkRoundTrip(b *testing.B) {
	for name, tt := range map[string]struct {
		recorder func(hearth.Name) router.Recorder
		env      map[string]string
	}{
		"counted":   {metrics.New("v1").Recorder, nil},
		"uncounted": {},
		"limited":   {metrics.New("v1").Recorder, map[string]string{"max_inflight": "4"}},
	} {
		b.Run(name, func(b *testing.B) {
			replica := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			defer replica.Close()
			r := router.New(router.Config{Recorder: tt.recorder})
			f := function(oven, 1, nil)
			f.EnvVars = tt.env
			r.Set(hearthtest.Parse(f))
			r.Update(oven, []hearth.Replica{{ID: "one", Address: replica.URL, Accepting: true, Ready: true}})
			b.ReportAllocs()
			for b.Loop() {
				res, err := r.RoundTrip(oven, (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"},
					Header: http.Header{}}).WithContext(b.Context()))
				require.NoError(b, err)
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			r.Delete(oven)
		})
	}
}
