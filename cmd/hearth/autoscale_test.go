package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// nimble makes functions scale within moments.
func nimble(c *nodeConfig) {
	c.Scaling = scalingConfig{Window: 600 * time.Millisecond, PanicWindow: 100 * time.Millisecond,
		DrainGoal: 100 * time.Millisecond}
}

func (n *testNode) replicas(name string) int {
	n.t.Helper()
	f, err := n.client.GetFunction(n.t.Context(), name, "")
	require.NoError(n.t, err)
	return int(f.Replicas)
}

func TestFunctionScalesWithItsQueueAndToZero(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, nimble)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		d.EnvVars["max_inflight"] = "2"
		*d.Labels = map[string]string{"com.openfaas.scale.max": "5", "com.openfaas.scale.zero": "true",
			"com.openfaas.scale.zero-duration": "1s"}
	})
	n.deploy("other")
	until := filepath.Join(t.TempDir(), "go")
	for range 40 {
		res, text := n.do(http.MethodPost, "/async-function/probe?until="+until, "")
		require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	}
	eventually(t, func() bool { return n.replicas("probe") == 5 })
	require.Equal(t, 1, n.replicas("other"), "each function grows alone")
	require.NoError(t, os.WriteFile(until, nil, 0o600))
	eventually(t, func() bool { return n.replicas("probe") == 0 && n.available("probe") == 0 })
	res, text := n.do(http.MethodPost, "/function/probe", "wake up")
	require.Equal(t, http.StatusOK, res.StatusCode, text)
	require.Equal(t, 1, n.replicas("probe"))
	require.Equal(t, 1, n.replicas("other"), "it did not say that it may sleep")
	eventually(t, func() bool { return n.replicas("probe") == 0 })
}

func TestFunctionThatCannotStartIsNotScaledUp(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, nimble)
	n.deploy("broken", func(d *types.FunctionDeployment) {
		d.EnvVars["FAIL_START"] = "no oven gloves"
		*d.Labels = map[string]string{"com.openfaas.scale.target": "1", "com.openfaas.scale.type": "capacity"}
	})
	eventually(t, func() bool {
		load, _ := n.router.Load(hearth.Name{Function: "broken", Namespace: hearth.DefaultNamespace})
		return load.Failing != ""
	})
	for range 20 {
		res, _ := n.do(http.MethodPost, "/async-function/broken", "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	began := time.Now()
	eventually(t, func() bool { return time.Since(began) > time.Second || n.replicas("broken") > 1 })
	require.Equal(t, 1, n.replicas("broken"))
}

func TestRestartKeepsTheSizeAndNoAutoscaleScalesNothing(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, nimble, func(c *nodeConfig) { c.Scaling.Off = true })
	n.deploy("probe", func(d *types.FunctionDeployment) {
		*d.Labels = map[string]string{"com.openfaas.scale.zero": "true",
			"com.openfaas.scale.zero-duration": "2s"}
	})
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 3))
	began := time.Now()
	eventually(t, func() bool {
		return time.Since(began) > 1500*time.Millisecond ||
			n.replicas("probe") != 3
	})
	require.Equal(t, 3, n.replicas("probe"))
	n.end()
	again := startTestNode(t, n.raw, n.cfg.State,
		func(c *nodeConfig) { c.Scaling = scalingConfig{Window: time.Hour} })
	require.Equal(t, 3, again.replicas("probe"))
	eventually(t, func() bool { return again.replicas("probe") == 0 })
}

// TestStartFromZeroNeverScalesDown: the function may have been scaled up meanwhile.
func TestStartFromZeroNeverScalesDown(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, func(c *nodeConfig) { c.Scaling.Off = true })
	n.deploy("probe")
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 3))
	n.registry.Wake(hearth.Name{Function: "probe", Namespace: hearth.DefaultNamespace})
	require.Equal(t, 3, n.replicas("probe"))
}

// TestNextStepIsPreWarmed: while the first step works, the second one starts.
// The third waits for the second's call.
func TestNextStepIsPreWarmed(t *testing.T) {
	t.Parallel()
	log := &told{}
	n := newTestNode(t, log.config)
	step := func(name, topic, emits string) {
		n.deploy(name, func(d *types.FunctionDeployment) {
			*d.Labels = map[string]string{"com.openfaas.scale.min": "0"}
			(*d.Annotations)["topic"], (*d.Annotations)["com.hearth.emits"] = topic, emits
		})
	}
	step("first", "", "shop.one")
	step("second", "shop.one", "shop.two")
	step("third", "shop.two", "")
	res, _ := n.do(http.MethodGet, "/function/first?view=menu", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, 1, n.replicas("first"))
	until := filepath.Join(t.TempDir(), "go")
	answered := make(chan int)
	go func() {
		res, err := http.Post(n.url()+"/function/first?until="+until, "text/plain", nil)
		if err != nil {
			answered <- 0
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	eventually(t, func() bool { return n.available("second") == 1 })
	require.Equal(t, 0, n.replicas("third"))
	woken := `msg=scaled function=second.openfaas-fn from=0 to=1 ` +
		`reason="a call of first.openfaas-fn, which emits to it"`
	require.Equal(t, 1, strings.Count(log.String(), woken),
		"the cause is logged, and the view of before was none: %s", log.String())
	require.Contains(t, log.String(), `msg=scaled function=first.openfaas-fn from=0 to=1 reason="a call"`)
	require.NoError(t, os.WriteFile(until, nil, 0o600))
	require.Equal(t, http.StatusOK, <-answered)

	require.NoError(t, n.client.ScaleFunction(t.Context(), "second", "", 0))
	step("late", "shop.one", "") // deployed later
	require.Zero(t, n.replicas("late"))
	n.registry.WakeAhead(hearth.Name{Function: "first", Namespace: hearth.DefaultNamespace})
	require.Equal(t, 1, n.replicas("late"))
	require.Equal(t, 0, n.replicas("second"), "an operator has just put it to sleep")
	res, _ = n.do(http.MethodPost, "/function/second", "")
	require.Equal(t, http.StatusOK, res.StatusCode, "a call wakes it all the same")
}

// TestGETPreWarmsNoOtherFunction: a GET emits no messages.
func TestGETPreWarmsNoOtherFunction(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("first", func(d *types.FunctionDeployment) { (*d.Annotations)["com.hearth.emits"] = "shop.one" })
	n.deploy("second", onTopic("shop.one"),
		func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" })
	n.deploy("third", onTopic("shop.two"),
		func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" })
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
		res, _ := n.do(method, "/function/first", "")
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	// a GET that had started the second would have done so by now
	n.registry.Wake(hearth.Name{Function: "third", Namespace: hearth.DefaultNamespace})
	require.Equal(t, 1, n.replicas("third"))
	require.Equal(t, 0, n.replicas("second"))
	res, _ := n.do(http.MethodPost, "/function/first", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	eventually(t, func() bool { return n.replicas("second") == 1 })
}

// TestManualScaleIsKept against the autoscaler, which runs forty times as often as usual, alerts and updates.
func TestManualScaleIsKept(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, func(c *nodeConfig) {
		c.Scaling = scalingConfig{Window: time.Hour, PanicWindow: 100 * time.Millisecond,
			DrainGoal: 100 * time.Millisecond}
	})
	n.deploy("probe", patient, func(d *types.FunctionDeployment) {
		*d.Labels = map[string]string{"com.openfaas.scale.zero": "true",
			"com.openfaas.scale.zero-duration": "1s"}
	})
	eventually(t, func() bool { return n.replicas("probe") == 0 })
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 3))
	began := time.Now()
	eventually(t, func() bool { return time.Since(began) > 3*time.Second || n.replicas("probe") != 3 })
	require.Equal(t, 3, n.replicas("probe"), "it is not idle for longer than it may be since then")
	for _, status := range []string{"firing", "resolved"} {
		require.Equal(t, http.StatusOK, n.system(http.MethodPost, "/system/alert",
			map[string]any{"status": status, "alerts": []map[string]any{
				{"status": status, "labels": map[string]string{"function_name": "probe"}}}}, nil))
		require.Equal(t, 3, n.replicas("probe"), "an alert that is "+status)
	}
	n.update(patient, env("2"))
	require.Equal(t, 3, n.replicas("probe"), "an update")
}

func TestWarmScheduleKeepsReplicas(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, nimble)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		*d.Labels = map[string]string{"com.openfaas.scale.min": "0",
			"com.openfaas.scale.zero-duration": "100ms"}
		(*d.Annotations)["com.hearth.warm"] = "3 from @every 1h for 2h" // always
	})
	eventually(t, func() bool { return n.available("probe") == 3 })
	began := time.Now()
	eventually(t, func() bool { return time.Since(began) > time.Second || n.replicas("probe") != 3 })
	require.Equal(t, 3, n.replicas("probe"), "it has no calls, and does not sleep")
}

// TestNoCallFailsWhileScalingToZeroAndUp scales 100 times to zero and up, by the API and the
// autoscaler at once, during sync and queued calls.
func TestNoCallFailsWhileScalingToZeroAndUp(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, nimble)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		d.EnvVars["max_inflight"] = "4"
		*d.Labels = map[string]string{"com.openfaas.scale.zero": "true",
			"com.openfaas.scale.zero-duration": "1s"}
	})
	l := newLoad(n.url() + "/function/probe?sleep=3ms")
	l.closed(4)
	l.open(100)
	for cycle := range 100 {
		up := 1 + cycle%4
		require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", uint64(up)))
		served := l.served()
		eventually(t, func() bool { return l.served() > served+uint64(up) })
		require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 0))
		served = l.served()
		eventually(t, func() bool { return l.served() > served+5 }) // calls have started it
	}
	l.stop()
	require.Empty(t, l.failures(), "of %d calls", l.served())
	require.Greater(t, l.served(), uint64(1000))
	eventually(t, func() bool { return n.replicas("probe") == 0 })
}
