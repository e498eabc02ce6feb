package main

import (
	"net/http"
	"runtime"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestUsageIsMeasuredOnRequest(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc")
	}
	n := newTestNode(t)
	n.deploy("probe")
	eventually(t, func() bool { return n.available("probe") == 1 })
	var f types.FunctionStatus
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe", nil, &f))
	require.Nil(t, f.Usage)
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe?usage=1", nil, &f))
	require.NotNil(t, f.Usage)
	require.Greater(t, f.Usage.TotalMemoryBytes, float64(1<<20))
}
