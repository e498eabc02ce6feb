package main

import (
	"encoding/csv"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/meter"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func limited(memory string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { d.Limits = &types.FunctionResources{Memory: memory} }
}

// TestBillCountsCallsOfEveryKind restarts the instance in between: the bill continues.
func TestBillCountsCallsOfEveryKind(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state)
	text, err := n.run("bill")
	require.NoError(t, err)
	require.Contains(t, text, "no usage in this period")

	n.deploy("probe", limited("1Gi"))
	n.deploy("cold", asleep)
	n.makeNamespace("staging")
	n.deploy("other", inNamespace("staging"))
	eventually(t, func() bool { return n.available("probe") == 1 })
	for _, path := range []string{"/function/probe?sleep=300ms", "/function/probe?status=500",
		"/function/nobody", "/async-function/probe"} {
		n.do(http.MethodPost, path, "x")
	}
	n.wake(t, "cold")
	used := func(function string) (row meter.Row) {
		var r meter.Report
		n.runJSON(&r, "bill", function, "--from", "24h")
		require.LessOrEqual(t, len(r.Rows), 1)
		return r.Total
	}
	eventually(t, func() bool {
		return used("probe").QueueWait.Count == 1 &&
			used("cold").ColdStarts.Count == 1
	})
	n.end()

	n = startTestNode(t, raw, state)
	n.do(http.MethodPost, "/function/probe", "x")
	probe := used("probe")
	require.EqualValues(t, 4, probe.Calls, "those of before, too")
	require.GreaterOrEqual(t, probe.BusySeconds, .3)
	require.Less(t, probe.BusySeconds, 20.)
	require.Positive(t, probe.ReplicaSeconds)
	require.InDelta(t, probe.BusySeconds, probe.GBSeconds, 1e-9)
	require.False(t, probe.MemoryAssumed)
	require.InDelta(t, 4*.2e-6+probe.GBSeconds*.0000166667, probe.Cost.Total, 1e-12)
	cold := used("cold")
	require.True(t, cold.MemoryAssumed)
	require.Equal(t, [2]uint64{1, 0}, [2]uint64{cold.ColdStarts.Count, cold.ColdStarts.Failed})

	text, err = n.run("bill", "--by", "day", "--from", "24h")
	require.NoError(t, err)
	require.Regexp(t, `FUNCTION +CALLS +BUSY +REPLICAS +GB-S +COLD +WAIT +USD\n`, text)
	require.Regexp(t, `\n\d{4}-\d\d-\d\d\ncold \* +1 +`, text)
	require.Regexp(t, `\nwhole period\ntotal +5 `, text)
	require.Contains(t, text, "prices: AWS Lambda, x86, us-east-1")
	require.Contains(t, text, "* has no memory limit and counts as 128 MB")
	text, err = n.run("bill", "--namespace", "staging", "--csv")
	require.NoError(t, err)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"other.staging", "0"}, rows[1][1:3])
	require.Equal(t, "USD", rows[1][len(rows[1])-1])

	text, err = n.run("describe", "cold")
	require.NoError(t, err)
	require.Regexp(t, `today +1 call, busy \d+\.\d s, replicas \d+\.\d s, \d+\.\d{3} GB-s\n`, text)
	require.Regexp(t, `cold starts +1, 0 failed, held for p50 \d+ ms, p99 \d+ ms\n`, text)
	text, err = n.run("describe", "probe")
	require.NoError(t, err)
	require.NotContains(t, text, "cold starts")
}

func TestBillRejectsInvalidArguments(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for want, args := range map[string][]string{
		"--from: want a day":  {"--from", "yesterday"},
		"by is":               {"--by", "week"},
		"which is not before": {"--from", "2026-11-05", "--to", "2026-11-04"},
		"the function name":   {"Oven"},
		"--csv and --json cannot be used together": {"--csv", "--json"},
	} {
		_, err := n.run(append([]string{"bill"}, args...)...)
		require.ErrorContains(t, err, want)
	}
	res, text := n.do(http.MethodGet, "/system/usage", "")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, text)
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodGet, "/system/usage?from=soon", nil, nil))
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodGet,
		"/system/usage?function=a.b.c", nil, nil))
}

func TestBillUsesThePricesOfAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "prices.yaml")
	file := "name: our rack\ncurrency: EUR\nper_replica_hour: 3600000\n"
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	prices, err := serveConfig{Prices: path}.prices()
	require.NoError(t, err)
	n := newTestNode(t, func(c *nodeConfig) { c.Prices = prices })
	n.deploy("probe")
	var r meter.Report
	eventually(t, func() bool { n.runJSON(&r, "bill"); return r.Total.ReplicaSeconds > 0 })
	require.Equal(t, "our rack", r.Prices.Name)
	require.InDelta(t, r.Total.ReplicaSeconds*1000, r.Total.Cost.Total, 1e-6)
	require.WithinDuration(t, time.Now(), r.To, time.Hour)
	text, err := n.run("bill")
	require.NoError(t, err)
	require.Contains(t, text, "EUR")

	_, err = serveConfig{Prices: "none"}.prices()
	require.ErrorContains(t, err, "--prices")
}
