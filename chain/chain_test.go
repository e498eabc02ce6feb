package chain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// count adds args.by to a counter and hands on the sum.
var count = chain.NewScript("count", `
	if args.by < 0 then return refuse('by is negative') end
	local sum = tonumber(redis.call('HGET', keys.sums, 'n') or '0') + args.by
	emit('test.counted', {n = sum})
	return function() redis.call('HSET', keys.sums, 'n', sum) end, {n = sum}`,
	[]chain.Key{{Name: "sums", Key: "{test}:sums", Type: "hash"}}, "test.counted")

type add struct {
	By int `json:"by"`
}

var adder = chain.Handle("test.add", func(_ context.Context, a add) (chain.Commit, error) {
	switch {
	case a.By == 13:
		return chain.Commit{}, errors.New("bad luck")
	case a.By == 14:
		return chain.Commit{}, chain.Permanent(errors.New("never"))
	}
	return chain.Commit{Script: count, Args: a}, nil
})

// servers runs a test on a real Redis, and on the in-memory one, which functions are tested with where there
// is no other.
func servers(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, chaintest.Redis(t)) })
	t.Run("cluster", func(t *testing.T) { t.Parallel(); test(t, chaintest.Cluster(t)) })
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); test(t, chaintest.Mini(t)) })
}

// pending puts a message on test.add and takes it.
func pending(
	t *testing.T, rdb redis.UniversalClient, body string,
) (context.Context, wire.Subscription, chaintest.Message) {
	t.Helper()
	ctx := chain.WithRedis(t.Context(), rdb)
	sub := chaintest.Subscribe(t, rdb, "test.add", "adder")
	chaintest.Put(t, rdb, "test.add", body)
	m, ok, err := chaintest.Take(ctx, rdb, sub)
	require.NoError(t, err)
	require.True(t, ok)
	return ctx, sub, m
}

func sum(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	n, err := rdb.HGet(t.Context(), "{test}:sums", "n").Result()
	if errors.Is(err, redis.Nil) {
		return "nothing"
	}
	require.NoError(t, err)
	return n
}

func detailOf(r handler.Response) string {
	var p chain.Problem
	_ = json.Unmarshal(r.Body, &p)
	return p.Detail
}

func call(
	t *testing.T, h func(handler.Request) (handler.Response, error), r handler.Request,
) handler.Response {
	t.Helper()
	answer, err := h(r)
	require.NoError(t, err)
	return answer
}

func TestCommitSettlesChangesAndHandsOnAtOnce(t *testing.T) {
	servers(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, sub, m := pending(t, rdb, `{"by":2}`)
		m.CallID, m.Traceparent = "call-1", "00-aa-bb-01"
		answer := call(t, adder, m.Request(ctx))
		require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
		require.JSONEq(t, `{"n":2}`, string(answer.Body))
		require.Equal(t, m.ID, answer.Header.Get(wire.HeaderSettled))

		require.Equal(t, "2", sum(t, rdb))
		require.Zero(t, rdb.XLen(ctx, sub.Stream).Val(), "a settled message is gone")
		require.Zero(t, rdb.HLen(ctx, sub.Keys()[4]).Val(), "and so are the notes about it")
		next := rdb.XRange(ctx, "{test}.counted", "-", "+").Val()
		require.Len(t, next, 1)
		require.Equal(t, map[string]any{
			"body":         `{"n":2}`,
			"content-type": "application/json",
			"call-id":      "call-1",
			"traceparent":  "00-aa-bb-01",
		}, next[0].Values)
	})
}

func TestSecondDeliveryChangesNothing(t *testing.T) {
	servers(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, sub, m := pending(t, rdb, `{"by":2}`)
		again, err := chaintest.Retake(ctx, rdb, sub, m.ID)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, call(t, adder, m.Request(ctx)).StatusCode,
			"the older token may commit too")
		answer := call(t, adder, again.Request(ctx))
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.JSONEq(t, `{"done":"before"}`, string(answer.Body))
		require.Equal(t, "2", sum(t, rdb))
		require.EqualValues(t, 1, rdb.XLen(ctx, "{test}.counted").Val())
	})
}

func TestWhatIsNotACommitOfThisMessage(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, rdb redis.UniversalClient, m *chaintest.Message)
		status int
	}{
		"a token of nobody": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Token = "0123456789abcdef0123456789abcdef"
		}, http.StatusForbidden},
		"a part of the token": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Token = m.Token[:20]
		}, http.StatusForbidden},
		"a short token": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Token = m.Token[:1]
		}, http.StatusForbidden},
		"no token, another body": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Token, m.Body = "", []byte(`{"by":3}`)
		}, http.StatusForbidden},
		"an id yet to come": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.ID = "99999999999999-0"
		}, http.StatusInternalServerError},
		"another group": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Group = "stranger"
		}, http.StatusInternalServerError},
		"another topic": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Topic = "test.other"
		}, http.StatusBadRequest},
		"no topic": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Topic = ""
		}, http.StatusBadRequest},
		"no message id": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.ID = ""
		}, http.StatusBadRequest},
		"a body that is not JSON": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Body = []byte(`by=2`)
		}, http.StatusBadRequest},
		"a step that fails": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Body = []byte(`{"by":13}`)
		}, http.StatusInternalServerError},
		"a step that fails always": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Body = []byte(`{"by":14}`)
		}, http.StatusUnprocessableEntity},
		"a plan that refuses": {func(_ *testing.T, _ redis.UniversalClient, m *chaintest.Message) {
			m.Body = []byte(`{"by":-1}`)
		}, http.StatusUnprocessableEntity},
		"a key of another type": {func(t *testing.T, rdb redis.UniversalClient, _ *chaintest.Message) {
			require.NoError(t, rdb.Set(t.Context(), "{test}:sums", "x", 0).Err())
		}, http.StatusInternalServerError},
		"a stream of another type": {func(t *testing.T, rdb redis.UniversalClient, _ *chaintest.Message) {
			require.NoError(t, rdb.Set(t.Context(), "{test}.counted", "x", 0).Err())
		}, http.StatusInternalServerError},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, rdb redis.UniversalClient) {
				ctx, sub, m := pending(t, rdb, `{"by":2}`)
				was := m
				tt.change(t, rdb, &m)
				answer := call(t, adder, m.Request(ctx))
				require.Equal(t, tt.status, answer.StatusCode, string(answer.Body))
				require.Equal(t, chain.ContentType, answer.Header.Get("Content-Type"))
				require.Empty(t, answer.Header.Get(wire.HeaderSettled))

				p, err := rdb.XPending(ctx, sub.Stream, sub.Group).Result()
				require.NoError(t, err)
				require.EqualValues(t, 1, p.Count, "still pending: nothing was written")
				rdb.Del(ctx, "{test}:sums", "{test}.counted")
				require.Equal(t, http.StatusOK, call(t, adder, was.Request(ctx)).StatusCode,
					"and the real one still commits")
				require.Equal(t, "2", sum(t, rdb))
			})
		})
	}
}

func TestConnectorWithoutTokensCommitsByTheBodysDigest(t *testing.T) {
	servers(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, _, m := pending(t, rdb, `{"by":2}`)
		m.Token = ""
		require.Equal(t, http.StatusOK, call(t, adder, m.Request(ctx)).StatusCode)
		require.Equal(t, "2", sum(t, rdb))
	})
}

func TestMessageStaysUntilEveryGroupIsDone(t *testing.T) {
	servers(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx, sub, m := pending(t, rdb, `{"by":2}`)
		other := chaintest.Subscribe(t, rdb, "test.add", "other")
		require.Equal(t, http.StatusOK, call(t, adder, m.Request(ctx)).StatusCode)
		require.EqualValues(t, 1, rdb.XLen(ctx, sub.Stream).Val(), "the other group has yet to read it")

		theirs, ok, err := chaintest.Take(ctx, rdb, other)
		require.NoError(t, err)
		require.True(t, ok)
		answer := call(t, adder, m.Request(ctx))
		require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
		require.EqualValues(t, 1, rdb.XLen(ctx, sub.Stream).Val(), "the other group has it pending")

		answer = call(t, adder, theirs.Request(ctx))
		require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
		require.Zero(t, rdb.XLen(ctx, sub.Stream).Val())
		require.Equal(t, "4", sum(t, rdb), "each group's effect happened once")
	})
}

func TestPlanCannotWrite(t *testing.T) {
	for name, lua := range map[string]string{
		"a write in the plan":     `redis.call('SET', keys.k, '1') return function() end`,
		"emit in the apply half":  `return function() emit('test.out', {}) end`,
		"emit of another topic":   `emit('test.elsewhere', {}) return function() end`,
		"a message with no JSON":  `emit('test.out', {f = function() end}) return function() end`,
		"a reply with no JSON":    `return function() end, {f = function() end}`,
		"a plan without an apply": `return 1`,
	} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, rdb redis.UniversalClient) {
				s := chain.NewScript("t", lua, []chain.Key{{Name: "k", Key: "{test}:k", Type: "string"}},
					"test.out")
				_, err := chain.Commit{Script: s}.Apply(t.Context(), rdb)
				require.Error(t, err)
				require.Zero(t, rdb.DBSize(t.Context()).Val())
			})
		})
	}
}

func TestCommitOfMessagesAlone(t *testing.T) {
	servers(t, func(t *testing.T, rdb redis.UniversalClient) {
		forward := chain.Forward("test.a", "test.b")
		_, err := chain.Commit{
			Script:   forward,
			Messages: []chain.Message{{Topic: "test.a", Body: 1}, {Topic: "test.b", Body: "x"}},
		}.Apply(t.Context(), rdb)
		require.NoError(t, err)
		require.EqualValues(t, 1, rdb.XLen(t.Context(), "{test}.a").Val())
		require.Equal(t, `"x"`, rdb.XRange(t.Context(), "{test}.b", "-", "+").Val()[0].Values["body"])

		_, err = chain.Commit{
			Script:   forward,
			Messages: []chain.Message{{Topic: "test.c", Body: 1}},
		}.Apply(t.Context(), rdb)
		require.ErrorContains(t, err, "test.c, which it does not declare")
	})
}

func TestDeclaringAcrossTagsPanics(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() {
		chain.NewScript("s", "", []chain.Key{{Name: "a", Key: "{a}:x", Type: "hash"}}, "b.out")
	})
	require.Panics(t, func() {
		chain.NewScript("s", "",
			[]chain.Key{{Name: "a", Key: "{a}:x", Type: "hash"}, {Name: "b", Key: "{b}:x", Type: "hash"}})
	})
	require.Panics(t, func() {
		chain.NewScript("s", "", []chain.Key{{Name: "a", Key: "untagged", Type: "hash"}})
	})
	require.Panics(t, func() { chain.Forward("untagged") })
	require.Panics(t, func() {
		chain.Handle("untagged", func(context.Context, int) (chain.Commit, error) {
			return chain.Commit{}, nil
		})
	})
}

func TestRedisAwayIsNotTheStepsFault(t *testing.T) {
	t.Parallel()
	_, err := wire.Open(t.Context(), "unix:///nowhere/redis.sock")
	require.True(t, wire.IsUnavailable(err), err)
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: "/nowhere/redis.sock"})
	defer func() { _ = rdb.Close() }()
	m := chaintest.Message{
		Body:     []byte(`{"by":1}`),
		Delivery: wire.Delivery{Topic: "test.add", Group: "g", ID: "1-1", Token: "t"},
	}
	answer := call(t, adder, m.Request(chain.WithRedis(t.Context(), rdb)))
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	require.NotEmpty(t, answer.Header.Get(wire.HeaderInternal))
}

// TestErrorsOfAStepAreLogged, on one line each: the answer goes to the dispatcher, and the operator reads the
// function's log.
func TestErrorsOfAStepAreLogged(t *testing.T) { // not parallel: the log is the process's
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	for body, want := range map[string]string{
		`{"by":13}`:  `attempt 1: The step failed: "bad luck"`,
		`{"by":14}`:  `attempt 1: Cannot be done: "never"`,
		`{"by":-1}`:  `attempt 1: Refused: "by is negative"`,
		`{"by":"x"}`: `attempt 1: Malformed message: "message `,
	} {
		ctx, _, m := pending(t, chaintest.Mini(t), body)
		logged.Reset()
		call(t, adder, m.Request(ctx))
		require.Contains(t, logged.String(), "message "+m.ID+" of test.add, "+want)
		require.Equal(t, 1, strings.Count(logged.String(), "\n"))
	}
	ctx, _, m := pending(t, chaintest.Mini(t), `{"by":1}`)
	logged.Reset()
	call(t, adder, m.Request(ctx))
	require.Empty(t, logged.String())
}

func TestNetworkErrorOfAStepIsAFailureOfTheStep(t *testing.T) {
	t.Parallel()
	rdb := chaintest.Redis(t)
	ctx, _, m := pending(t, rdb, `{"by":1}`)
	mail := chain.Handle("test.add", func(ctx context.Context, _ add) (chain.Commit, error) {
		_, err := new(net.Dialer).DialContext(ctx, "unix", "/nowhere/mail.sock")
		return chain.Commit{}, err
	})
	answer := call(t, mail, m.Request(ctx))
	require.Equal(t, http.StatusInternalServerError, answer.StatusCode)
	require.Empty(t, answer.Header.Get(wire.HeaderInternal), "it is an attempt")
}

// TestRedisThatTakesConnectionsAndSaysNothingIsAway is what a stopped Redis looks like: its kernel still
// takes connections.
func TestRedisThatTakesConnectionsAndSaysNothingIsAway(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	opt := &redis.Options{
		Addr:        silent.Addr().String(),
		DialTimeout: 50 * time.Millisecond,
		ReadTimeout: 50 * time.Millisecond,
	}
	wire.Tune(opt)
	rdb := redis.NewClient(opt)
	defer func() { _ = rdb.Close() }()
	err = rdb.Get(t.Context(), "x").Err()
	require.Error(t, err)
	require.True(t, wire.IsUnavailable(err), "%T: %v", err, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, wire.IsUnavailable(rdb.Get(gone, "x").Err()), "it was the caller who left")
}

func TestFullRedisStillSettlesAndTakesNothingOn(t *testing.T) {
	t.Parallel()
	rdb := chaintest.Full(t)
	ctx, sub, m := pending(t, rdb.Client, `{"by":2}`)
	rdb.Fill(t)
	_, err := chain.Commit{Script: count, Args: add{1}}.Apply(ctx, rdb)
	require.ErrorContains(t, err, "OOM")
	require.True(t, wire.IsUnavailable(err))
	require.Equal(t, "nothing", sum(t, rdb.Client))

	require.Equal(t, http.StatusOK, call(t, adder, m.Request(ctx)).StatusCode)
	require.Equal(t, "2", sum(t, rdb.Client))
	require.Zero(t, rdb.XLen(ctx, sub.Stream).Val())
}

func TestACallByTheClockIsNoMessage(t *testing.T) {
	t.Parallel()
	h := http.Header{wire.HeaderScheduleTime: {"2024-05-06T00:00:00Z"}}
	wire.Delivery{Topic: wire.TopicCron, Group: "adder", ID: "1-1", Token: "t", Attempt: 1}.SetHeader(h)
	d, ok := wire.DeliveryOf(h)
	require.False(t, ok)
	require.Equal(t, "1-1", d.ID)
	answer := call(t, adder, handler.Request{Header: h, Method: http.MethodPost})
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	require.Contains(t, detailOf(answer),
		"This is a scheduled invocation, and the function only takes messages of the topic test.add")
}

func TestRedisThatStandsStillIsAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel connects, and nobody answers
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	opt := &redis.Options{Addr: l.Addr().String(), ReadTimeout: 10 * time.Millisecond, MaxRetries: -1}
	wire.Tune(opt)
	rdb := redis.NewClient(opt)
	defer func() { _ = rdb.Close() }()
	err = rdb.Ping(t.Context()).Err()
	require.Error(t, err)
	require.True(t, wire.IsUnavailable(err), "%T: %v", err, err)
}
