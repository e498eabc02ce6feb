package main

import (
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// TestOnlyFunctionResponsesHaveTheFunctionHeader: a connector relies on the header to tell a function's 404
// from the gateway's, so no caller may cause it.
func TestOnlyFunctionResponsesHaveTheFunctionHeader(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	n.deploy("broken", func(d *types.FunctionDeployment) { d.EnvVars["FAIL_START"] = "no flour" })
	for name, test := range map[string]struct {
		method, path string
		status       int
		marked       bool
	}{
		"the function's success": {http.MethodPost, "/function/probe", http.StatusOK, true},
		"the function's 404": {http.MethodPost, "/function/probe?status=404",
			http.StatusNotFound, true},
		"the function's 503": {http.MethodPost, "/function/probe?status=503",
			http.StatusServiceUnavailable, true},
		"no such function": {http.MethodPost, "/function/nobody", http.StatusNotFound, false},
		"no such method":   {"BAKE", "/function/probe", http.StatusMethodNotAllowed, false},
		"a function that is broken": {http.MethodPost, "/function/broken",
			http.StatusServiceUnavailable, false},
		"a queued call": {http.MethodPost, "/async-function/probe", http.StatusAccepted, false},
	} {
		t.Run(name, func(t *testing.T) {
			res, text := n.do(test.method, test.path, "", wire.HeaderAnswer, "true")
			require.Equal(t, test.status, res.StatusCode, text)
			require.Equal(t, test.marked, res.Header.Get(wire.HeaderAnswer) != "", "%v", res.Header)
		})
	}
}
