package meter

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	signing "github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The thread that forks children never ends: see package child.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hearthfaas/hearth/internal/child.fork"))
}

var (
	oven  = hearth.Name{Function: "oven", Namespace: "openfaas-fn"}
	baker = hearth.Name{Function: "baker", Namespace: "night"}
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

// A rig is a meter whose clock and whose router are the test's.
type rig struct {
	*Meter
	t   *testing.T
	raw goredis.UniversalClient

	mu        sync.Mutex
	now       time.Time
	loads     map[hearth.Name]*router.Load
	specs     map[hearth.Name]hearth.Function
	recorders map[hearth.Name]router.Recorder
}

func newRig(t *testing.T, raw goredis.UniversalClient, instance string) *rig {
	t.Helper()
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	queue.UseRecords(redis.Records{Key: signing.NewKey([]byte("the tests' secret"))})
	t.Cleanup(func() { _ = queue.Close() })
	r := &rig{
		t:         t,
		raw:       raw,
		now:       noon,
		loads:     map[hearth.Name]*router.Load{},
		specs:     map[hearth.Name]hearth.Function{},
		recorders: map[hearth.Name]router.Recorder{},
	}
	r.Meter, err = New(Config{
		Queue:    queue,
		Log:      slog.New(slog.DiscardHandler),
		Instance: instance,
		Prices:   LambdaPrices(),
		Load: func(n hearth.Name) (router.Load, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if l := r.loads[n]; l != nil {
				return *l, true
			}
			return router.Load{}, false
		},
		Function: func(n hearth.Name) (hearth.Function, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			f, ok := r.specs[n]
			return f, ok
		},
		Now: func() time.Time {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.now
		},
	})
	require.NoError(t, err)
	return r
}

// deploy deploys a function, or changes its limit of memory.
func (r *rig) deploy(n hearth.Name, memory string) {
	if r.recorders[n] == nil {
		r.recorders[n] = r.Recorder(n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loads[n] == nil {
		r.loads[n] = &router.Load{}
	}
	f := hearth.Function{Revision: memory, FunctionDeployment: types.FunctionDeployment{Service: n.Function,
		Namespace: n.Namespace}}
	if memory != "" {
		f.Limits = &types.FunctionResources{Memory: memory}
	}
	r.specs[n] = hearthtest.Parse(f)
}

// remove does so as the registry and the router do. What is removed is a load
// that a test may add to, until ended.
func (r *rig) remove(n hearth.Name) (load *router.Load, ended func()) {
	r.mu.Lock()
	load = r.loads[n]
	delete(r.loads, n)
	r.mu.Unlock()
	now := func() router.Load {
		r.mu.Lock()
		defer r.mu.Unlock()
		return *load
	}
	recorder := r.recorders[n]
	delete(r.recorders, n)
	recorder.Removed(now)
	return load, func() { recorder.Drained(now()) }
}

// work lets a function have calls, busy and alive for so long.
func (r *rig) work(n hearth.Name, calls uint64, busy, replica time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.loads[n]
	l.Calls, l.BusyTime, l.ReplicaTime = l.Calls+calls, l.BusyTime+busy, l.ReplicaTime+replica
}

func (r *rig) at(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
}

// saves looks, writes, and tells whether all was taken.
func (r *rig) saves() bool {
	r.look()
	r.save(r.t.Context())
	return !r.books.away
}

func (r *rig) report(q Query) Report {
	r.t.Helper()
	report, err := r.Report(r.t.Context(), q)
	require.NoError(r.t, err)
	return report
}

// kept is what Redis has of a day, over all instances.
func (r *rig) kept(day time.Time) map[string]Usage {
	r.t.Helper()
	list, err := r.cfg.Queue.Usage(context.Background(), day)
	require.NoError(r.t, err)
	found := map[string]Usage{}
	for _, u := range list {
		hours, err := decode(u.Value)
		require.NoError(r.t, err)
		sum := found[u.Function]
		for _, h := range hours {
			if h != nil {
				sum.Add(*h)
			}
		}
		found[u.Function] = sum
	}
	return found
}

// everywhere runs a test on each kind of Redis.
func everywhere(t *testing.T, test func(t *testing.T, raw goredis.UniversalClient)) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, chaintest.Redis(t)) })
	t.Run("cluster", func(t *testing.T) { t.Parallel(); test(t, chaintest.Cluster(t)) })
}
