package dispatch_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const dough = "crash.dough"

var baker = hearth.Name{Function: "baker", Namespace: "openfaas-fn"}

// A stage is where a story happens: a Redis, its functions, and the dispatchers that come and go.
type stage struct {
	story    story
	disaster disaster
	raw      *goredis.Client
	queue    *redis.Client    // uncut
	listener *httptest.Server // of callbacks

	// Of the point that is played.
	t          *testing.T
	fns        *functions
	calledBack atomic.Int32
	count      atomic.Int32 // of what the story counts

	mu          sync.Mutex
	dispatchers []*dispatch.Dispatcher
	in          *dispatch.Dispatcher // whose gateway people use
	late        []func()             // do again what a function did
}

func newStage(t *testing.T, story story, d disaster) *stage {
	t.Helper()
	s := &stage{story: story, disaster: d, raw: chaintest.Redis(t)}
	var err error
	s.queue, err = redis.Open(t.Context(), chaintest.URL(s.raw))
	require.NoError(t, err)
	s.listener = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		s.calledBack.Add(1)
	}))
	t.Cleanup(func() { s.listener.Close(); _ = s.queue.Close() })
	return s
}

// set makes the stage as it is before the story.
func (s *stage) set(t *testing.T) {
	t.Helper()
	s.t, s.late, s.dispatchers, s.in = t, nil, nil, nil
	s.calledBack.Store(0)
	s.count.Store(0)
	s.fns = &functions{
		room: 2,
		answer: func(n hearth.Name, r *http.Request, body string) (int, http.Header, string, error) {
			status, header, err := s.story.answer(s, n, r, body)
			return status, header, "", err
		},
	}
	t.Cleanup(s.stop)
	require.NoError(t, s.raw.FlushDB(t.Context()).Err())
	var subs []wire.Subscription
	for _, n := range s.names() {
		subs = append(subs, redis.CallsOf(n), redis.TopicOf(n, dough))
	}
	if s.story.calledBack {
		subs = append(subs, redis.CallbacksOf(oven))
	}
	_, err := s.queue.SubscribeAll(t.Context(), subs)
	require.NoError(t, err)
}

func (s *stage) names() []hearth.Name {
	if s.story.subscribers != nil {
		return s.story.subscribers
	}
	return []hearth.Name{oven}
}

func (s *stage) subscriptions(n hearth.Name) []dispatch.Subscription {
	return []dispatch.Subscription{{Subscription: redis.CallsOf(n)},
		{Subscription: redis.TopicOf(n, dough), Topic: dough, LeaveAck: s.story.leaveAck}}
}

// start starts a dispatcher, as hearth does: it ends the leases of its former life, and sees in Redis who has
// callbacks.
func (s *stage) start(queue *redis.Client, instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var allow egress.AllowList
	assert.NoError(s.t, allow.Set("127.0.0.1"))
	cfg := dispatch.Config{
		Queue:      queue,
		Log:        slog.New(slog.DiscardHandler),
		Instance:   instance,
		Lease:      s.disaster.lease,
		CommitWait: s.disaster.lease,
		SweepEvery: s.disaster.sweep,
		Callbacks:  egress.NewClient(egress.Config{Allow: allow}),
	}
	var d *dispatch.Dispatcher
	var has atomic.Bool // callbacks
	cfg.EnsureCallbacks = func(ctx context.Context, n hearth.Name, _ bool) error {
		if has.Load() {
			return nil
		}
		_, err := queue.Subscribe(ctx, redis.CallbacksOf(n))
		if err == nil {
			d.Set(spec(n),
				append(s.subscriptions(n), dispatch.Subscription{Subscription: redis.CallbacksOf(n)}))
			has.Store(true)
		}
		return err
	}
	d, err := dispatch.New(cfg, s.fns)
	assert.NoError(s.t, err)
	s.dispatchers = append(s.dispatchers, d)
	if instance != s.disaster.peer {
		s.in = d
	}
	made, err := s.queue.Subscriptions(s.t.Context())
	assert.NoError(s.t, err)
	for _, sub := range made {
		_, err := s.queue.Reclaim(s.t.Context(), sub, instance)
		assert.NoError(s.t, err)
	}
	assert.NoError(s.t, d.Start(context.Background()))
	for _, n := range s.names() {
		subs := s.subscriptions(n)
		if slices.Contains(made, redis.CallbacksOf(n)) {
			subs = append(subs, dispatch.Subscription{Subscription: redis.CallbacksOf(n)})
			has.Store(true)
		}
		d.Set(spec(n), subs)
	}
}

func spec(n hearth.Name) hearth.Function {
	annotations := map[string]string{
		"com.openfaas.retry.min_wait": "2ms",
		"com.openfaas.retry.max_wait": "4ms",
		"com.openfaas.retry.attempts": "50",
	}
	var f hearth.Function
	f.Service, f.Namespace, f.Annotations, f.EnvVars = n.Function, n.Namespace, &annotations,
		map[string]string{"exec_timeout": "1ms"}
	return hearthtest.Parse(f)
}

// notify is what a gateway does when somebody redrives.
func (s *stage) notify(sub wire.Subscription) {
	s.mu.Lock()
	d := s.in
	s.mu.Unlock()
	d.Notify(oven, sub)
}

// stop stops all dispatchers, and waits for nothing that they do.
func (s *stage) stop() {
	s.mu.Lock()
	dispatchers := slices.Clone(s.dispatchers)
	s.mu.Unlock() // a function that is called once more wants it
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var over sync.WaitGroup
	for _, d := range dispatchers {
		over.Go(func() { _ = d.Stop(ctx) })
	}
	over.Wait()
}

func (s *stage) letters(sub wire.Subscription) []redis.DeadLetter {
	ids, err := s.queue.DeadIDs(s.t.Context(), sub, time.Time{}, time.Time{})
	require.NoError(s.t, err)
	letters, err := s.queue.DeadLettersOf(s.t.Context(), sub, ids)
	require.NoError(s.t, err)
	return letters
}

// enqueue queues a call of the oven.
func (s *stage) enqueue(body string, callback bool) {
	s.t.Helper()
	call := redis.Call{Entry: wire.Entry{Body: []byte(body), CallID: "call-" + body}}
	if callback {
		call.Callback = s.listener.URL
	}
	_, err := s.queue.Enqueue(s.t.Context(), oven, call, hearth.DefaultQueueLimit)
	require.NoError(s.t, err)
}

// edit edits the one dead letter of a subscription, and once more, as who has not got the answer.
func (s *stage) edit(sub wire.Subscription, body string) {
	var letters []redis.DeadLetter
	eventually(s.t, func() bool {
		letters = s.letters(sub)
		return len(letters) == 1
	})
	var copies [2]string
	for i := range copies {
		var err error
		copies[i], err = s.queue.Edit(s.t.Context(), sub, letters[0].ID, redis.Edit{Body: []byte(body)},
			hearth.DefaultQueueLimit)
		require.NoError(s.t, err)
	}
	require.Equal(s.t, copies[0], copies[1])
}

// pause pauses the oven's own calls.
func (s *stage) pause() {
	_, err := s.queue.Pause(context.Background(), redis.CallsOf(oven))
	assert.NoError(s.t, err)
}

func (s *stage) isPaused(sub wire.Subscription) bool {
	d, err := s.queue.Depths(s.t.Context(), []wire.Subscription{sub})
	require.NoError(s.t, err)
	return d[0].Paused
}

// put puts a message on the topic.
func (s *stage) put(body string) { chaintest.Put(s.t, s.raw, dough, strconv.Quote(body)) }

// bake is what a function does with a message of the topic: once, however often.
func (s *stage) bake(n hearth.Name, m chaintest.Message) (int, http.Header, error) {
	ctx := chain.WithRedis(context.Background(), s.raw)
	answer, err := chain.Handle(dough, func(context.Context, string) (chain.Commit, error) {
		return chain.Commit{Script: bake, Args: n.Function}, nil
	})(m.Request(ctx))
	return answer.StatusCode, answer.Header, err
}
