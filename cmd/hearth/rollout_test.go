package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// TestFiftyUpdatesInARowFailNoCall waits for some updates, and interrupts others with the next one.
func TestFiftyUpdatesInARowFailNoCall(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", env("0"),
		func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "2" })
	n.says("env=V", "0")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	var calls atomic.Int64
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if res, text := n.do(http.MethodPost, "/function/probe?env=V",
					""); res.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", res.Status, text)
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := 1; i <= 50; i++ {
		v := fmt.Sprint(i)
		n.update(env(v), func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "2" })
		if i%5 == 0 {
			eventually(t, func() bool {
				load, _ := n.router.Load(probeName)
				return load.Known == 2 &&
					load.Available == 2
			})
			n.says("env=V", v)
		}
	}
	stop()
	callers.Wait()
	require.Greater(t, calls.Load(), int64(50))
}

var probeName = hearth.Name{Function: "probe", Namespace: hearth.DefaultNamespace}

func failing(why string) func(*types.FunctionDeployment) {
	return func(d *types.FunctionDeployment) { d.EnvVars["FAIL_START"] = why }
}

// rolledBack waits until a function is rolled back.
func (n *testNode) rolledBack() (f struct {
	Image    string
	EnvVars  map[string]string
	Rollback *hearth.Rollback
}) {
	n.t.Helper()
	eventually(n.t, func() bool {
		require.Equal(n.t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe", nil, &f))
		return f.Rollback != nil
	})
	return f
}

func TestRevisionThatIsNeverReadyIsRolledBack(t *testing.T) {
	t.Parallel()
	raw, state, log := chaintest.Redis(t), t.TempDir(), &told{}
	n := startTestNode(t, raw, state, log.config)
	n.deploy("probe", env("good"), onTopic("shop.opened"))
	n.says("env=V", "good")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	callers.Go(func() {
		for ctx.Err() == nil {
			if res, text := n.do(http.MethodPost, "/function/probe?env=V",
				""); res.StatusCode != http.StatusOK || text != "good" {
				t.Errorf("%s: %s", res.Status, text)
				return
			}
		}
	})
	n.update(env("bad"), failing("no flour today"), onTopic("shop.closed"))
	f := n.rolledBack()
	require.Contains(t, f.Rollback.Reason, "no flour today")
	require.Equal(t, probeImage, f.Rollback.Image)
	require.Equal(t, "good", f.EnvVars["V"], "what is told is what runs")
	eventually(t, func() bool {
		load, _ := n.router.Load(probeName)
		return load.Known == 1 &&
			load.Failing == ""
	})
	require.Len(t, n.queuesOf("probe"), 2, "its calls, and the old topic again")
	n.put("{shop}.opened")
	eventually(t, func() bool { return raw.XLen(t.Context(), "{shop}.opened").Val() == 0 })
	stop()
	callers.Wait()
	n.end()

	n = startTestNode(t, raw, state, log.config)
	require.NotNil(t, n.rolledBack().Rollback, "it is told after a restart, too")
	n.says("env=V", "good")
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 2))
	eventually(t, func() bool { return n.available("probe") == 2 })
	n.update(env("better"))
	n.says("env=V", "better")
	var told struct{ Rollback *hearth.Rollback }
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe", nil, &told))
	require.Nil(t, told.Rollback, "that is the past")
	require.Contains(t, log.String(), "rolled back function")
	require.Empty(t, log.errors())
}

// TestRebuiltImageThatCannotStartIsRolledBack: the spec is unchanged, but its tag names another image.
func TestRebuiltImageThatCannotStartIsRolledBack(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", env("good"))
	n.says("env=V", "good")
	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(broken, []byte("#!/bin/sh\necho the oven is broken >&2\nexit 3\n"),
		0o700))
	require.NoError(t, processImages(n.cfg.State).Put(t.Context(), probeImage, broken))
	n.update(env("good"))
	require.Contains(t, n.rolledBack().Rollback.Reason, "the oven is broken")
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 3))
	eventually(t, func() bool { return n.available("probe") == 3 })
	n.says("env=V", "good")
	require.NoError(t, processImages(n.cfg.State).Put(t.Context(), probeImage, providertest.Probe(t)))
	n.update(env("new"))
	n.says("env=V", "new")
}

func TestOtherInstanceFollowsARollback(t *testing.T) {
	t.Parallel()
	a, b, log := twoNodes(t)
	a.deploy("probe", env("good"))
	for _, n := range []*testNode{a, b} {
		n.says("env=V", "good")
	}
	b.update(env("bad"), failing("no flour today"))
	for _, n := range []*testNode{a, b} {
		require.Contains(t, n.rolledBack().Rollback.Reason, "no flour today")
		eventually(t, func() bool {
			load, _ := n.router.Load(probeName)
			return load.Known == 1 && load.Available == 1 && load.Failing == ""
		})
		n.says("env=V", "good")
	}
	require.Empty(t, log.errors())
}
