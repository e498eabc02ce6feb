// Package e2e has no code. Its tests start the real binaries as a user does, in a copy of the
// project, with functions that hearth has built.
package e2e

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/stretchr/testify/require"
)

const (
	ada   = `{"customer":"Ada","items":[{"cookie":"chocolate-chip","quantity":6}]}`
	loafs = `{"customer":"Bob","items":[{"cookie":"bread","quantity":7}]}`
)

func TestUpOrderStopAndResume(t *testing.T) {
	t.Parallel()
	state := newState(t)
	r := start(t, state, nil, "--on-ready", "bin/bakery open")
	require.Contains(t, r.Output(), "private redis-server")
	require.Contains(t, r.Output(), "/function/cashier?wait=30s'")
	status, text := r.post("/function/cashier?wait=30s", ada, "Idempotency-Key", "first")
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, `"state":"served"`)
	out, code := r.bakery("order", "brownie=2", "--wait")
	require.Zero(t, code, out)
	out, code = r.bakery("order", "choclate-chip=2")
	require.Equal(t, 1, code)
	require.Contains(t, out, "did you mean chocolate-chip")
	r.auditBalances()

	second := launch(t, state, nil)
	require.Error(t, <-second.Done)
	require.Contains(t, second.Output(), fmt.Sprintf("is in use by process %d",
		r.Cmd.Process.Pid))
	third := launch(t, newState(t), nil, "--listen", strings.TrimPrefix(r.url, "http://"))
	err := <-third.Done
	require.Error(t, err)
	require.Equal(t, 1, third.Cmd.ProcessState.ExitCode())
	require.Contains(t, third.Output(), "is in use by process")

	status, text = r.post("/function/cashier", loafs, "Idempotency-Key", "over the night")
	require.Equal(t, http.StatusAccepted, status, text)
	var night bakery.Order
	require.NoError(t, json.Unmarshal([]byte(text), &night))
	r.interrupt()

	r = start(t, state, nil, "--on-ready", "bin/bakery open")
	require.NotContains(t, r.Output(), "was stocked", "only the first time")
	status, text = r.post("/function/cashier", ada, "Idempotency-Key", "first")
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, `"state":"served"`, "it is the same order")
	eventually(t, func() bool { return r.orderState(night.ID) == bakery.Served })
	r.auditBalances()
	r.interrupt()
}

func TestKillMinusNineLeavesNoOrphanAndLosesNothing(t *testing.T) {
	t.Parallel()
	state := newState(t)
	r := start(t, state, []string{"BAKE_SPEED=600"}, "--on-ready", "bin/bakery open")
	var ids []string
	for i := range 6 {
		status, text := r.post("/function/cashier", loafs, "Idempotency-Key", fmt.Sprint(i))
		require.Equal(t, http.StatusAccepted, status, text)
		var o bakery.Order
		require.NoError(t, json.Unmarshal([]byte(text), &o))
		ids = append(ids, o.ID)
	}
	eventually(t, func() bool {
		out, _ := r.bakery("floor", "--once", "--json")
		return strings.Contains(out, `"in_oven":4`)
	})
	require.NoError(t, r.Cmd.Process.Kill())
	require.Error(t, <-r.Done, "it was killed")
	r.leftNothing()

	r = start(t, state, []string{"BAKE_SPEED=600"})
	for _, id := range ids {
		eventually(t, func() bool { return r.orderState(id) == bakery.Served })
	}
	r.auditBalances()
	r.interrupt()
}

// TestWithoutRedisServer runs with a PATH that has no redis-server.
func TestWithoutRedisServer(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "redis-") {
				_ = os.Symlink(filepath.Join(dir, e.Name()), filepath.Join(tools, e.Name()))
			}
		}
	}
	r := start(t, newState(t), []string{"PATH=" + tools}, "--on-ready", "bin/bakery open")
	require.Contains(t, r.Output(),
		"in memory: there is no redis-server in PATH, so queued calls end with this process")
	status, text := r.post("/function/cashier?wait=30s", ada)
	require.Equal(t, http.StatusOK, status, text)
	status, _ = r.post("/async-function/cashier", ada)
	require.Equal(t, http.StatusAccepted, status)
	eventually(t, func() bool {
		out, _ := r.bakery("audit", "--json")
		return strings.Contains(out, `"served": 2`) && strings.Contains(out, `"balanced": true`)
	})
	r.interrupt()
}

// TestReplay plays the made-up days, and a day of a real bakery if its file is present.
func TestReplay(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	r := start(t, newState(t), []string{"BAKE_SPEED=60000"})
	tests := []struct {
		file, day     string
		shops, orders int
		malformed     int
	}{
		{filepath.Join("cmd", "bakery", "testdata", "made-up-days.csv"), "2024-03-02", 3, 3 * 37, 0},
		{filepath.Join("..", "shared", "orders", "bread-basket.csv"), "2016-11-05", 2, 2 * 93, 0},
	}
	for _, test := range tests {
		file := filepath.Join(root, test.file)
		if _, err := os.Stat(file); err != nil {
			t.Logf("not replayed, since the file is missing: %s", test.file)
			continue
		}
		each := filepath.Join(t.TempDir(), "orders.csv")
		out, code := r.bakery("replay", file, "--listen", "127.0.0.1:0", "--day", test.day, "--speed",
			"60000", "--shops", fmt.Sprint(test.shops), "--json", "--orders", each)
		require.Zero(t, code, out)
		var report struct {
			Orders, Served, Refused int
			Skipped                 struct{ Pieces int }
			Malformed               []any
			Waits                   struct {
				BakeryMinutes struct{ P50, P95, P99, Max float64 } `json:"bakery_minutes"`
				WallMS        struct{ P50, P95, P99, Max float64 } `json:"wall_ms"`
			}
			Trays, Leftover map[string]int
			Audit           bakery.Audit
		}
		require.NoError(t, json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &report), out)
		require.Equal(t, test.orders, report.Orders)
		require.Equal(t, test.orders, report.Served)
		require.Zero(t, report.Refused)
		require.Positive(t, report.Skipped.Pieces)
		require.Len(t, report.Malformed, test.malformed)
		require.True(t, report.Audit.Balanced)
		require.NotEmpty(t, report.Trays)
		require.NotEmpty(t, report.Leftover)
		w, m := report.Waits.WallMS, report.Waits.BakeryMinutes
		require.True(t, w.P50 <= w.P95 && w.P95 <= w.P99 && w.P99 <= w.Max && w.Max > 0 && m.Max > 0)
		requireOrders(t, each, test.orders, w.Max)
	}
	r.interrupt()
}

// requireOrders checks the file of --orders: all orders, served, with the longest wait of the report.
func requireOrders(t *testing.T, path string, orders int, longest float64) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"came_unix_ms", "wait_ms", "state", "shop", "transaction"}, rows[0])
	require.Len(t, rows, 1+orders)
	most, before := 0, 0
	for _, row := range rows[1:] {
		came, err := strconv.Atoi(row[0])
		require.NoError(t, err)
		require.GreaterOrEqual(t, came, before)
		wait, err := strconv.Atoi(row[1])
		require.NoError(t, err)
		require.Equal(t, bakery.Served, row[2])
		most, before = max(most, wait), came
	}
	require.InDelta(t, longest, most, 1)
}

// TestStockGatewayWithTheConnector runs the bakery on a gateway without topics
// and retries, with the connector beside it.
func TestStockGatewayWithTheConnector(t *testing.T) {
	for name, args := range map[string][]string{"sync": nil, "async": {"--async"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := project()
			require.NoError(t, err)
			redisURL := chaintest.URL(chaintest.Redis(t))
			gateway := startStockGateway(t, redisURL)
			b := site{t: t, dir: dir, url: gateway.url,
				managerKey: filepath.Join(gateway.secrets, "manager-key")}
			out, code := b.bakery("open")
			require.Zero(t, code, out)
			status, text := b.post("/function/cashier", ada)
			require.Equal(t, http.StatusAccepted, status, text)
			var o bakery.Order
			require.NoError(t, json.Unmarshal([]byte(text), &o))

			connector, err := harness.Start(exec.Command(filepath.Join(dir, "bin", "hearth"), append([]string{
				"connector", "--gateway", gateway.url, "--redis", redisURL, "--secrets", gateway.secrets,
				"--rebuild", "50ms", "--metrics", "127.0.0.1:0",
			}, args...)...))
			require.NoError(t, err)
			t.Cleanup(func() { _ = connector.Cmd.Process.Kill() })
			eventually(t, func() bool { return b.orderState(o.ID) == bakery.Served })
			for range 5 {
				out, code := b.bakery("order", "brownie=20", "--wait")
				require.Zero(t, code, out)
			}
			b.auditBalances()
			page, err := http.Get(gateway.url + "/function/storefront")
			require.NoError(t, err)
			require.NoError(t, page.Body.Close())
			require.Equal(t, http.StatusOK, page.StatusCode)
			require.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'none'")
			serving := regexp.MustCompile(`msg="serving metrics" url=(\S+)`)
			metrics := serving.FindStringSubmatch(connector.Output())
			require.NotNil(t, metrics, connector.Output())
			res, err := http.Get(metrics[1])
			require.NoError(t, err)
			told, err := io.ReadAll(res.Body)
			require.NoError(t, errors.Join(err, res.Body.Close()))
			require.Contains(t, string(told),
				`hearth_queue_depth{function_name="oven.openfaas-fn",queue="oven:bakery.dough"} 0`)
			require.NotContains(t, string(told), "gateway_", "the gateway counts calls")
			if args == nil { // with --async the function's commit settles, and the connector does not see it
				require.NotContains(t, string(told),
					`hearth_deliveries_total{function_name="oven.openfaas-fn",outcome="done"} 0`)
			}
			require.NoError(t, connector.Cmd.Process.Signal(syscall.SIGTERM))
			require.NoError(t, <-connector.Done, connector.Output())
		})
	}
}
