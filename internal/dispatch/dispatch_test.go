package dispatch_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestQueuedCallIsMade(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.subscribe()
		r.enqueue(redis.Call{Entry: wire.Entry{
			Body:        []byte("b"),
			CallID:      "call-1",
			Method:      "POST",
			Path:        "/a%2Fb/c",
			Query:       "x=1&y",
			ContentType: "text/x",
			Header:      http.Header{"X-Own": {"1", "2"}},
			Traceparent: "00-1-2-01",
		}})
		r.settled(redis.CallsOf(oven))
		calls := r.fns.seen()
		require.Len(t, calls, 1)
		c := calls[0]
		require.Equal(t, []string{"oven", "POST", "/a%2Fb/c?x=1&y", "b"},
			[]string{c.function, c.method, c.target, c.body})
		require.Equal(t, []string{"1", "2"}, c.header["X-Own"])
		for name, want := range map[string]string{
			"Content-Type":   "text/x",
			"X-Call-Id":      "call-1",
			"Traceparent":    "00-1-2-01",
			"X-Attempt":      "1",
			"X-Subscription": "oven.openfaas-fn",
			"X-Connector":    "hearth",
			"X-Topic":        "",
		} {
			require.Equal(t, want, c.header.Get(name), name)
		}
		require.NotEmpty(t, c.header.Get("X-Message-Id"))
		require.NotEmpty(t, c.header.Get("X-Delivery-Token"))
	})
}

func TestMessageOfATopicByHand(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.subscribe("bakery.dough")
		id := r.raw.XAdd(t.Context(),
			&goredis.XAddArgs{Stream: "{bakery}.dough", Values: []string{"body", "{}"}}).Val()
		r.settled(redis.TopicOf(oven, "bakery.dough"))
		c := r.fns.seen()[0]
		require.Equal(t, []string{"POST", "/", "{}"}, []string{c.method, c.target, c.body})
		require.Equal(t, "bakery.dough", c.header.Get("X-Topic"))
		require.Equal(t, id, c.header.Get("X-Message-Id"))
		require.Equal(t, id, c.header.Get("X-Call-Id"))
		require.Equal(t, "application/octet-stream", c.header.Get("Content-Type"))
		require.Zero(t, r.raw.XLen(t.Context(), "{bakery}.dough").Val())
	})
}

func TestEachSubscriberGetsEachMessage(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		var subs []wire.Subscription
		for _, name := range []string{"one", "two", "three"} {
			f := r.spec
			f.Service = name
			s := dispatch.Subscription{
				Subscription: redis.TopicOf(f.Name(), "news.today"),
				Topic:        "news.today",
			}
			_, err := r.queue.Subscribe(t.Context(), s.Subscription)
			require.NoError(t, err)
			subs = append(subs, s.Subscription)
			r.d.Set(f, []dispatch.Subscription{s})
		}
		for i := range 30 {
			r.raw.XAdd(t.Context(),
				&goredis.XAddArgs{Stream: "{news}.today", Values: []string{"body", fmt.Sprint(i)}})
		}
		for _, s := range subs {
			eventually(t, func() bool {
				d := r.depth(s)
				return d.Leased+d.Due == 0 && r.raw.XLen(t.Context(), s.Stream).Val() == 0
			})
		}
		got := map[string]int{}
		for _, c := range r.fns.seen() {
			got[c.function]++
		}
		require.Equal(t, map[string]int{"one": 30, "two": 30, "three": 30}, got)
	})
}

func TestFailureIsRetriedAndThenBuriedAndRedriven(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.fns.answer = always(500)
		calls := redis.CallsOf(oven)
		r.subscribe()
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
		eventually(t, func() bool { return r.depth(calls) == redis.Depth{Dead: 1} })
		require.Len(t, r.fns.seen(), 3)
		tokens := map[string]bool{}
		for i, c := range r.fns.seen() {
			require.Equal(t, fmt.Sprint(i+1), c.header.Get("X-Attempt"))
			tokens[c.header.Get("X-Delivery-Token")] = true
		}
		require.Len(t, tokens, 3)
		letters := r.letters(calls)
		require.Len(t, letters[0].Failures, 3)
		last := letters[0].Failures[2]
		require.Equal(t, 500, last.Status)
		require.Equal(t, "text", last.Body)
		require.Contains(t, last.Reason, "attempt 3 of 3")

		r.fns.mu.Lock()
		r.fns.answer = always(200)
		r.fns.mu.Unlock()
		n, err := r.queue.Redrive(t.Context(), calls, []string{letters[0].ID})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		r.d.Notify(oven, calls)
		r.settled(calls)
	})
}

func TestPermanentFailureIsBuriedAtOnce(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.fns.answer = always(404)
		r.subscribe()
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
		eventually(t, func() bool { return r.depth(redis.CallsOf(oven)).Dead == 1 })
		require.Len(t, r.fns.seen(), 1)
	})
}

func TestMalformedEntryIsBuriedWithItsReason(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.subscribe("bakery.dough")
		sub := redis.TopicOf(oven, "bakery.dough")
		r.raw.XAdd(t.Context(), &goredis.XAddArgs{Stream: sub.Stream, Values: []string{"boddy", "{}"}})
		r.raw.XAdd(t.Context(),
			&goredis.XAddArgs{Stream: sub.Stream, Values: []string{"body", "{}", "header", "x"}})
		eventually(t, func() bool { return r.depth(sub).Dead == 2 })
		require.Empty(t, r.fns.seen())
		letters := r.letters(sub)
		reasons := letters[0].Failures[0].Reason + letters[1].Failures[0].Reason
		require.Contains(t, reasons, `"body" is missing`)
		require.Contains(t, reasons, `"header"`)
	})
}

func TestBusyIsNoAttempt(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		n := 0
		r.fns.answer = func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
			r.fns.mu.Lock()
			defer r.fns.mu.Unlock()
			switch n++; n {
			case 1, 2, 3:
				return 429, http.Header{"X-Openfaas-Internal": {"faas-middleware"}}, "", nil
			case 4, 5:
				return 0, nil, "", hearth.Errorf(hearth.Unavailable, "no replica")
			case 6:
				return 503, http.Header{"X-Openfaas-Internal": {"chain"}}, "", nil
			}
			return 200, nil, "", nil
		}
		r.subscribe()
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
		r.settled(redis.CallsOf(oven))
		for _, c := range r.fns.seen() {
			require.Equal(t, "1", c.header.Get("X-Attempt"))
		}
		require.Len(t, r.fns.seen(), 7)
	})
}

func TestNoMoreCallsThanThereIsRoom(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.fns.room = 3
		r.fns.answer = func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
			time.Sleep(time.Millisecond)
			return 200, nil, "", nil
		}
		r.subscribe("a.b")
		for i := range 100 {
			r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte(fmt.Sprint(i))}})
			r.raw.XAdd(t.Context(),
				&goredis.XAddArgs{Stream: "{a}.b", Values: []string{"body", fmt.Sprint(i)}})
		}
		r.settled(redis.CallsOf(oven))
		r.settled(redis.TopicOf(oven, "a.b"))
		require.Len(t, r.fns.seen(), 200)
		require.LessOrEqual(t, r.fns.most, 3, "over all of its queues together")
	})
}

func TestSlowFunctionHoldsUpNoOther(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		r.fns.answer = func(n hearth.Name, _ *http.Request, _ string) (int, http.Header, string, error) {
			if n == oven {
				<-release
			}
			return 200, nil, "", nil
		}
		defer close(release)
		r.subscribe()
		quick := r.spec
		quick.Service = "quick"
		s := dispatch.Subscription{Subscription: redis.CallsOf(quick.Name())}
		_, err := r.queue.Subscribe(t.Context(), s.Subscription)
		require.NoError(t, err)
		r.d.Set(quick, []dispatch.Subscription{s})
		for i := range 50 {
			r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte(fmt.Sprint(i))}})
			_, err := r.queue.Enqueue(t.Context(), quick.Name(),
				redis.Call{Entry: wire.Entry{Body: []byte("q")}}, hearth.DefaultQueueLimit)
			require.NoError(t, err)
		}
		r.settled(s.Subscription)
		require.Equal(t, 8, r.depth(redis.CallsOf(oven)).Leased)
	})
}

func TestFunctionsOwnCommitSparesTheSettling(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		sub := redis.TopicOf(oven, "bakery.dough")
		ctx := chain.WithRedis(t.Context(), r.raw)
		step := chain.Handle("bakery.dough", func(context.Context, any) (chain.Commit, error) {
			return chain.Commit{}, nil
		})
		r.fns.answer = func(_ hearth.Name, req *http.Request, body string) (int, http.Header, string, error) {
			m := chaintest.Message{Body: []byte(body)}
			m.Delivery, _ = wire.DeliveryOf(req.Header)
			res, err := step(m.Request(ctx))
			return res.StatusCode, res.Header, string(res.Body), err
		}
		r.subscribe("bakery.dough")
		for range 20 {
			r.raw.XAdd(t.Context(), &goredis.XAddArgs{Stream: sub.Stream, Values: []string{"body", "{}"}})
		}
		r.settled(sub)
		require.Len(t, r.fns.seen(), 20)
	})
}

func TestCallbackIsToldTheAnswer(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		var mu sync.Mutex
		var got []seen
		fails := 2
		listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			mu.Lock()
			defer mu.Unlock()
			got = append(got, seen{
				header: req.Header.Clone(),
				target: req.URL.RequestURI(),
				method: req.Method,
				body:   string(body),
			})
			if fails--; fails >= 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				w.Header().Set("Retry-After", "0")
			}
		}))
		defer listener.Close()
		r.fns.answer = func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
			return 418, http.Header{
				"X-Kind":       {"oolong"},
				"Content-Type": {"text/tea"},
			}, "short and stout", nil
		}
		r.subscribe()
		r.enqueue(redis.Call{Entry: wire.Entry{
			Body:     []byte("b"),
			CallID:   "call-7",
			Callback: listener.URL + "/cb?x",
			Header:   http.Header{"X-Start-Time": {"123"}},
		}})
		eventually(t, func() bool { return r.depth(redis.CallbacksOf(oven)).Due == 1 })
		mu.Lock()
		require.Len(t, got, 1, "it was answered with 503, and is queued itself")
		c := got[0]
		mu.Unlock()
		require.Equal(t, []string{"POST", "/cb?x", "short and stout"}, []string{c.method, c.target, c.body})
		for name, want := range map[string]string{
			"X-Call-Id":         "call-7",
			"X-Function-Status": "418",
			"X-Function-Name":   "oven.openfaas-fn",
			"X-Start-Time":      "123",
			"X-Kind":            "oolong",
			"Content-Type":      "text/tea",
			"X-Retry":           "1",
			"X-Retry-Max":       "3",
		} {
			require.Equal(t, want, c.header.Get(name), name)
		}
		require.Regexp(t, `^\d+\.\d{6}$`, c.header.Get("X-Duration-Seconds"))
		require.Equal(t, 1, r.depth(redis.CallsOf(oven)).Dead,
			"418 is buried; its caller is told all the same")
	})
}

func TestStopGivesBackWhatItCannotFinish(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		hang := make(chan struct{})
		r.fns.answer = func(_ hearth.Name, req *http.Request, _ string) (int, http.Header, string, error) {
			close(hang)
			<-req.Context().Done()
			return 0, nil, "", req.Context().Err()
		}
		r.subscribe()
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
		<-hang
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_ = r.d.Stop(ctx)
		require.Equal(t, redis.Depth{Due: 1}, r.depth(redis.CallsOf(oven)))
		_ = r.d.Stop(ctx)
		b, err := r.queue.Take(t.Context(), redis.CallsOf(oven), 1,
			redis.Holder{Instance: "next", Lease: time.Minute})
		require.NoError(t, err)
		require.Equal(t, 1, b.Deliveries[0].Attempt, "shutting down is no attempt")
		notes := r.raw.HVals(t.Context(), redis.CallsOf(oven).Keys()[4]).Val()
		require.Len(t, strings.Fields(notes[0]), 4,
			"the call may still commit: its token is kept beside the new one")
	})
}

func TestRedisOutageIsSurvived(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t) // a redis-server of our own
	r := newRig(t, full.Client)
	r.subscribe()
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("before")}})
	r.settled(redis.CallsOf(oven))
	require.NoError(t, full.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
	for i := range 20 {
		r.raw.XAdd(t.Context(),
			&goredis.XAddArgs{Stream: redis.CallsOf(oven).Stream, Values: []string{"body", fmt.Sprint(i)}})
		full.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	}
	eventually(t, func() bool { d := r.depth(redis.CallsOf(oven)); return d.Waiting == 0 && d.Leased == 0 })
}

func TestSweepDeliversWhatAStrangerTook(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t), func(c *dispatch.Config) {
		c.SweepEvery = 10 * time.Millisecond
		c.Lease = 500 * time.Millisecond
	})
	r.spec.EnvVars = map[string]string{"exec_timeout": "1ms"}
	r.spec = hearthtest.Parse(r.spec)
	sub := redis.CallsOf(oven)
	_, err := r.queue.Subscribe(t.Context(), sub)
	require.NoError(t, err)
	r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
	_, err = r.raw.XReadGroup(t.Context(), &goredis.XReadGroupArgs{
		Group:    sub.Group,
		Consumer: "stranger",
		Streams:  []string{sub.Stream, ">"},
	}).Result()
	require.NoError(t, err)
	r.subscribe()
	r.settled(sub)
	require.Len(t, r.fns.seen(), 1)
}

func TestManySleepingQueuesCostOneConnection(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	r := newRig(t, full.Client)
	const n = 300
	for i := range n {
		f := r.spec
		f.Service = fmt.Sprint("f", i)
		s := dispatch.Subscription{Subscription: redis.CallsOf(f.Name())}
		_, err := r.queue.Subscribe(t.Context(), s.Subscription)
		require.NoError(t, err)
		r.d.Set(f, []dispatch.Subscription{s})
	}
	last := hearth.Name{Function: fmt.Sprint("f", n-1), Namespace: "openfaas-fn"}
	r.raw.XAdd(t.Context(),
		&goredis.XAddArgs{Stream: redis.CallsOf(last).Stream, Values: []string{"body", "b"}})
	r.settled(redis.CallsOf(last))
	list := full.ClientList(t.Context()).Val()
	blocked := 0
	for line := range strings.Lines(list) {
		if strings.Contains(line, "cmd=xread ") {
			blocked++
		}
	}
	require.Equal(t, 1, blocked, list)
}

func TestNewRefusesAConfigThatLacksSomething(t *testing.T) {
	t.Parallel()
	whole := dispatch.Config{Queue: &redis.Client{}, Log: slog.New(slog.DiscardHandler), Instance: "me"}
	_, err := dispatch.New(whole, &functions{})
	require.NoError(t, err)
	for name, change := range map[string]func(*dispatch.Config){
		"queue":    func(c *dispatch.Config) { c.Queue = nil },
		"log":      func(c *dispatch.Config) { c.Log = nil },
		"instance": func(c *dispatch.Config) { c.Instance = "" },
		"lease":    func(c *dispatch.Config) { c.Lease = -1 },
	} {
		cfg := whole
		change(&cfg)
		_, err := dispatch.New(cfg, &functions{})
		require.Error(t, err, name)
	}
	_, err = dispatch.New(whole, nil)
	require.Error(t, err)
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	queue, err := redis.Open(t.Context(), chaintest.URL(chaintest.Redis(t)))
	require.NoError(t, err)
	defer func() { _ = queue.Close() }()
	d, err := dispatch.New(dispatch.Config{Queue: queue, Log: slog.New(slog.DiscardHandler), Instance: "me"},
		&functions{})
	require.NoError(t, err)
	require.NoError(t, d.Stop(t.Context()))
	require.Error(t, d.Start(t.Context()), "it was stopped")
	require.NoError(t, d.Stop(t.Context()))
}

func TestStartAndStopFiftyTimes(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	for range 50 {
		r := newRig(t, raw)
		r.subscribe()
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b")}})
		r.stop()
		r.stop()
	}
	r := newRig(t, raw)
	r.subscribe()
	r.settled(redis.CallsOf(oven))
}

// TestDeletedFunctionKeepsItsCallsUntilTheyAreSettled: also when it is set again meanwhile; its calls are not
// taken for lost then.
func TestDeletedFunctionKeepsItsCallsUntilTheyAreSettled(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		r.fns.answer = func(_ hearth.Name, req *http.Request, _ string) (int, http.Header, string, error) {
			select {
			case <-release:
				return 200, nil, "", nil
			case <-req.Context().Done():
				return 0, nil, "", req.Context().Err()
			}
		}
		subs := r.subscribe()
		r.enqueue(redis.Call{})
		eventually(t, func() bool { return len(r.fns.seen()) == 1 })
		settled := r.d.Delete(oven)
		select {
		case <-settled:
			require.Fail(t, "its call is under way")
		default:
		}
		r.enqueue(redis.Call{Entry: wire.Entry{CallID: "later"}})
		r.d.Notify(oven, redis.CallsOf(oven))
		r.d.Set(r.spec, subs)
		eventually(t, func() bool { return len(r.fns.seen()) == 2 })
		again := r.d.Delete(oven)
		close(release)
		for _, c := range []<-chan struct{}{settled, again} {
			select {
			case <-c:
			case <-time.After(20 * time.Second):
				require.Fail(t, "its calls are not settled")
			}
		}
		r.settled(redis.CallsOf(oven))
		require.Len(t, r.fns.seen(), 2, "each was made once")
		<-r.d.Delete(oven) // there is nothing
	})
}

func TestCallOfADeletedFunctionCanBeCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	r.fns.answer = func(_ hearth.Name, req *http.Request, _ string) (int, http.Header, string, error) {
		<-req.Context().Done()
		return 0, nil, "", req.Context().Err()
	}
	r.subscribe()
	r.enqueue(redis.Call{})
	eventually(t, func() bool { return len(r.fns.seen()) == 1 })
	settled := r.d.Delete(oven)
	ids, _, err := r.queue.Cancel(t.Context(), oven, "c", "")
	require.NoError(t, err)
	r.d.Cancelled(oven, ids)
	select {
	case <-settled:
	case <-time.After(20 * time.Second):
		require.Fail(t, "it goes on")
	}
}
