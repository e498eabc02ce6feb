package main

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// A keptRevision is one of GET /system/history.
type keptRevision struct {
	Revision, SHA, Image string
	Current              bool
}

func (n *testNode) revisions(name string) []keptRevision {
	n.t.Helper()
	var h struct{ Revisions []keptRevision }
	require.Equal(n.t, 200, n.system(http.MethodGet, "/system/history/"+name, nil, &h))
	return h.Revisions
}

// deployCommit deploys the probe again, with a commit and a text that it answers with.
func (n *testNode) deployCommit(name, sha string) {
	n.t.Helper()
	status := n.system(http.MethodPut, "/system/functions", types.FunctionDeployment{
		Service: name,
		Image:   probeImage,
		EnvVars: map[string]string{"ANSWER": sha},
		Labels:  &map[string]string{"com.openfaas.git-sha": sha},
	}, nil)
	require.Equal(n.t, http.StatusOK, status)
}

func TestARestartFailsNoCall(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	eventually(t, func() bool { return n.available("probe") == 1 })
	_, before := n.do(http.MethodGet, "/function/probe?pid=1", "")

	var failed atomic.Int64
	var calls sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if res, err := n.self.Get(n.url() + "/function/probe"); err != nil || res.StatusCode != 200 {
					failed.Add(1)
				} else {
					_ = res.Body.Close()
				}
			}
		})
	}
	require.Equal(t, 202, n.system(http.MethodPost, "/system/functions/probe/restart", nil, nil))
	eventually(t, func() bool {
		_, after := n.do(http.MethodGet, "/function/probe?pid=1", "")
		return after != before
	})
	close(stop)
	calls.Wait()
	require.Zero(t, failed.Load())
	require.Len(t, n.revisions("probe"), 1, "it is the same spec")
	require.Equal(t, 404, n.system(http.MethodPost, "/system/functions/nobody/restart", nil, nil))
}

func TestRollBackToAnEarlierRevision(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	for i := range 6 {
		n.deployCommit("probe", fmt.Sprintf("commit-%d", i))
	}
	list := n.revisions("probe")
	require.Len(t, list, 5)
	require.Equal(t, "commit-5", list[0].SHA)
	require.True(t, list[0].Current)
	require.Equal(t, "commit-1", list[4].SHA)

	to := func(revision string) int {
		return n.system(http.MethodPost, "/system/functions/probe/rollback",
			map[string]string{"revision": revision}, nil)
	}
	require.Equal(t, 409, to(list[0].Revision))
	require.Equal(t, 404, to("unknown"))
	require.Equal(t, 400, to(""))
	require.Equal(t, 202, to(list[3].Revision))
	after := n.revisions("probe")
	require.Len(t, after, 5)
	require.Equal(t, list[3], keptRevision{after[0].Revision, after[0].SHA, after[0].Image, false})
	require.True(t, after[0].Current)
	f, err := n.client.GetFunction(t.Context(), "probe", "")
	require.NoError(t, err)
	require.Equal(t, "commit-2", f.EnvVars["ANSWER"])

	require.NoError(t, n.raw.HSet(t.Context(), "{hearth}:revisions", "probe.openfaas-fn",
		`{"revisions":[{"revision":"forged"}]}`).Err())
	require.Len(t, n.revisions("probe"), 1, "a forged record is not used: only the present spec is left")
	require.Equal(t, 404, to("forged"))
	n.deployCommit("probe", "commit-7")
	require.Equal(t, "commit-7", n.revisions("probe")[0].SHA)

	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", ""))
	eventually(t, func() bool {
		kept, err := n.raw.HExists(t.Context(), "{hearth}:revisions", "probe.openfaas-fn").Result()
		return err == nil && !kept
	})
}
