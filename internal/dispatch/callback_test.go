package dispatch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// told is one callback, as it was made.
type told struct {
	header http.Header
	body   string
}

// listen takes callbacks.
func listen(t *testing.T) (url string, got chan told) {
	t.Helper()
	got = make(chan told, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- told{r.Header, string(body)}
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

// logged is what a dispatcher logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestCallbackBringsTheWholeAnswerOrSaysThatItDoesNot: it was cut, and said nothing.
func TestCallbackBringsTheWholeAnswerOrSaysThatItDoesNot(t *testing.T) {
	t.Parallel()
	var log logged
	r := newRig(t, chaintest.Redis(t), func(c *dispatch.Config) {
		c.CallbackBytes, c.Log = 1000, slog.New(slog.NewTextHandler(&log, nil))
	})
	url, got := listen(t)
	r.fns.answer = func(_ hearth.Name, _ *http.Request, body string) (int, http.Header, string, error) {
		return http.StatusOK, http.Header{
			"X-Function-Truncated": {"a lie"},
			"Transfer-Encoding":    {"x"},
			"Connection":           {"X-Hop"},
			"X-Hop":                {"1"},
		}, body, nil
	}
	r.subscribe()
	for size, cut := range map[int]bool{0: false, 999: false, 1000: false, 1001: true, 5000: true} {
		r.enqueue(redis.Call{Entry: wire.Entry{
			Body:     []byte(strings.Repeat("x", size)),
			CallID:   "long",
			Callback: url,
		}})
		cb := <-got
		require.Len(t, cb.body, min(size, 1000))
		require.Equal(t, "200", cb.header.Get("X-Function-Status"))
		want := []string(nil)
		if cut {
			want = []string{"true"}
		}
		require.Equal(t, want, cb.header["X-Function-Truncated"], size)
		require.Empty(t, cb.header.Get("X-Hop"))
	}
	require.Equal(t, 2, strings.Count(log.String(), "cut the body of a callback"))
	require.Contains(t, log.String(), "call_id=long limit_bytes=1000")
}

// brokenBody is an answer that breaks off.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	if n, err := b.Reader.Read(p); err == nil {
		return n, nil
	}
	return 0, errors.New("connection reset by peer")
}

// crashing is a function that never answers in full.
type crashing struct{ begins bool }

func (crashing) Room(hearth.Name) int { return 8 }

func (c crashing) RoundTrip(hearth.Name, *http.Request) (*http.Response, error) {
	if !c.begins {
		return nil, hearth.Errorf(hearth.BadGateway, "the replica broke off")
	}
	return &http.Response{
		StatusCode: 200,
		Header:     http.Header{"X-Own": {"1"}},
		Body:       io.NopCloser(brokenBody{strings.NewReader("half an ans")}),
	}, nil
}

// TestCallbackAfterACrashHasNoBody: whether the function crashed before or within its answer, the callback
// says 502, that this is the platform's word, and nothing of an answer.
func TestCallbackAfterACrashHasNoBody(t *testing.T) {
	t.Parallel()
	for name, begins := range map[string]bool{"before its answer": false, "within its answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, chaintest.Redis(t))
			r.stop()
			url, got := listen(t)
			d := begin(t, r.cfg, crashing{begins})
			r.d = d
			r.subscribe()
			r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b"), CallID: "c", Callback: url}})
			cb := <-got
			require.Empty(t, cb.body)
			require.Equal(t, "502", cb.header.Get("X-Function-Status"))
			require.Equal(t, "proxy", cb.header.Get(wire.HeaderInternal))
			require.Equal(t, "3", cb.header.Get("X-Retry"))
			require.Empty(t, cb.header.Get("X-Own"))
			eventually(t, func() bool { return r.depth(redis.CallsOf(oven)).Dead == 1 })
		})
	}
}

// TestHeadersOfAStrangersEntryCannotFrameOrForge: whoever may write to Redis chose their names, and in which
// case.
func TestHeadersOfAStrangersEntryCannotFrameOrForge(t *testing.T) {
	servers(t, func(t *testing.T, r *rig) {
		r.subscribe("bakery.dough")
		put := func(stream string, h map[string][]string) {
			text, err := json.Marshal(h)
			require.NoError(t, err)
			require.NoError(t,
				r.raw.XAdd(t.Context(),
					&goredis.XAddArgs{Stream: stream, Values: []any{"body", "{}", "header", text}}).Err())
		}
		calls, topic := redis.CallsOf(oven), redis.TopicOf(oven, "bakery.dough")
		put(calls.Stream, map[string][]string{
			"transfer-encoding": {"chunked"},
			"content-length":    {"100"},
			"connection":        {"close"},
			"host":              {"other"},
			"x-topic":           {"bakery.dough"},
			"x_topic":           {"bakery.dough"},
			"x-delivery-token":  {"forged"},
			"X-Message-Id":      {"1-1"},
			"x-own":             {"mine"},
		})
		eventually(t, func() bool { return len(r.fns.seen()) == 1 })
		h := r.fns.seen()[0].header
		for _, name := range []string{"transfer-encoding", "Transfer-Encoding", "content-length",
			"connection", "Connection", "host", "x-topic", "X-Topic", "x_topic", "x-delivery-token"} {
			require.NotContains(t, h, name)
		}
		require.Equal(t, "mine", h.Get("X-Own"))
		require.NotEqual(t, "1-1", h.Get("X-Message-Id"))
		require.NotEqual(t, "forged", h.Get("X-Delivery-Token"))

		put(calls.Stream,
			map[string][]string{"x-topic": {"cron-function"}, "x-schedule-time": {"2026-11-05T18:30:00Z"}})
		eventually(t, func() bool { return len(r.fns.seen()) == 2 })
		require.Equal(t, "cron-function", r.fns.seen()[1].header.Get("X-Topic"),
			"the clock's calls are such entries")
		require.Equal(t, "2026-11-05T18:30:00Z", r.fns.seen()[1].header.Get("X-Schedule-Time"))
		put(topic.Stream,
			map[string][]string{"x-topic": {"cron-function"}, "x-schedule-time": {"2026-11-05T18:30:00Z"}})
		eventually(t, func() bool { return len(r.fns.seen()) == 3 })
		require.Equal(t, "bakery.dough", r.fns.seen()[2].header.Get("X-Topic"))
		require.Empty(t, r.fns.seen()[2].header.Get("X-Schedule-Time"))

		put(calls.Stream, map[string][]string{"x": {"1\r\nTransfer-Encoding: chunked"}})
		eventually(t, func() bool { return r.depth(calls).Dead == 1 })
		require.Contains(t, r.letters(calls)[0].Reason(), "cannot be sent")
		require.Len(t, r.fns.seen(), 3)
	})
}

// TestCallsWaitWhileCallbacksHaveReachedTheirLimit, and go on by themselves when those are given up.
func TestCallsWaitWhileCallbacksHaveReachedTheirLimit(t *testing.T) {
	t.Parallel()
	var log logged
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-hold
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	defer release()
	r := newRig(t, chaintest.Redis(t), func(c *dispatch.Config) {
		c.QueueLimit, c.Log = hearth.QueueLimit{Length: 1000, Bytes: 20_000},
			slog.New(slog.NewTextHandler(&log, nil))
	})
	r.fns.room = 1
	r.fns.answer = func(hearth.Name, *http.Request, string) (int, http.Header, string, error) {
		return http.StatusOK, nil, strings.Repeat("x", 5000), nil
	}
	r.subscribe()
	const calls = 100 // more than may be answered and not settled yet
	for range calls {
		r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("b"), Callback: server.URL}})
	}
	eventually(t, func() bool {
		return strings.Contains(log.String(), "queued calls wait, as callbacks have reached their limit")
	})
	made := len(r.fns.seen())
	require.GreaterOrEqual(t, made, 4)
	require.Less(t, made, calls)
	release() // each is given up then, and dropped when room is needed
	eventually(t, func() bool {
		return len(r.fns.seen()) == calls && r.depth(redis.CallsOf(oven)) == redis.Depth{}
	})
	require.Contains(t, log.String(), "dropped dead callbacks to make room")
}
