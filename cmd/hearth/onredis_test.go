package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

// TestQueuesAndDeadLettersDirectlyOnRedis: an operator of a stock gateway has no other way.
func TestQueuesAndDeadLettersDirectlyOnRedis(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	queue, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	defer func() { _ = queue.Close() }()
	sub := redis.TopicOf(hearth.Name{Function: "oven", Namespace: hearth.DefaultNamespace}, "bakery.dough")
	_, err = queue.SubscribeAll(t.Context(), []wire.Subscription{sub})
	require.NoError(t, err)
	var ids []string
	for _, body := range []string{"flour", "sugar", "salt"} {
		ids = append(ids, chaintest.Put(t, raw, "bakery.dough", body))
	}
	b, err := queue.Take(t.Context(), sub, 3, redis.Holder{Instance: "connector", Lease: time.Minute})
	require.NoError(t, err)
	require.Len(t, b.Deliveries, 3)
	for _, d := range b.Deliveries {
		_, err := queue.Bury(t.Context(), sub, d, redis.Failure{At: time.Now(), Attempt: 1,
			Reason: "answered 404 Not Found", Status: 404}, nil)
		require.NoError(t, err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(&bytes.Buffer{})
		root.SetArgs(append(args, "--redis", chaintest.URL(raw), "--gateway", "http://127.0.0.1:1"))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"queues"}, `oven:bakery.dough +0 +0 +0 +0 +3`},
		{[]string{"dead", "list"}, "answered 404 Not Found"},
		{[]string{"dead", "list", "--status", "500"}, "no dead letters"},
		{[]string{"dead", "show", "oven:bakery.dough", ids[0]}, "body +flour"},
		{[]string{"dead", "export"}, `(?s)"queue":"oven:bakery.dough".*\n.*"queue":.*\n.*"queue":`},
		{[]string{"dead", "redrive", "oven:bakery.dough", ids[0]}, "redriven 1"},
		{[]string{"dead", "purge", "--all", "--yes", "--status", "404"}, "purged 2"},
		{[]string{"queues"}, `oven:bakery.dough +1 +1 +0 +0 +0`},
	} {
		out, err := run(test.args...)
		require.NoError(t, err, test.args)
		require.Regexp(t, test.want, out, test.args)
	}
	_, err = run("dead", "show", "oven:bakery.dough", ids[1])
	require.ErrorContains(t, err, "there is no dead letter")
	_, err = run("dead", "list", "--queue", "oven:nothing")
	require.ErrorContains(t, err, "there is no queue")
}

// TestPasswordOfRedisIsInNoArgument is not parallel: it changes the environment.
func TestPasswordOfRedisIsInNoArgument(t *testing.T) {
	t.Setenv("REDISCLI_AUTH", "p@ss word")
	for address, want := range map[string]string{
		"redis://10.62.0.1:6379":        "redis://:p%40ss%20word@10.62.0.1:6379",
		"redis://me@10.62.0.1:6379/2":   "redis://me:p%40ss%20word@10.62.0.1:6379/2",
		"redis://:other@10.62.0.1:6379": "redis://:other@10.62.0.1:6379",
	} {
		require.Equal(t, want, withPassword(address))
	}
	t.Setenv("REDISCLI_AUTH", "")
	require.Equal(t, "redis://10.62.0.1:6379", withPassword("redis://10.62.0.1:6379"))
}
