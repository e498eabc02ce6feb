package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/stretchr/testify/require"
)

func (r *running) audit() (a bakery.Audit) {
	r.t.Helper()
	out, _ := r.bakery("audit", "--json")
	require.NoError(r.t, json.Unmarshal([]byte(out), &a), out)
	return a
}

// TestOneOfTwoHearthsIsKilledUnderLoad: calls accepted by either instance run once. The other one continues,
// and takes over the calls of the dead one when their leases end.
func TestOneOfTwoHearthsIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	dir, err := project()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "stack.yml"))
	require.NoError(t, err)
	stack := filepath.Join(dir, "short-leases.yml") // a lease is longer than two timeouts
	require.NoError(t, os.WriteFile(stack, []byte(strings.Replace(string(text), "exec_timeout: 60s",
		"exec_timeout: 2s", 1)), 0o600))
	env := []string{"REDIS_URL=" + chaintest.URL(chaintest.Redis(t)), "BAKE_SPEED=2000"}
	state := newState(t)
	a := start(t, state, env, "--file", stack, "--on-ready", "bin/bakery open")
	other := newState(t)
	require.NoError(t, os.MkdirAll(other, 0o700))
	require.NoError(t, harness.Copy(filepath.Join(state, "secret-key"), filepath.Join(other, "secret-key")))
	b := start(t, other, env, "--file", stack)

	// Orders go to both until a has been dead for a while. Those with a 202 are accepted; the
	// fate of those without a response is unknown.
	var mu sync.Mutex
	var accepted []string
	tried := 0
	dead := make(chan struct{})
	post := func(url, key string) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/async-function/cashier",
			strings.NewReader(ada))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Idempotency-Key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	var customers sync.WaitGroup
	for i, at := range []*running{a, b} {
		for j := range 2 {
			customers.Go(func() {
				after := 0
				for k := 0; after < 10 && t.Context().Err() == nil; k++ {
					select {
					case <-dead:
						after++
					default:
					}
					key := fmt.Sprint(i, "-", j, "-", k)
					status, err := post(at.url, key)
					mu.Lock()
					tried++
					if status == http.StatusAccepted {
						accepted = append(accepted, key)
					}
					mu.Unlock()
					if at == b && (err != nil || status != http.StatusAccepted) {
						t.Errorf("%s at the living instance: %d %v", key, status, err)
					}
					time.Sleep(10 * time.Millisecond) // think time
				}
			})
		}
	}
	eventually(t, func() bool { return len(harness.ProcessesOf(state)) > 0 && b.audit().Orders.Placed > 20 })
	require.NoError(t, a.Cmd.Process.Kill())
	require.Error(t, <-a.Done, "it was killed")
	close(dead)
	status, answer := b.post("/function/cashier?wait=20s", loafs, "Idempotency-Key", "sync")
	require.Contains(t, []int{http.StatusOK, http.StatusAccepted}, status,
		"sync calls continue at once: %s", answer)
	customers.Wait()
	a.leftNothing()

	began := time.Now()
	var books bakery.Audit
	require.Eventually(t, func() bool {
		books = b.audit()
		return books.Orders.Placed > len(accepted) && books.Orders.Open == 0
	}, time.Minute, 100*time.Millisecond, "%d were accepted", len(accepted))
	took := time.Since(began)
	require.LessOrEqual(t, books.Orders.Placed, tried+1)
	for _, key := range accepted {
		status, answer := b.post("/function/cashier", ada, "Idempotency-Key", key)
		require.Equal(t, http.StatusOK, status, answer)
		require.Contains(t, answer, `"state":"served"`)
	}
	require.Equal(t, books.Orders.Placed, b.audit().Orders.Placed,
		"every accepted order was placed")
	b.auditBalances()
	t.Logf("%d of %d orders were accepted, and all done %v after a died", len(accepted), tried, took)

	for range 2 { // a killed instance does not block its own restart
		again := start(t, state, env, "--file", stack)
		require.NotContains(t, again.Output(), "waiting to see")
		require.NoError(t, again.Cmd.Process.Kill())
		require.Error(t, <-again.Done, "it was killed")
	}
	b.interrupt()
}
