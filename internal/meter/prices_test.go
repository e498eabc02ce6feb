package meter

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/stretchr/testify/require"
)

func TestLambdaPricesMakeThePublishedExample(t *testing.T) {
	t.Parallel()
	// https://aws.amazon.com/lambda/pricing/, without its free tier: 3 million calls of a second, at 512 MB.
	u := Usage{Calls: 3_000_000, Busy: 3e9, BusyMemory: 3e9 * 512, Replica: 1e12, ReplicaMemory: 1e15}
	c := LambdaPrices().Cost(u)
	require.InDelta(t, .60, c.Calls, 1e-9)
	require.InDelta(t, 25.00, c.Busy, .01) // 1.5 million GB-s
	require.Zero(t, c.Replicas)
	require.InDelta(t, c.Calls+c.Busy, c.Total, 1e-12)
	u.Denied = 1_000_000
	require.InDelta(t, .40, LambdaPrices().Cost(u).Calls, 1e-9, "a call that got no replica costs nothing")
	u.Denied = 4_000_000
	require.Zero(t, LambdaPrices().Cost(u).Calls)
}

func TestPricesOfAFile(t *testing.T) {
	t.Parallel()
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "prices")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	want := Prices{Name: "our rack", Currency: "EUR", ReplicaGBSecond: .5, ReplicaHour: 2}
	for _, text := range []string{"name: our rack\ncurrency: EUR\nper_replica_gb_second: 0.5\n" +
		"per_replica_hour: 2\n",
		`{"name":"our rack","currency":"EUR","per_replica_gb_second":0.5,"per_replica_hour":2}`} {
		p, err := ReadPrices(write(text))
		require.NoError(t, err)
		require.Equal(t, want, p)
	}
	require.Equal(t, Cost{Replicas: 2 + 1, Total: 2 + 1},
		want.Cost(Usage{Calls: 9, Replica: 3_600_000, ReplicaMemory: 2000 * 1024}))
	for text, why := range map[string]string{
		"":                                    "EOF",
		"name: x":                             "a name and a currency",
		"name: x\ncurrency: USD\nper_call: 1": "per_call",
		"name: x\ncurrency: USD\nper_gb_second: -1":       "0 or more",
		"name: x\ncurrency: USD\nper_replica_hour: .inf":  "0 or more",
		"name: x\ncurrency: USD\nper_million_calls: .nan": "0 or more",
		"[]": "seq",
	} {
		_, err := ReadPrices(write(text))
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err), text)
		require.ErrorContains(t, err, why)
	}
	_, err := ReadPrices(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
