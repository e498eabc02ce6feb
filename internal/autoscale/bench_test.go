package autoscale

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// fleet is an autoscaler of 10,000 functions in front of the real router, of which so many are awake.
func fleet(b *testing.B, awake int) *Autoscaler {
	b.Helper()
	r := router.New(router.Config{})
	a, err := New(Config{
		Load:    r.Load,
		Log:     slog.New(slog.DiscardHandler),
		Backlog: func(hearth.Name) []wire.Subscription { return nil },
		Waiting: func(context.Context, []wire.Subscription) ([]int, error) { return nil, nil },
		Scale:   func(context.Context, hearth.Name, uint64, int) error { return nil },
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = a.Stop(context.Background()) })
	for i := range 10_000 {
		f := hearthtest.Parse(hearth.Function{
			Revision: "1",
			FunctionDeployment: types.FunctionDeployment{
				Service:   fmt.Sprintf("function-%d", i),
				Namespace: hearth.DefaultNamespace,
				Labels:    &map[string]string{"com.openfaas.scale.zero": "true"},
			},
		})
		if i < awake {
			f.Replicas = 1
		}
		r.Set(f)
		if f.Replicas > 0 {
			r.Update(f.Name(), []hearth.Replica{{ID: "1", Address: "127.0.0.1:1", Ready: true,
				Accepting: true}})
		}
		a.Set(f, 0)
	}
	return a
}

// BenchmarkTick is one look at all functions and their decisions, with whole
// windows. There are four a second.
func BenchmarkTick(b *testing.B) {
	for _, awake := range []int{0, 1000, 10_000} {
		b.Run(fmt.Sprintf("awake=%d", awake), func(b *testing.B) {
			a := fleet(b, awake)
			now := time.Now()
			memory := func() (m runtime.MemStats) {
				runtime.GC()
				runtime.ReadMemStats(&m)
				return m
			}
			before := memory()
			for range 4 * 31 {
				now = now.Add(a.cfg.Tick)
				a.Tick(b.Context(), now)
			}
			after := memory()
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(a.cfg.Tick)
				a.Tick(b.Context(), now)
			}
			if awake > 0 {
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(awake), "window-B/function")
			}
		})
	}
}
