package router

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
)

// BenchmarkPlace is what the router itself does for a call, beside sending it: it finds a replica, and gives
// back the place. waited is with more callers than places, which are handed from one to the next.
func BenchmarkPlace(b *testing.B) {
	for name, tt := range map[string]struct {
		limit   string
		callers int
	}{"free": {"", 1}, "limited": {"4", 1}, "waited": {"4", 16}} {
		b.Run(name, func(b *testing.B) {
			r := New(Config{})
			f := hearth.Function{Replicas: 2}
			f.Service, f.Namespace, f.EnvVars = "oven", "openfaas-fn",
				map[string]string{"max_inflight": tt.limit}
			f = hearthtest.Parse(f)
			r.Set(f)
			var list []hearth.Replica
			for i := range 2 {
				list = append(list, hearth.Replica{
					ID:        fmt.Sprint(i),
					Address:   "http://127.0.0.1:1",
					Accepting: true,
					Ready:     true,
				})
			}
			r.Update(f.Name(), list)
			fn := r.route(f.Name())
			one := func() {
				now := time.Now()
				fn.mu.Lock()
				t, _, err := fn.acquire(b.Context(), Open{}, now, now.Add(time.Minute))
				if err != nil {
					b.Error(err)
					return
				}
				if tt.callers > 1 {
					runtime.Gosched() // to those who wait
				}
				fn.release(t, time.Now(), false)
			}
			b.ReportAllocs()
			if tt.callers == 1 {
				for b.Loop() {
					one()
				}
				return
			}
			b.SetParallelism(tt.callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
	}
}
