package hearth_test

import (
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

// BenchmarkParse is what a deployment costs once.
func BenchmarkParse(b *testing.B) {
	d := deployment(nil, []string{
		"com.openfaas.retry.codes=500,502,503", "com.openfaas.retry.attempts=5",
		"com.hearth.queue.length=1000",
		"com.hearth.max-age=1h", "com.hearth.warm=2 from 30 6 * * 1-6 for 4h",
	}, []string{"exec_timeout=1m"})
	b.ReportAllocs()
	for b.Loop() {
		_, err := hearth.Parse(d)
		require.NoError(b, err)
	}
}

// BenchmarkDelivery is what a delivery pays for its function's settings.
func BenchmarkDelivery(b *testing.B) {
	f := parse(b, nil, []string{"com.openfaas.retry.codes=500,502,503", "com.hearth.queue.length=1000"}, nil)
	b.ReportAllocs()
	for b.Loop() {
		policy, again, timeout, limit := f.Retry, f.Retry, f.Timeout, f.Queue.Or(hearth.DefaultQueueLimit)
		_, _, _, _ = policy, again, timeout, limit
	}
}

// BenchmarkTick is what a tick of the autoscaler pays for a function with a warm time.
func BenchmarkTick(b *testing.B) {
	f := parse(b, nil, []string{"com.hearth.warm=2 from 30 6 * * 1-6 for 4h"}, nil)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = f.Warm.Replicas(now), f.Concurrency
	}
}
