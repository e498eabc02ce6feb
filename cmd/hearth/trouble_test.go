package main

import (
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// What an operator sees of crashing functions and failing calls.

func TestCrashesAreCountedWithTheirReason(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	eventually(t, func() bool { return n.available("probe") == 1 })
	var d description
	n.runJSON(&d, "describe", "probe")
	require.Zero(t, d.Restarts)
	require.Nil(t, d.LastExit)
	res, _ := n.do(http.MethodPost, "/function/probe?panic=no+flour", "")
	require.Equal(t, http.StatusBadGateway, res.StatusCode)
	eventually(t, func() bool {
		n.runJSON(&d, "describe", "probe")
		return d.Restarts == 1 && n.available("probe") == 1
	})
	require.Regexp(t, `panic: no flour, at functions/probe/handler.go:\d+$`, d.LastExit.Reason)
	text, err := n.run("describe", "probe")
	require.NoError(t, err)
	require.Regexp(t, `restarts +1, the last at [-0-9: ]+: exit status 2: `+
		`panic: no flour, at functions/probe/handler.go:\d+`, text)
	text, err = n.run("list")
	require.NoError(t, err)
	require.Regexp(t, `FUNCTION +REPLICAS +RESTARTS.*\nprobe +1/1 +1 `, text)
}

func TestLastErrorIsShownDuringRetries(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Annotations)["com.openfaas.retry.min_wait"] = "1h"
	})
	res, _ := n.do(http.MethodPost, "/async-function/probe?status=500", "x")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	var queues []queue.Queue
	eventually(t, func() bool {
		queues = n.queuesOf("probe")
		return len(queues) == 1 &&
			queues[0].LastError != nil
	})
	e := queues[0].LastError
	require.Equal(t, 1, e.Attempt)
	require.NotEmpty(t, e.Message)
	require.Contains(t, e.Reason, "answered 500")
	for _, command := range [][]string{{"queues"}, {"describe", "probe"}} {
		text, err := n.run(command...)
		require.NoError(t, err)
		require.Contains(t, text, "attempt 1 failed: answered 500", command)
	}
	var f struct {
		LastError *struct{ Reason string } `json:"last_error"`
	}
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe", nil, &f))
	require.Contains(t, f.LastError.Reason, "answered 500")
}
