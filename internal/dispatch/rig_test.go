package dispatch_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var oven = hearth.Name{Function: "oven", Namespace: "openfaas-fn"}

// functions is a Target: what the functions answer, and what they were called with.
type functions struct {
	mu     sync.Mutex
	answer func(n hearth.Name, r *http.Request, body string) (status int, header http.Header,
		text string, err error)
	room  int
	calls []seen
	now   int // calls in flight
	most  int
}

type seen struct {
	function string
	header   http.Header
	target   string
	method   string
	body     string
}

func (f *functions) RoundTrip(n hearth.Name, r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.calls = append(f.calls, seen{n.Function, r.Header.Clone(), r.URL.RequestURI(), r.Method, string(body)})
	f.now++
	f.most = max(f.most, f.now)
	answer := f.answer
	f.mu.Unlock()
	status, header, text, err := answer(n, r, string(body))
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header,
		Body: io.NopCloser(strings.NewReader(text))}, nil
}

func (f *functions) Room(hearth.Name) int { return f.room }

func (f *functions) seen() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]seen(nil), f.calls...)
}

func always(status int) func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
	return func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
		return status, nil, "text", nil
	}
}

// rig is a dispatcher on an empty Redis, and what surrounds it.
type rig struct {
	t     *testing.T
	queue *redis.Client
	raw   goredis.UniversalClient
	fns   *functions
	d     *dispatch.Dispatcher
	cfg   dispatch.Config
	spec  hearth.Function
}

func newRig(t *testing.T, raw goredis.UniversalClient, change ...func(*dispatch.Config)) *rig {
	t.Helper()
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	r := &rig{t: t, queue: queue, raw: raw, fns: &functions{answer: always(200), room: 8}}
	var allow egress.AllowList
	require.NoError(t, allow.Set("127.0.0.1")) // where tests listen for callbacks
	cfg := dispatch.Config{Queue: queue, Log: slog.New(slog.DiscardHandler), Instance: "me",
		Callbacks: egress.NewClient(egress.Config{Allow: allow})}
	for _, c := range change {
		c(&cfg)
	}
	r.cfg, r.d = cfg, begin(t, cfg, r.fns)
	t.Cleanup(func() { r.stop(); _ = queue.Close() })
	annotations := map[string]string{"com.openfaas.retry.min_wait": "5ms",
		"com.openfaas.retry.max_wait": "20ms", "com.openfaas.retry.attempts": "3"}
	r.spec.Service, r.spec.Namespace, r.spec.Annotations = oven.Function, oven.Namespace, &annotations
	r.spec = hearthtest.Parse(r.spec)
	return r
}

// begin starts a dispatcher.
func begin(t *testing.T, cfg dispatch.Config, to dispatch.Target) *dispatch.Dispatcher {
	t.Helper()
	d, err := dispatch.New(cfg, to)
	require.NoError(t, err)
	require.NoError(t, d.Start(t.Context()))
	return d
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = r.d.Stop(ctx)
}

// subscribe makes the function's queues: its calls, its callbacks, and topics.
func (r *rig) subscribe(topics ...string) []dispatch.Subscription {
	r.t.Helper()
	subs := []dispatch.Subscription{{Subscription: redis.CallsOf(oven)},
		{Subscription: redis.CallbacksOf(oven)}}
	for _, topic := range topics {
		subs = append(subs, dispatch.Subscription{Subscription: redis.TopicOf(oven, topic), Topic: topic})
	}
	for _, s := range subs {
		_, err := r.queue.Subscribe(r.t.Context(), s.Subscription)
		require.NoError(r.t, err)
	}
	r.d.Set(r.spec, subs)
	return subs
}

func (r *rig) enqueue(call redis.Call) {
	r.t.Helper()
	if call.CallID == "" {
		call.CallID = "c"
	}
	_, err := r.queue.Enqueue(r.t.Context(), oven, call, hearth.DefaultQueueLimit)
	require.NoError(r.t, err)
}

func (r *rig) depth(s wire.Subscription) redis.Depth {
	r.t.Helper()
	d, err := r.queue.Depths(r.t.Context(), []wire.Subscription{s})
	require.NoError(r.t, err)
	return d[0]
}

func (r *rig) letters(s wire.Subscription) []redis.DeadLetter {
	r.t.Helper()
	ids, err := r.queue.DeadIDs(r.t.Context(), s, time.Time{}, time.Time{})
	require.NoError(r.t, err)
	letters, err := r.queue.DeadLettersOf(r.t.Context(), s, ids)
	require.NoError(r.t, err)
	return letters
}

func (r *rig) settled(s wire.Subscription) {
	r.t.Helper()
	eventually(r.t, func() bool { return r.depth(s) == redis.Depth{} })
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 2*time.Millisecond)
}

func servers(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, newRig(t, chaintest.Redis(t))) })
	t.Run("cluster", func(t *testing.T) { t.Parallel(); test(t, newRig(t, chaintest.Cluster(t))) })
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); test(t, newRig(t, chaintest.Mini(t))) })
}
