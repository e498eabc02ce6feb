package redis_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/record"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

const (
	functionsKey  = "{hearth}:functions"
	namespacesKey = "{hearth}:namespaces"
)

func deployed(name string, change ...func(*hearth.Function)) hearth.Function {
	f := hearth.Function{
		Replicas:   1,
		CreatedAt:  time.Now().UTC(),
		DeployedAt: time.Now().UTC(),
		Revision:   "r",
		Generation: time.Now().UnixNano(),
	}
	f.Service, f.Namespace, f.Image = name, "openfaas-fn", "x/"+name
	for _, c := range change {
		c(&f)
	}
	if parsed, err := hearth.Parse(f.FunctionDeployment); err == nil {
		f.Options = parsed.Options
	}
	return f
}

// reasons are why records are not used, by kind and name.
func reasons(c *redis.Client) map[string]string {
	found := map[string]string{}
	for _, r := range c.BadRecords() {
		found[r.Kind+" "+r.Name] = r.Reason
	}
	return found
}

// reopened is the client of an instance with the same state directory, or a new one.
func reopened(t *testing.T, raw goredis.UniversalClient, key record.Key, memory string) *redis.Client {
	t.Helper()
	c, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	m, err := record.OpenMemory(memory)
	require.NoError(t, err)
	c.UseRecords(redis.Records{Key: key, Memory: m})
	return c
}

func TestAFunctionsRecordThatNobodyDeployedIsNotUsed(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	q := open(t, raw)
	good := deployed("oven")
	require.NoError(t, q.SaveFunction(t.Context(), good, "me"))
	kept := raw.HGet(t.Context(), functionsKey, "oven.openfaas-fn").Val()
	signed := func(field string, f hearth.Function) string {
		text, err := json.Marshal(f)
		require.NoError(t, err)
		return string(recordKey.SignJSON(functionsKey, field, text))
	}
	unsigned, err := json.Marshal(deployed("thief", func(f *hearth.Function) {
		f.Namespace, f.Secrets = "..", []string{"basic-auth-password", "secret-key"}
	}))
	require.NoError(t, err)
	for field, c := range map[string]struct{ text, why string }{
		"thief...":          {string(unsigned), "not signed"},
		"no-json.ns":        {"what?", "not signed"},
		"empty.ns":          {"", "not signed"},
		"baker.openfaas-fn": {kept, "does not fit"},
		"../../x.ns":        {signed("../../x.ns", deployed("../../x")), "the function name"},
		"up...": {
			signed("up...", deployed("up", func(f *hearth.Function) { f.Namespace = ".." })),
			"the namespace",
		},
		"path.openfaas-fn": {
			signed("path.openfaas-fn", deployed("path", func(f *hearth.Function) {
				f.Secrets = []string{"../../secret-key"}
			})),
			"the secret name",
		},
		"image.openfaas-fn": {
			signed("image.openfaas-fn", deployed("image", func(f *hearth.Function) { f.Image = "" })),
			"image is missing",
		},
		"other.openfaas-fn": {signed("other.openfaas-fn", deployed("another")), "another name"},
		"theirs.openfaas-fn": {
			string(record.NewKey([]byte("x")).SignJSON(functionsKey, "theirs.openfaas-fn", unsigned)),
			"another secret-key",
		},
		"topic.openfaas-fn": {signed("topic.openfaas-fn", deployed("topic", func(f *hearth.Function) {
			f.Annotations = &map[string]string{"topic": "hearth.functions"}
		})), "Hearth's own"},
	} {
		require.NoError(t, raw.HSet(t.Context(), functionsKey, field, c.text).Err())
		v, err := q.Look(t.Context())
		require.NoError(t, err, field)
		require.Len(t, v.Functions, 1, field)
		require.Equal(t, good.Revision, v.Functions[good.Name()].Revision, field)
		require.Contains(t, reasons(q.Client)["function "+field], c.why, field)

		v, err = q.LookAt(t.Context(), good.Name())
		require.NoError(t, err)
		require.Len(t, v.Functions, 1)
		require.NoError(t, q.RemoveRecord(t.Context(), redis.KindFunction, field, "me"))
		require.Empty(t, reasons(q.Client))
		require.False(t, raw.HExists(t.Context(), functionsKey, field).Val())
		require.Equal(t, hearth.NotFound,
			hearth.CodeOf(q.RemoveRecord(t.Context(), redis.KindFunction, "oven.openfaas-fn", "me")),
			"a good one stays")
	}
}

func TestAnOlderSpecThatIsPutBackIsNotUsed(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), filepath.Join(t.TempDir(), "records.json")
	c := reopened(t, raw, recordKey, state)
	first := deployed("oven")
	first.Generation = c.NextGeneration(first.Name(), 0)
	require.NoError(t, c.SaveFunction(t.Context(), first, "me"))
	old := raw.HGet(t.Context(), functionsKey, "oven.openfaas-fn").Val()
	second := first
	second.Generation = c.NextGeneration(first.Name(), first.Generation)
	require.Greater(t, second.Generation, first.Generation)
	require.NoError(t, c.SaveFunction(t.Context(), second, "me"))
	putBack := func() {
		require.NoError(t, raw.HSet(t.Context(), functionsKey, "oven.openfaas-fn", old).Err())
	}
	putBack()
	c = reopened(t, raw, recordKey, state) // after a restart, too
	v, err := c.Look(t.Context())
	require.NoError(t, err)
	require.Empty(t, v.Functions)
	require.True(t, v.Outdated[first.Name()])
	require.Contains(t, reasons(c)["function oven.openfaas-fn"], "older")

	require.NoError(t, c.DeleteFunction(t.Context(), first.Name(), nil, "me"))
	for _, text := range []string{old, string(signedJSON(t, second))} {
		require.NoError(t, raw.HSet(t.Context(), functionsKey, "oven.openfaas-fn", text).Err())
		v, err = c.LookAt(t.Context(), first.Name())
		require.NoError(t, err)
		require.Empty(t, v.Functions, "what was removed does not come back")
	}
	third := first
	third.Generation = c.NextGeneration(first.Name(), 0)
	require.NoError(t, c.SaveFunction(t.Context(), third, "me"))
	v, err = c.LookAt(t.Context(), first.Name())
	require.NoError(t, err)
	require.Equal(t, third.Generation, v.Functions[first.Name()].Generation)
	require.Empty(t, c.BadRecords())
}

func signedJSON(t *testing.T, f hearth.Function) []byte {
	t.Helper()
	text, err := json.Marshal(f)
	require.NoError(t, err)
	return recordKey.SignJSON(functionsKey, f.Name().String(), text)
}

func TestAForgedNamespaceIsNone(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		require.NoError(t,
			q.CreateNamespace(t.Context(),
				types.FunctionNamespace{Name: "shop", Labels: map[string]string{"a": "b"}}))
		kept := q.raw.HGet(t.Context(), namespacesKey, "shop").Val()
		for field, text := range map[string]string{
			"..":     `{"name":".."}`,
			"forged": `{"name":"forged"}`,
			"moved":  kept,
			"text":   "x",
		} {
			require.NoError(t, q.raw.HSet(t.Context(), namespacesKey, field, text).Err())
		}
		names, err := q.Namespaces(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"shop"}, names)
		require.Len(t, q.BadRecords(), 4)
		_, ok, err := q.Namespace(t.Context(), "forged")
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, hearth.NotFound,
			hearth.CodeOf(q.UpdateNamespace(t.Context(), types.FunctionNamespace{Name: "forged"})))
		require.NoError(t, q.CreateNamespace(t.Context(), types.FunctionNamespace{Name: "forged"}),
			"an operator may make it all the same")
		_, ok, err = q.Namespace(t.Context(), "forged")
		require.NoError(t, err)
		require.True(t, ok)
		require.Len(t, q.BadRecords(), 3)
		require.NoError(t, q.DeleteNamespace(t.Context(), "text"), "or remove it")
		require.NoError(t, q.RemoveRecord(t.Context(), redis.KindNamespace, "..", "me"))
		names, err = q.Namespaces(t.Context())
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"shop", "forged"}, names)
		require.Len(t, q.BadRecords(), 1)
	})
}

func TestForgedUsageIsNotCounted(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		monday, tuesday := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC),
			time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
		require.NoError(t,
			q.KeepUsage(t.Context(), monday,
				[]redis.Used{{Function: "oven.a", Instance: "me", Value: []byte("1")}}, time.Hour))
		const key = "{hearth}:usage:2026-03-02"
		kept := q.raw.HGet(t.Context(), key, "oven.a me").Val()
		for field, text := range map[string]string{
			"oven.a you": kept,
			"baker.a me": "\x01forged",
			"nospace":    "x",
		} {
			require.NoError(t, q.raw.HSet(t.Context(), key, field, text).Err())
		}
		require.NoError(t, q.raw.HSet(t.Context(), "{hearth}:usage:2026-03-03", "oven.a me", kept).Err())
		used, err := q.Usage(t.Context(), monday)
		require.NoError(t, err)
		require.Equal(t, []redis.Used{{Function: "oven.a", Instance: "me", Value: []byte("1")}}, used)
		used, err = q.Usage(t.Context(), tuesday)
		require.NoError(t, err)
		require.Empty(t, used)
		require.Len(t, q.BadRecords(), 4)
		for _, r := range q.BadRecords() {
			require.NoError(t, q.RemoveRecord(t.Context(), r.Kind, r.Name, "me"))
		}
		require.EqualValues(t, 1, q.raw.HLen(t.Context(), key).Val())
	})
}

func TestASubscriptionThatNoFunctionCanHaveIsNotUsed(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	q := open(t, raw)
	strange := []string{"{hearth}:functions oven.openfaas-fn", "{hearth}.x oven.openfaas-fn",
		"{shop}.opened ../x", "{fn:baker.a}.calls oven.openfaas-fn", "x", "", "{shop} a.b"}
	for _, field := range strange {
		require.NoError(t, raw.HSet(t.Context(), "{hearth}:subscriptions", field, 1).Err())
	}
	require.NoError(t,
		raw.HSet(t.Context(), "{hearth}:subscriptions", "{shop}.opened oven.openfaas-fn", 1).Err())
	want := []wire.Subscription{q.sub, {Stream: "{shop}.opened", Group: "oven.openfaas-fn"}}
	subs, err := q.Subscriptions(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, want, subs)
	v, err := q.Look(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, want, v.Subscriptions)
	require.Len(t, q.BadRecords(), len(strange))
}

func TestAKeyOfTheWrongTypeIsPutAside(t *testing.T) {
	servers(t, func(t *testing.T, q queue) {
		for _, key := range []string{functionsKey, "{hearth}:subscriptions", "{hearth}:changes",
			"{hearth}:namespaces", "{hearth}:secrets", "{hearth}:left"} {
			require.NoError(t, q.raw.Del(t.Context(), key).Err())
			require.NoError(t, q.raw.Set(t.Context(), key, "x", 0).Err())
		}
		require.NoError(t, q.raw.LPush(t.Context(), "{hearth}:epoch", "x").Err())
		require.NoError(t, q.Mend(t.Context()))
		_, err := q.Epoch(t.Context())
		require.NoError(t, err)
		v, err := q.Look(t.Context())
		require.NoError(t, err)
		require.Empty(t, v.Functions)
		require.Len(t, q.BadRecords(), 7)
		require.NoError(t, q.SaveFunction(t.Context(), deployed("oven"), "me"))
		require.NoError(t, q.raw.Del(t.Context(), functionsKey).Err())
		require.NoError(t, q.raw.Set(t.Context(), functionsKey, "x", 0).Err(), "also while a hearth runs")
		require.NoError(t, q.SaveFunction(t.Context(), deployed("oven"), "me"))
		v, err = q.Look(t.Context())
		require.NoError(t, err)
		require.Len(t, v.Functions, 1)
		for _, r := range q.BadRecords() {
			require.NoError(t, q.RemoveRecord(t.Context(), r.Kind, r.Name, "me"))
		}
	})
}

func TestALeaseThatNobodyHoldsKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	raw := chaintest.Redis(t)
	q := open(t, raw)
	for what, forge := range map[string]func(key string) error{
		"without an end": func(key string) error {
			return raw.Set(t.Context(), key, "other token note", 0).Err()
		},
		"for a year": func(key string) error {
			return raw.Set(t.Context(), key, "other token note", 365*24*time.Hour).Err()
		},
		"of another type": func(key string) error { return raw.LPush(t.Context(), key, "x").Err() },
	} {
		require.NoError(t,
			raw.Del(t.Context(), "{hearth}:instance:me", "{hearth}:changing:oven.openfaas-fn").Err())
		require.NoError(t, forge("{hearth}:instance:me"), what)
		require.NoError(t, forge("{hearth}:changing:oven.openfaas-fn"), what)
		release, err := q.ClaimInstance(t.Context(), "me", "here", "note", func() {}, func(string) {})
		require.NoError(t, err, what)
		end, err := q.BeginChange(t.Context(), fn, "me")
		require.NoError(t, err, what)
		end()
		release()
	}
}

func TestRecordsOfAVersionWithoutSignaturesAreTakenOverOnce(t *testing.T) {
	t.Parallel()
	before := func(t *testing.T, raw goredis.UniversalClient) {
		for _, name := range []string{"oven", "baker"} {
			f := deployed(name)
			f.Generation = 0
			text, err := json.Marshal(f)
			require.NoError(t, err)
			require.NoError(t, raw.HSet(t.Context(), functionsKey, name+".openfaas-fn", text).Err())
		}
		require.NoError(t,
			raw.HSet(t.Context(), functionsKey, "thief...", `{"service":"thief","namespace":".."}`).Err())
		require.NoError(t, raw.HSet(t.Context(), namespacesKey, "shop", `{"name":"shop"}`).Err())
		day := "{hearth}:usage:" + time.Now().UTC().Format(time.DateOnly)
		require.NoError(t,
			raw.HSet(t.Context(), day, "oven.openfaas-fn me", "\x011", "oven.openfaas-fn you", "\x012").Err())
	}
	usage := func(t *testing.T, c *redis.Client) int {
		used, err := c.Usage(t.Context(), time.Now())
		require.NoError(t, err)
		return len(used)
	}
	for _, c := range []struct {
		name                     string
		used, all, signed        bool
		functions, shops, values int
	}{
		{"upgraded", true, false, false, 2, 1, 2},
		{"new", false, false, false, 0, 0, 0},
		{"after another instance", true, false, true, 1, 0, 1},
		{"asked for", false, true, true, 3, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			raw, state := chaintest.Redis(t), filepath.Join(t.TempDir(), "records.json")
			before(t, raw)
			if c.signed {
				require.NoError(t,
					reopened(t, raw, recordKey, filepath.Join(t.TempDir(), "x")).SaveFunction(t.Context(),
						deployed("server"), "you"))
			}
			if !c.used {
				m, err := record.OpenMemory(state)
				require.NoError(t, err)
				require.NoError(t, m.SetAdopted())
			}
			client := reopened(t, raw, recordKey, state)
			done, err := client.Adopt(t.Context(), "me", c.all)
			require.NoError(t, err)
			v, err := client.Look(t.Context())
			require.NoError(t, err)
			require.Len(t, v.Functions, c.functions, fmt.Sprint(done))
			names, err := client.Namespaces(t.Context())
			require.NoError(t, err)
			require.Len(t, names, c.shops)
			require.Equal(t, c.values, usage(t, client))

			// Once: what comes later without a signature is a stranger's.
			before(t, raw)
			client = reopened(t, raw, recordKey, state)
			done, err = client.Adopt(t.Context(), "me", false)
			require.NoError(t, err)
			require.Equal(t, redis.Adopted{}, done)
		})
	}
}

func TestRecordsOfALostKeyAreTakenOverIfAskedFor(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), filepath.Join(t.TempDir(), "records.json")
	require.NoError(t,
		reopened(t, raw, record.NewKey([]byte("lost")),
			filepath.Join(t.TempDir(), "x")).SaveFunction(t.Context(), deployed("oven"), "me"))
	c := reopened(t, raw, recordKey, state)
	_, err := c.Adopt(t.Context(), "me", false)
	require.NoError(t, err)
	v, err := c.Look(t.Context())
	require.NoError(t, err)
	require.Empty(t, v.Functions)
	require.Contains(t, c.BadRecords()[0].Fix, "--adopt-records")
	_, err = c.Adopt(t.Context(), "me", true)
	require.NoError(t, err)
	v, err = c.Look(t.Context())
	require.NoError(t, err)
	require.Len(t, v.Functions, 1)
	require.Empty(t, c.BadRecords())
}

func TestAFullRedisIsTakenOverToo(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	f := deployed("oven")
	text, err := json.Marshal(f)
	require.NoError(t, err)
	require.NoError(t, full.HSet(t.Context(), functionsKey, "oven.openfaas-fn", text).Err())
	full.Fill(t)
	c := reopened(t, full.Client, recordKey, filepath.Join(t.TempDir(), "x"))
	done, err := c.Adopt(t.Context(), "me", false)
	require.NoError(t, err, "an instance must start while Redis is full, to empty it")
	require.Equal(t, 1, done.Functions)
}

func TestAClientWithoutAKeyReadsAndWritesNoRecords(t *testing.T) {
	t.Parallel()
	c, err := redis.Open(t.Context(), chaintest.URL(chaintest.Redis(t)))
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.ErrorContains(t, c.SaveFunction(t.Context(), deployed("oven"), "me"), "no key")
	_, err = c.Look(t.Context())
	require.ErrorContains(t, err, "no key")
	require.ErrorContains(t, c.CreateNamespace(t.Context(), types.FunctionNamespace{Name: "shop"}), "no key")
	require.ErrorContains(t, c.KeepUsage(t.Context(), time.Now(), nil, time.Hour), "no key")
}
