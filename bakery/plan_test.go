package bakery

import (
	"fmt"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// everything is all of Redis: what is in it, byte for byte.
func everything(t *testing.T, rdb redis.UniversalClient) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		all[key] = rdb.Dump(t.Context(), key).Val()
	}
	return all
}

// TestPlanThatFailsHasWrittenNothing lets each read of each script's plan fail in its turn.
func TestPlanThatFailsHasWrittenNothing(t *testing.T) {
	menu, err := ReadMenu("")
	require.NoError(t, err)
	tests := map[string]struct {
		name string
		args string
	}{
		"place": {"place", `{"id":"o2","digest":"d","customer":"Bob","price":1,"limit":100,` +
			`"items":[{"cookie":"scone","quantity":40,"tray":12},{"cookie":"brownie","quantity":1,` +
			`"tray":16}]`},
		"cancel":  {"cancel", `{"order":"o1"`},
		"serve":   {"serve", `{"order":"o1"`},
		"mix":     {"mix", `{"tray":"T3","cookie":"scone","recipe":{"flour":1}`},
		"refuse":  {"mix", `{"tray":"T3","cookie":"scone"`},
		"park":    {"mix", `{"tray":"T3","cookie":"scone","recipe":{"flour":1000000}`},
		"bake":    {"bake", `{"tray":"T2","cookie":"scone"`},
		"baked":   {"baked", `{"tray":"T2"`},
		"display": {"display", `{"tray":"T2"`},
		"restock": {"restock", `{"key":"r","digest":"d","amounts":{"flour":5},"menu":{"scone":true}`},
		"spoil":   {"spoil", `{"tray":"T2"`},
		"tidy":    {"tidy", `{"x":1`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := chaintest.Redis(t)
			in := WithConfig(chain.WithRedis(t.Context(), rdb),
				&Config{Menu: menu, Speed: 1e6, Patience: time.Hour, Keep: time.Hour})
			_, err := Restock(in, map[string]int{"flour": 1000}, "")
			require.NoError(t, err)
			run := func(name, args, prefix string) error {
				s := scriptWith(prefix, name, TopicBake, TopicDough, TopicBaked, TopicReady)
				_, err := chain.Commit{Script: s,
					Args: rawJSON(fmt.Sprintf(`%s,"patience":%d,"keep":1000000}`, args,
						time.Hour.Milliseconds()))}.Apply(in, rdb)
				return err
			}
			require.NoError(t,
				run("place", `{"id":"o1","digest":"d","customer":"Ada","price":1,"limit":100,`+
					`"items":[{"cookie":"scone","quantity":30,"tray":12}]`, ""))
			require.NoError(t, run("mix", `{"tray":"T2","cookie":"scone","recipe":{"flour":1}`, ""))

			before := everything(t, rdb)
			reads := 0
			for ; ; reads++ {
				err := run(tt.name, tt.args, fmt.Sprintf(`
					local real, n = redis.call, 0
					redis.call = function(...)
						n = n + 1
						if planning and n > %d then error('INJECTED') end
						return real(...)
					end
				`, reads))
				if err == nil {
					break
				}
				require.ErrorContains(t, err, "INJECTED")
				require.Equal(t, before, everything(t, rdb), "after %d reads", reads)
			}
			require.Positive(t, reads)
		})
	}
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }
