package registry_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/autoscale"
	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/registry"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// The functions of the tests.
var (
	oven  = hearth.Name{Function: "oven", Namespace: hearth.DefaultNamespace}
	baker = hearth.Name{Function: "baker", Namespace: hearth.DefaultNamespace}
	names = []hearth.Name{oven, baker}
)

var limit = hearth.QueueLimit{Length: 1000, Bytes: 1 << 20}

// world is one Redis, the instances that share it, and the server that all replicas are.
type world struct {
	t      *testing.T
	raw    *goredis.Client
	queue  *redis.Client // of the test itself
	site   *httptest.Server
	states string // directory of the instances' memories

	mu        sync.Mutex
	came      map[string]int // calls by body, and callbacks by call id
	accepted  map[string]hearth.Name
	delayed   []hearth.Name // each has a call whose time does not come in a test
	callbacks []string      // that must come
	instances []*instance
	numbered  int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t:        t,
		raw:      chaintest.Redis(t),
		states:   t.TempDir(),
		came:     map[string]int{},
		accepted: map[string]hearth.Name{},
	}
	w.site = httptest.NewServer(http.HandlerFunc(w.call))
	w.queue = w.open("the test", chaintest.URL(w.raw))
	t.Cleanup(func() {
		for _, i := range w.instances {
			i.end()
		}
		_ = w.queue.Close()
		w.site.CloseClientConnections()
		w.site.Close()
	})
	return w
}

// open makes a client that signs records as an instance does.
func (w *world) open(name, url string) *redis.Client {
	w.t.Helper()
	c, err := redis.Open(context.Background(), url)
	require.NoError(w.t, err)
	memory, err := record.OpenMemory(filepath.Join(w.states, name+".json"))
	require.NoError(w.t, err)
	c.UseRecords(redis.Records{Key: record.NewKey([]byte("the tests' secret")), Memory: memory})
	return c
}

// call is a replica's handler, and the listener for callbacks.
func (w *world) call(res http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.URL.Path == "/callback" {
		w.came["callback of "+r.Header.Get("X-Call-Id")]++
	} else {
		w.came[string(body)]++
	}
}

func (w *world) has(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came[what] > 0
}

// id names a call or a message.
func (w *world) id(kind string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.numbered++
	return fmt.Sprint(kind, " ", w.numbered)
}

// enqueue accepts a call of a function, which changes may make another one.
func (w *world) enqueue(n hearth.Name, changes ...func(*wire.Entry)) (id string) {
	w.t.Helper()
	id = w.id("call")
	e := wire.Entry{Body: []byte(id), CallID: id}
	for _, c := range changes {
		c(&e)
	}
	_, err := w.queue.Enqueue(w.t.Context(), n, redis.Call{Entry: e}, limit)
	require.NoError(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.DeliverAt.IsZero() {
		w.accepted[id] = n
	} else {
		w.delayed = append(w.delayed, n)
	}
	if e.Callback != "" {
		w.callbacks = append(w.callbacks, "callback of "+id)
	}
	return id
}

// later is a call's time that does not come in a test.
func later(e *wire.Entry) { e.DeliverAt = time.Now().Add(time.Hour) }

// withCallback lets a call have its answer told.
func (w *world) withCallback(e *wire.Entry) { e.Callback = w.site.URL + "/callback" }

// instance is one instance, as far as the registry is concerned.
type instance struct {
	*registry.Registry
	w        *world
	name     string
	steps    *steps
	wires    [2]*chaintest.Wire // of the registry, whose commands are steps, and of the dispatcher
	queues   [2]*redis.Client
	provider *provider
	router   *router.Router
	dispatch *dispatch.Dispatcher
	cron     *cron.Scheduler
	scaler   *autoscale.Autoscaler
	ended    sync.Once

	mu    sync.Mutex
	asked map[hearth.Name]bool // by the autoscaler
}

// start starts an instance, whose trouble comes at a point.
func (w *world) start(name string, what trouble, at point) (*instance, error) {
	w.t.Helper()
	i := &instance{w: w, name: name, steps: &steps{}, asked: map[hearth.Name]bool{}}
	i.wires = [2]*chaintest.Wire{chaintest.NewWire(w.t, w.raw, i.steps.take), chaintest.NewWire(w.t, w.raw, nil)}
	i.steps.begin = func() { i.wires[0].Cut(); i.wires[1].Cut() }
	for n, wire := range i.wires {
		i.queues[n] = w.open(fmt.Sprint(name, n), wire.URL())
	}
	w.instances = append(w.instances, i)
	log := slog.New(slog.DiscardHandler)
	var allow egress.AllowList
	require.NoError(w.t, allow.Set("127.0.0.1"))
	i.provider = newProvider(i.steps, w.site.URL)
	i.router = router.New(router.Config{
		Hold: 5 * time.Second,
		Wake: func(n hearth.Name) { i.Wake(n) },
	})
	var err error
	i.dispatch, err = dispatch.New(dispatch.Config{
		Queue:     i.queues[1],
		Log:       log,
		Instance:  name,
		Callbacks: egress.NewClient(egress.Config{Allow: allow}),
		EnsureCallbacks: func(ctx context.Context, n hearth.Name, again bool) error {
			return i.EnsureCallbacks(ctx, n, again)
		},
	}, i.router)
	require.NoError(w.t, err)
	i.cron, err = cron.New(cron.Config{Queue: i.queues[0], Log: log, Notify: i.dispatch.Notify})
	require.NoError(w.t, err)
	i.scaler, err = autoscale.New(autoscale.Config{
		Load:    i.load,
		Backlog: i.dispatch.Backlog,
		Waiting: w.queue.Waiting,
		Scale:   func(context.Context, hearth.Name, uint64, int) error { return nil },
		Log:     log,
	})
	require.NoError(w.t, err)
	i.Registry = registry.New(registry.Config{
		Queue:       i.queues[0],
		Log:         log,
		Instance:    name,
		SyncSecrets: func(context.Context) error { return nil },
	})
	i.Connect(registry.Parts{
		Router:    i.router,
		Provider:  i.provider,
		Dispatch:  i.dispatch,
		Cron:      i.cron,
		Autoscale: i.scaler,
	})
	require.NoError(w.t, i.dispatch.Start(context.Background()))
	i.steps.arm(what, at)
	return i, i.Start(w.t.Context())
}

// calm starts an instance that has no trouble.
func (w *world) calm(name string) *instance {
	w.t.Helper()
	i, err := w.start(name, none, point{})
	require.NoError(w.t, err)
	return i
}

// mend ends an outage.
func (i *instance) mend() {
	for _, wire := range i.wires {
		wire.Mend()
	}
}

func (i *instance) load(n hearth.Name) (router.Load, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked[n] = true
	return i.router.Load(n)
}

// end stops an instance as a kill does, as far as others can see.
func (i *instance) end() {
	i.ended.Do(func() {
		i.steps.stop()
		over, cancel := context.WithCancel(context.Background())
		cancel()
		i.Stop(over)
		i.provider.work.Wait()
		_ = i.dispatch.Stop(over)
		_ = i.cron.Stop(context.Background())
		_ = i.scaler.Stop(context.Background())
		i.router.Delete(oven)
		i.router.Delete(baker)
		for n := range i.wires {
			_ = i.queues[n].Close()
			i.wires[n].Close()
		}
	})
}

// deploy deploys a function, which changes may make another one.
func (i *instance) deploy(n hearth.Name, changes ...func(*types.FunctionDeployment)) error {
	return i.apply(n, false, changes)
}

func (i *instance) update(n hearth.Name, changes ...func(*types.FunctionDeployment)) error {
	return i.apply(n, true, changes)
}

func (i *instance) apply(n hearth.Name, update bool, changes []func(*types.FunctionDeployment)) error {
	d := types.FunctionDeployment{
		Service:   n.Function,
		Namespace: n.Namespace,
		Image:     "v1",
		Labels:    &map[string]string{},
		Annotations: &map[string]string{
			"com.openfaas.retry.min_wait": "5ms",
			"com.openfaas.retry.max_wait": "20ms",
		},
	}
	for _, c := range changes {
		c(&d)
	}
	f, err := hearth.Parse(d)
	if err != nil {
		return err
	}
	return i.Deploy(context.Background(), f, update)
}

func image(name string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { d.Image = name }
}

func topic(names string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { (*d.Annotations)["topic"] = names }
}

func schedule(text string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) {
		(*d.Annotations)["topic"], (*d.Annotations)["schedule"] = "cron-function", text
	}
}

func least(replicas string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = replicas }
}

// agrees tells in which way an instance is not what Redis says; "" if it is in no way.
func (i *instance) agrees() string {
	ctx := context.Background()
	v, err := i.w.queue.Look(ctx)
	if err != nil {
		return err.Error()
	}
	removed, err := i.w.queue.Removed(ctx)
	if err != nil {
		return err.Error()
	}
	var wanted []wire.Subscription
	for _, n := range names {
		f, deployed := v.Functions[n]
		if !deployed {
			if why := i.forgot(n, removed); why != "" {
				return why
			}
			continue
		}
		if why := i.runs(n, f); why != "" {
			return why
		}
		wanted = append(wanted, subscriptionsOf(f)...)
	}
	for _, f := range i.All() {
		if _, ok := v.Functions[f.Name()]; !ok {
			return fmt.Sprintf("%s is deployed here, and not in Redis", f.Name())
		}
	}
	return i.w.subscribed(v, wanted)
}

func subscriptionsOf(f hearth.Function) []wire.Subscription {
	subs := []wire.Subscription{redis.CallsOf(f.Name())}
	for _, t := range f.Topics {
		subs = append(subs, redis.TopicOf(f.Name(), t))
	}
	return subs
}

// runs tells in which way a function is not here what its spec in Redis says.
func (i *instance) runs(n hearth.Name, f hearth.Function) string {
	got, ok := i.Function(n)
	switch {
	case !ok:
		return fmt.Sprintf("%s is in Redis, and not here", n)
	case got.Revision != f.Revision || !got.DeployedAt.Equal(f.DeployedAt):
		return fmt.Sprintf("%s is %s of %v here, and %s of %v in Redis",
			n, got.Image, got.DeployedAt, f.Image, f.DeployedAt)
	}
	run, ok := i.provider.running(n)
	switch {
	case f.Image == missing && (ok || got.Replicas > 0):
		return fmt.Sprintf("%s cannot run, and does", n)
	case f.Image != missing && !ok:
		return fmt.Sprintf("%s is not run", n)
	case f.Image != missing && (run.Revision != f.Revision || run.Replicas != got.Replicas):
		return fmt.Sprintf("%s runs as %d replicas of %s, want %d of %s",
			n, run.Replicas, run.Image, got.Replicas, f.Image)
	}
	if l, ok := i.router.Load(n); !ok || l.Known != got.Replicas {
		return fmt.Sprintf("the router has %d replicas of %s, want %d", l.Known, n, got.Replicas)
	}
	if scaled := i.scaled(n); scaled != (got.Replicas > 0) {
		return fmt.Sprintf("the autoscaler looks after %s: %v, with %d replicas", n, scaled, got.Replicas)
	}
	return i.scheduled(n, f.Schedule.String())
}

// scaled tells whether the autoscaler looks after a function.
func (i *instance) scaled(n hearth.Name) bool {
	i.mu.Lock()
	clear(i.asked)
	i.mu.Unlock()
	i.scaler.Tick(context.Background(), time.Now())
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[n]
}

// scheduled tells in which way a function's schedule is not what it should be; "" is none.
func (i *instance) scheduled(n hearth.Name, want string) string {
	here := slices.ContainsFunc(i.cron.States(), func(s cron.State) bool { return s.Name == n })
	text, err := i.w.raw.Get(context.Background(), "{fn:"+n.String()+"}:cron").Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return err.Error()
	}
	var cursor redis.Cursor
	_ = json.Unmarshal([]byte(text), &cursor)
	kept := cursor.Schedule
	switch {
	case here != (want != ""):
		return fmt.Sprintf("%s is scheduled here: %v, want %q", n, here, want)
	case kept != want:
		return fmt.Sprintf("the schedule of %s in Redis is %q, want %q", n, kept, want)
	}
	return ""
}

// forgot tells what is left of a function that is not deployed, besides what it was accepted for.
func (i *instance) forgot(n hearth.Name, removed map[hearth.Name][]wire.Subscription) string {
	if _, ok := i.Function(n); ok {
		return fmt.Sprintf("%s is deployed here, and not in Redis", n)
	}
	if _, ok := i.provider.running(n); ok {
		return fmt.Sprintf("%s is removed, and runs", n)
	}
	if _, ok := i.router.Load(n); ok {
		return fmt.Sprintf("%s is removed, and the router knows it", n)
	}
	if i.scaled(n) {
		return fmt.Sprintf("%s is removed, and scaled", n)
	}
	if len(i.Draining(n.Namespace)) > 0 {
		return "a function drains"
	}
	for _, s := range removed[n] {
		if !i.w.filled(s) {
			return fmt.Sprintf("%s has left %s, which is empty", n, s.Stream)
		}
	}
	return i.scheduled(n, "")
}

// filled tells whether a stream has entries.
func (w *world) filled(s wire.Subscription) bool {
	return w.raw.XLen(context.Background(), s.Stream).Val() > 0
}

// subscribed tells in which way the subscriptions are not those of the functions, and those with entries that
// removed ones have left.
func (w *world) subscribed(v redis.View, wanted []wire.Subscription) string {
	for _, s := range wanted {
		if !slices.Contains(v.Subscriptions, s) {
			return fmt.Sprintf("there is no subscription %v", s)
		}
		groups := w.raw.XInfoGroups(context.Background(), s.Stream).Val()
		if !slices.ContainsFunc(groups, func(g goredis.XInfoGroup) bool { return g.Name == s.Group }) {
			return fmt.Sprintf("there is no group %v", s)
		}
	}
	for _, s := range v.Subscriptions {
		n, _ := hearth.ParseName(s.Group)
		_, deployed := v.Functions[n]
		if !slices.Contains(wanted, s) && !w.filled(s) && !(deployed && s == redis.CallbacksOf(n)) {
			return fmt.Sprintf("there is a subscription %v, which nobody wants", s)
		}
	}
	groups := 0
	for _, stream := range w.raw.Keys(context.Background(), "*").Val() {
		if w.raw.Type(context.Background(), stream).Val() == "stream" {
			groups += len(w.raw.XInfoGroups(context.Background(), stream).Val())
		}
	}
	if groups != len(v.Subscriptions) {
		return fmt.Sprintf("there are %d groups of %d subscriptions", groups, len(v.Subscriptions))
	}
	return ""
}

// works requires that an instance delivers calls and messages to all that is deployed, and that nothing is
// lost that was accepted.
func (w *world) works(i *instance) {
	w.t.Helper()
	var expected []string
	for _, f := range i.All() {
		if f.Image == missing || f.Image == stuck {
			continue
		}
		expected = append(expected, w.enqueue(f.Name()))
		for _, t := range f.Topics {
			id := w.id("message")
			message := &goredis.XAddArgs{
				Stream: redis.TopicOf(f.Name(), t).Stream,
				Values: []string{"body", id},
			}
			require.NoError(w.t, w.raw.XAdd(context.Background(), message).Err())
			expected = append(expected, id)
		}
	}
	expected = append(expected, w.callbacks...)
	for _, n := range w.delayed {
		require.True(w.t, w.filled(redis.CallsOf(n)), "a delayed call of %s is lost", n)
	}
	for id, n := range w.accepted {
		if f, ok := i.Function(n); ok && f.Image != missing && f.Image != stuck || w.has(id) {
			expected = append(expected, id)
		} else {
			require.True(w.t, w.filled(redis.CallsOf(n)), "%s was accepted, and is lost", id)
		}
	}
	w.eventually(func() string {
		for _, id := range expected {
			if !w.has(id) {
				return id + " was not delivered"
			}
		}
		return ""
	})
}

// eventually waits until there is nothing that is not as it should be.
func (w *world) eventually(wrong func() string) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(4 * time.Millisecond) {
		why := wrong()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			require.Fail(w.t, why, w.keys())
		}
	}
}

// keys are what Redis has, for the reader of a failure.
func (w *world) keys() string {
	keys := w.raw.Keys(context.Background(), "*").Val()
	slices.Sort(keys)
	text := strings.Join(keys, "\n")
	for _, key := range []string{"{hearth}:functions", "{hearth}:removed", "{hearth}:subscriptions"} {
		all := w.raw.HGetAll(context.Background(), key).Val()
		text += "\n" + key + ": " + fmt.Sprint(slices.Sorted(maps.Keys(all)))
	}
	return cmp.Or(text, "Redis is empty")
}
