package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	platform "github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/redisserver"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// What a function can do with its Redis address.

// guarded is a redis-server of the test with a password, like a private one.
func guarded(t *testing.T) *redisserver.Server {
	t.Helper()
	if _, _, err := redisserver.Find(t.Context()); err != nil {
		t.Skip("needs a redis-server in PATH: miniredis has no users")
	}
	dir, err := os.MkdirTemp("", "guarded-")
	require.NoError(t, err)
	s, err := redisserver.Start(t.Context(), redisserver.Config{
		Dir:       dir,
		Socket:    filepath.Join(dir, "s"),
		Password:  "hush",
		Fsync:     "no",
		MaxMemory: "100mb",
		Log:       slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, os.RemoveAll(dir))
	})
	return s
}

func connectTo(t *testing.T, address string) redis.UniversalClient {
	t.Helper()
	rdb, err := wire.Open(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// withRedis sets a function's REDIS_URL, as stack.yml does.
func withRedis(address string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { d.EnvVars["REDIS_URL"] = address }
}

// asFunction is a Redis client with a function's environment.
func (n *testNode) asFunction(name string) redis.UniversalClient {
	n.t.Helper()
	_, address := n.do(http.MethodGet, "/function/"+name+"?env=REDIS_URL", "")
	return connectTo(n.t, address)
}

// attacks are writes to Redis that try to make an instance do what nobody deployed.
func attacks(t *testing.T, admin redis.UniversalClient) map[string][]any {
	t.Helper()
	spec := func(service, namespace string, secrets ...string) string {
		text, err := json.Marshal(hearth.Function{
			Replicas:   1,
			DeployedAt: time.Now(),
			Revision:   "r",
			Generation: 1 << 62,
			FunctionDeployment: types.FunctionDeployment{Service: service, Namespace: namespace,
				Image: probeImage, Secrets: secrets},
		})
		require.NoError(t, err)
		return string(text)
	}
	const functions = "{hearth}:functions"
	moved := func(key, field string) string {
		value, err := admin.HGet(t.Context(), key, field).Result()
		require.NoError(t, err)
		return value
	}
	return map[string][]any{
		"function thief...": {"HSET", functions, "thief...",
			spec("thief", "..", "basic-auth-password", "secret-key")},
		"function ../../x.openfaas-fn": {"HSET", functions, "../../x.openfaas-fn",
			spec("../../x", "openfaas-fn")},
		"function garbage.openfaas-fn": {"HSET", functions, "garbage.openfaas-fn", "this is not JSON"},
		"function forged.openfaas-fn": {"HSET", functions, "forged.openfaas-fn",
			spec("forged", "openfaas-fn")},
		"function copied.openfaas-fn": {"HSET", functions, "copied.openfaas-fn",
			moved(functions, "probe.openfaas-fn")},
		"secret openfaas-fn/theirs": {"HSET", "{hearth}:secrets", "openfaas-fn/theirs",
			moved("{hearth}:secrets", "openfaas-fn/key")},
		"secret ../basic-auth-password": {"HSET", "{hearth}:secrets", "../basic-auth-password",
			moved("{hearth}:secrets", "openfaas-fn/key")},
		"namespace forged": {"HSET", "{hearth}:namespaces", "forged", `{"name":"forged"}`},
		"namespace ..":     {"HSET", "{hearth}:namespaces", "..", `{"name":".."}`},
		"subscription x y": {"HSET", "{hearth}:subscriptions", "x y", "1"},
		"usage " + time.Now().UTC().Format(time.DateOnly) +
			" probe.openfaas-fn me": {"HSET", "{hearth}:usage:" + time.Now().UTC().Format(time.DateOnly),
			"probe.openfaas-fn me", "\x01forged"},
	}
}

// target is an instance with a function that was deployed twice, a secret and a namespace.
// old is the record of the first deployment.
func target(t *testing.T, n *testNode, admin redis.UniversalClient, address string) (old string) {
	t.Helper()
	_, err := n.client.CreateSecret(t.Context(), types.Secret{Name: "key", Value: "value"})
	require.NoError(t, err)
	_, err = n.client.CreateSecret(t.Context(), types.Secret{Name: "theirs", Value: "their value"})
	require.NoError(t, err)
	n.deploy("probe", withRedis(address), onTopic("shop.opened"),
		func(d *types.FunctionDeployment) { d.EnvVars["V"] = "1" })
	old = admin.HGet(t.Context(), "{hearth}:functions", "probe.openfaas-fn").Val()
	n.update(withRedis(address), onTopic("shop.opened"), func(d *types.FunctionDeployment) {
		d.EnvVars["V"], d.Secrets = "2", []string{"theirs"}
	})
	n.says("env=V", "2")
	return old
}

func TestRedisUserReachesOnlyItsTopics(t *testing.T) {
	t.Parallel()
	server := guarded(t)
	admin := connectTo(t, server.URL)
	public := strings.Replace(server.URL, ":hush@", "", 1)
	require.NotContains(t, public, "hush")
	n := startTestNode(t, chaintest.Redis(t), t.TempDir(), func(c *nodeConfig) { c.RedisURL = server.URL })
	old := target(t, n, admin, public)
	fn := n.asFunction("probe")

	bad := attacks(t, admin)
	bad["replay"] = []any{"HSET", "{hearth}:functions", "probe.openfaas-fn", old}
	for _, command := range []string{"FLUSHALL", "CONFIG GET requirepass", "ACL LIST",
		"ACL SETUSER default nopass", "SCRIPT FLUSH", "FUNCTION FLUSH", "KEYS *", "SCAN 0",
		"RANDOMKEY", "CLIENT LIST", "CLIENT KILL TYPE normal", "MONITOR", "SHUTDOWN", "SAVE", "SELECT 1",
		"REPLICAOF NO ONE", "MODULE LIST", "PUBSUB CHANNELS",
		"GET {hearth}:epoch", "DEL {hearth}:functions", "XADD {fn:probe.openfaas-fn}.calls * body x",
		"XADD {other}.topic * body x", "PUBLISH {other}:events x",
		"SUBSCRIBE {other}:events", "RENAME {shop}:a {hearth}:functions",
		"COPY {hearth}:secrets {shop}:mine"} {
		var words []any
		for word := range strings.FieldsSeq(command) {
			words = append(words, word)
		}
		bad[command] = words
	}
	for _, script := range []string{"return redis.call('HGETALL', '{hearth}:secrets')",
		"return redis.call('FLUSHALL')"} {
		bad[script] = []any{"EVAL", script, 0}
	}
	for what, command := range bad {
		err := fn.Do(t.Context(), command...).Err()
		require.Error(t, err, what)
		require.Regexp(t, "NOPERM|No permissions|no permissions|can't (run this command|access at least one)",
			err.Error(), what)
	}
	_, err := wire.Open(t.Context(), public)
	require.ErrorContains(t, err, "NOAUTH", "without a user nobody gets in")

	// The commands that chain needs are allowed.
	for _, command := range [][]any{
		{"XADD", "{shop}.opened", "*", "body", "x"}, {"SET", "{shop}:a", "1", "PX", 100},
		{"EXPIRE", "{shop}:a", 10}, {"ZADD", "{shop}:z", 1, "m"}, {"PUBLISH", "{shop}:events", "x"},
		{"EVAL", "redis.call('HSET', KEYS[1], 'a', 'b') return redis.call('TIME')", 1, "{shop}:h"},
		{"INFO", "cluster"}, {"TYPE", "{shop}:h"}, {"DEL", "{shop}:h"}, {"PING"},
	} {
		require.NoError(t, fn.Do(t.Context(), command...).Err(), command)
	}
	require.Empty(t, n.queue.BadRecords())
	n.says("env=V", "2")

	// Each function has its own address, which is not in its spec.
	require.NotContains(t, admin.HGet(t.Context(), "{hearth}:functions", "probe.openfaas-fn").Val(), "hush")
	_, mine := n.do(http.MethodGet, "/function/probe?env=REDIS_URL", "")
	n.deploy("cart", withRedis(public),
		func(d *types.FunctionDeployment) { (*d.Annotations)["com.hearth.redis.keys"] = "cart:*" })
	_, theirs := n.do(http.MethodGet, "/function/cart?env=REDIS_URL", "")
	require.NotEqual(t, mine, theirs)
	require.NotContains(t, mine+theirs, "hush")
	cart := connectTo(t, theirs)
	require.NoError(t, cart.Set(t.Context(), "cart:1", "x", 0).Err())
	require.ErrorContains(t, cart.Set(t.Context(), "{shop}:a", "x", 0).Err(), "NOPERM")
}

func TestLostRedisUsersAreRestored(t *testing.T) {
	t.Parallel()
	server := guarded(t)
	admin := connectTo(t, server.URL)
	n := startTestNode(t, chaintest.Redis(t), t.TempDir(), func(c *nodeConfig) { c.RedisURL = server.URL })
	n.deploy("probe", withRedis(strings.Replace(server.URL, ":hush@", "", 1)), onTopic("shop.opened"))
	_, address := n.do(http.MethodGet, "/function/probe?env=REDIS_URL", "")
	u, err := url.Parse(address)
	require.NoError(t, err)
	file, err := os.ReadFile(filepath.Join(filepath.Dir(u.Path), "users.acl"))
	require.NoError(t, err)
	require.Contains(t, string(file), "user "+u.User.Username()+" ", "it outlives a restart of the server")
	require.NoError(t, admin.Do(t.Context(), "ACL", "DELUSER", u.User.Username()).Err())
	eventually(t, func() bool {
		rdb := connectTo(t, server.URL)
		return rdb.Do(t.Context(), "ACL", "GETUSER", u.User.Username()).Err() == nil
	})
	require.NoError(t, connectTo(t, address).XAdd(t.Context(),
		&redis.XAddArgs{Stream: "{shop}.opened", Values: []string{"body", "x"}}).Err())
}

func TestRedisUsersOnACluster(t *testing.T) {
	t.Parallel()
	c := chaintest.Cluster(t)
	n := onCluster(t, c, c.Nodes[0])
	address := "redis://" + c.Nodes[1].Addr
	n.deploy("probe", func(d *types.FunctionDeployment) {
		d.EnvVars["REDIS_URL"] = "redis://" + c.Nodes[0].Addr + "?addr=" + c.Nodes[1].Addr
	}, onTopic("shop.opened"))
	fn := n.asFunction("probe")
	for i := range 20 { // slots are spread over the nodes
		n.deploy(fmt.Sprint("f", i), func(d *types.FunctionDeployment) {
			d.EnvVars["REDIS_URL"] = "redis://" +
				c.Nodes[0].Addr
		}, onTopic(fmt.Sprintf("tag%d.x", i)))
		rdb := n.asFunction(fmt.Sprint("f", i))
		require.NoError(t, rdb.Set(t.Context(), fmt.Sprintf("{tag%d}:a", i), "x", 0).Err(), i)
		require.ErrorContains(t, rdb.Set(t.Context(), fmt.Sprintf("{other%d}:a", i), "x", 0).Err(), "NOPERM")
	}
	require.NoError(t, fn.XAdd(t.Context(), &redis.XAddArgs{Stream: "{shop}.opened",
		Values: []string{"body", "x"}}).Err())
	require.ErrorContains(t, fn.HSet(t.Context(), "{hearth}:functions", "a", "b").Err(), "NOPERM")
	require.NoError(t, connectTo(t, address).Ping(t.Context()).Err())
}

// TestForgedRecordsInRedisAreRejected: without Redis users of their own, functions can write anything, and
// an instance must believe none of it.
func TestForgedRecordsInRedisAreRejected(t *testing.T) {
	t.Parallel()
	raw, state, log := chaintest.Redis(t), t.TempDir(), &told{}
	shared := func(c *nodeConfig) { c.SharedRedis = true }
	n := startTestNode(t, raw, state, shared, log.config)
	old := target(t, n, raw, chaintest.URL(raw))
	fn := n.asFunction("probe")
	bad := attacks(t, raw)
	for what, command := range bad {
		require.NoError(t, fn.Do(t.Context(), command...).Err(), what)
	}
	check := func(n *testNode) {
		t.Helper()
		var found []platform.BadRecord
		eventually(t, func() bool {
			_, err := n.queue.Usage(t.Context(), time.Now())
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/records", nil, &found))
			return len(found) == len(bad)
		})
		for _, r := range found {
			require.Contains(t, bad, r.Kind+" "+r.Name)
			require.NotEmpty(t, r.Reason)
			require.NotEmpty(t, r.Fix)
		}
		list, err := n.client.GetFunctions(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, list, 1)
		var namespaces []string
		n.system(http.MethodGet, "/system/namespaces", nil, &namespaces)
		require.Equal(t, []string{"openfaas-fn"}, namespaces)
		n.says("secret=theirs", "their value")
		n.says("env=V", "2")
	}
	check(n)
	require.NoError(t, fn.HSet(t.Context(), "{hearth}:functions", "probe.openfaas-fn", old).Err())
	_, err := n.queue.Tell(t.Context(), hearth.Name{Function: "probe", Namespace: "openfaas-fn"}, "nobody")
	require.NoError(t, err)
	eventually(t, func() bool {
		return raw.HGet(t.Context(), "{hearth}:functions", "probe.openfaas-fn").Val() != old
	})
	check(n)

	n.end()
	for _, key := range []string{"{hearth}:epoch", "{hearth}:instance:" + n.instance, "{hearth}:left"} {
		require.NoError(t, raw.Del(t.Context(), key).Err())
		require.NoError(t, raw.LPush(t.Context(), key, "x").Err())
	}
	require.NoError(t, raw.HSet(t.Context(), "{hearth}:subscriptions",
		"{shop}.broken probe.openfaas-fn", 1).Err())
	require.NoError(t, raw.Set(t.Context(), "{shop}.broken", "no stream", 0).Err())
	n = startTestNode(t, raw, state, shared, log.config)
	var found []platform.BadRecord
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/records", nil, &found))
	for _, r := range found {
		if r.Kind == platform.KindKey {
			bad["key "+r.Name] = nil
		}
	}
	check(n)
	res, _ := n.do(http.MethodPost, "/async-function/probe", "x")
	require.Equal(t, http.StatusAccepted, res.StatusCode, "everything else works")
	require.NoFileExists(t, filepath.Join(state, "..", "x.openfaas-fn.log"))
	require.NoFileExists(t, filepath.Join(filepath.Dir(state), "x.openfaas-fn.log"))
	password, err := os.ReadFile(filepath.Join(state, "basic-auth-password"))
	require.NoError(t, err)
	require.Equal(t, n.credentials.Password, strings.TrimSpace(string(password)), "nothing was overwritten")

	// An operator can clean up by deploying, deleting, or with hearth records.
	n.deploy("forged")
	require.NoError(t, n.client.DeleteFunction(t.Context(), "garbage", ""))
	run := func(args ...string) string {
		out, err := n.run(args...)
		require.NoError(t, err, out)
		return out
	}
	require.Contains(t, run("records"), "function copied.openfaas-fn")
	require.Contains(t, run("list"), "hearth records shows why")
	require.Contains(t, run("records", "remove", "function", "copied.openfaas-fn"), "removed")
	run("records", "remove", "--all")
	require.Contains(t, run("records"), "no rejected records")
	require.NotContains(t, run("list"), "hearth records")
}

func TestUpgradeAdoptsExistingDeployments(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state)
	n.deploy("probe")
	_, err := n.client.CreateNamespace(t.Context(), types.FunctionNamespace{Name: "shop"})
	require.NoError(t, err)
	n.end()
	// The state of a version that did not sign records.
	for key, fields := range map[string][]string{"{hearth}:functions": {"probe.openfaas-fn"},
		"{hearth}:namespaces": {"shop"}} {
		for _, field := range fields {
			text := raw.HGet(t.Context(), key, field).Val()
			cut := strings.LastIndex(text, `,"mac":`)
			require.Positive(t, cut)
			require.NoError(t, raw.HSet(t.Context(), key, field, text[:cut]+"}").Err())
		}
	}
	unsigned := raw.HGet(t.Context(), "{hearth}:functions", "probe.openfaas-fn").Val()
	require.NoError(t, os.Remove(filepath.Join(state, "records.json")))
	log := &told{}
	n = startTestNode(t, raw, state, log.config)
	n.says("env=OPENFAAS_NAME", "probe")
	require.Contains(t, log.String(), "signed existing records")
	var namespaces []string
	n.system(http.MethodGet, "/system/namespaces", nil, &namespaces)
	require.Contains(t, namespaces, "shop")
	n.end()

	require.NoError(t, raw.HSet(t.Context(), "{hearth}:functions", "late.openfaas-fn",
		strings.ReplaceAll(unsigned, `"probe"`, `"late"`)).Err())
	n = startTestNode(t, raw, state)
	_, ok := n.registry.Function(hearth.Name{Function: "late", Namespace: "openfaas-fn"})
	require.False(t, ok, "once is enough")
	n.end()
	n = startTestNode(t, raw, state, func(c *nodeConfig) { c.AdoptRecords = true })
	_, ok = n.registry.Function(hearth.Name{Function: "late", Namespace: "openfaas-fn"})
	require.True(t, ok, "unless an operator says so")
}
