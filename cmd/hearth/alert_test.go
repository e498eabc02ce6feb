package main

import (
	"net/http"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestAlertScalesItsFunction(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.max"] = "6" })
	n.deploy("fixed", func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.factor"] = "0" })
	n.deploy("asleep", func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" })
	send := func(status, function string) int {
		return n.system(http.MethodPost, "/system/alert",
			map[string]any{"status": status, "receiver": "scale-up", "version": "4",
				"alerts": []map[string]any{
					{"status": status, "labels": map[string]string{"alertname": "APIHighInvocationRate",
						"function_name": function}, "startsAt": "2026-01-02T15:04:05Z"}}}, nil)
	}
	replicas := func(name string) uint64 {
		f, err := n.client.GetFunction(t.Context(), name, "")
		require.NoError(t, err)
		return f.Replicas
	}
	for _, want := range []uint64{3, 5, 6, 6} { // 20 percent of 6 is 2, rounded up
		require.Equal(t, http.StatusOK, send("firing", "probe.openfaas-fn"))
		require.Equal(t, want, replicas("probe"))
	}
	require.Equal(t, http.StatusOK, send("resolved", "probe"))
	require.EqualValues(t, 1, replicas("probe"))
	for _, name := range []string{"fixed", "asleep"} {
		before := replicas(name)
		require.Equal(t, http.StatusOK, send("firing", name))
		require.Equal(t, before, replicas(name), name)
	}
	require.Equal(t, http.StatusOK, send("firing", "nobody"), "it would be sent again for ever")
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodPost, "/system/alert", "x", nil))
	res, _ := n.do(http.MethodPost, "/system/alert", "{}")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
}
