package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/stretchr/testify/require"
)

// TestOrderOnARedisCluster: Hearth and the functions know one node and discover the others.
func TestOrderOnARedisCluster(t *testing.T) {
	t.Parallel()
	cluster := chaintest.Cluster(t)
	r := start(t, newState(t), []string{"REDIS_URL=redis://" + cluster.Nodes[1].Addr}, "--on-ready",
		"bin/bakery open")
	status, text := r.post("/function/cashier?wait=30s", ada)
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, `"state":"served"`)
	for i := range 5 {
		status, text := r.post("/async-function/cashier", ada, "Idempotency-Key", fmt.Sprint(i))
		require.Equal(t, http.StatusAccepted, status, text)
	}
	eventually(t, func() bool { return r.audit().Orders.Served == 6 })
	r.auditBalances()
	r.interrupt()
}
