package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/openfaas/faas-provider/types"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestDeployCallScaleRemove(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	res, text := n.do(http.MethodPost, "/function/probe", "hello")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "hello", text)
	require.NotEmpty(t, res.Header.Get("X-Call-Id"))
	require.NotEmpty(t, res.Header.Get("X-Start-Time"))
	require.NotEmpty(t, res.Header.Get("X-Duration-Seconds"))
	require.Empty(t, res.Header.Get("X-Hearth-Replica"))
	res, text = n.do(http.MethodPost, "/function/probe.openfaas-fn/some/path?env=OPENFAAS_NAME", "",
		"X-Call-Id", "mine")
	require.Equal(t, "mine", res.Header.Get("X-Call-Id"))
	require.Equal(t, "probe", text)

	eventually(t, func() bool { return n.available("probe") == 1 })
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 3))
	eventually(t, func() bool { return n.available("probe") == 3 })
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 0))
	eventually(t, func() bool { return n.available("probe") == 0 })
	res, text = n.do(http.MethodPost, "/function/probe", "wake up")
	require.Equal(t, http.StatusOK, res.StatusCode, text)
	require.Equal(t, "wake up", text)
	f, err := n.client.GetFunction(t.Context(), "probe", "")
	require.NoError(t, err)
	require.EqualValues(t, 1, f.Replicas)
	require.EqualValues(t, 3, f.InvocationCount)
	require.ErrorContains(t, n.client.ScaleFunction(t.Context(), "probe", "", 1000), "want 0 to 20")
	require.ErrorContains(t, n.client.ScaleFunction(t.Context(), "nobody", "", 1), "not found")

	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", ""))
	res, text = n.do(http.MethodPost, "/function/probe", "")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.Equal(t, chain.ContentType, res.Header.Get("Content-Type"))
	require.Contains(t, text, "no function probe")
	require.ErrorContains(t, n.client.DeleteFunction(t.Context(), "probe", ""), "not found")
}

func TestListReturnsTheDeployedSpec(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	list, err := n.client.GetFunctions(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, list)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Labels)["my.own/label"], (*d.Annotations)["my.own/annotation"] = "x", "y"
		d.EnvProcess, d.Constraints, d.ReadOnlyRootFilesystem = "./handler", []string{"c"}, true
		d.Limits, d.Requests = &types.FunctionResources{Memory: "64Mi"}, &types.FunctionResources{CPU: "100m"}
	})
	list, err = n.client.GetFunctions(t.Context(), "openfaas-fn")
	require.NoError(t, err)
	f := list[0]
	require.Equal(t, "probe", f.Name)
	require.Equal(t, map[string]string{"my.own/label": "x"}, *f.Labels)
	require.Equal(t, "y", (*f.Annotations)["my.own/annotation"])
	require.Equal(t, []string{"c"}, f.Constraints)
	require.Equal(t, "64Mi", f.Limits.Memory)
	require.Equal(t, "100m", f.Requests.CPU)
	require.True(t, f.ReadOnlyRootFilesystem)
	require.WithinDuration(t, time.Now(), f.CreatedAt, time.Minute)
	require.Len(t, *f.Annotations, 4, "nothing was added")

	names, err := n.client.GetNamespaces(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"openfaas-fn"}, names)
	var info struct {
		Provider struct{ Version map[string]string }
		Version  map[string]string
		Arch     string
	}
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/info", nil, &info))
	require.NotNil(t, info.Version)
	require.NotNil(t, info.Provider.Version)
}

func TestUpdateFailsNoCall(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	d := types.FunctionDeployment{Service: "probe", Image: probeImage,
		EnvVars: map[string]string{"V": "0", "write_timeout": "5s"}}
	status, err := n.client.Update(t.Context(), d)
	require.Error(t, err)
	require.Equal(t, http.StatusNotFound, status, "faas-cli then creates it")
	_, err = n.client.Deploy(t.Context(), d)
	require.NoError(t, err)
	status, err = n.client.Deploy(t.Context(), d)
	require.Error(t, err)
	require.Equal(t, http.StatusConflict, status)

	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if res, text := n.do(http.MethodPost, "/function/probe?env=V",
					""); res.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", res.Status, text)
					return
				}
			}
		})
	}
	for _, v := range []string{"1", "2", "3"} {
		d.EnvVars["V"] = v
		status, err = n.client.Update(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		eventually(t, func() bool {
			_, text := n.do(http.MethodPost, "/function/probe?env=V",
				"")
			return text == v
		})
	}
	stop()
	callers.Wait()
}

func TestBadDeploymentsAreRefusedAndChangeNothing(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for says, d := range map[string]types.FunctionDeployment{
		"function name":     {Service: "Probe", Image: probeImage},
		"at most 63":        {Service: strings.Repeat("x", 64), Image: probeImage},
		"image is missing":  {Service: "probe"},
		"was not built":     {Service: "probe", Image: "nowhere/nothing:latest"},
		"no secret api-key": {Service: "probe", Image: probeImage, Secrets: []string{"api-key"}},
		"secret name":       {Service: "probe", Image: probeImage, Secrets: []string{"../key"}},
		"scale.min": {Service: "probe", Image: probeImage,
			Labels: &map[string]string{"com.openfaas.scale.min": "5", "com.openfaas.scale.max": "2"}},
		"environment variable": {Service: "probe", Image: probeImage,
			EnvVars: map[string]string{"A=B": "c"}},
		"namespace": {Service: "probe", Image: probeImage, Namespace: "A"},
		"annotation schedule": {Service: "probe", Image: probeImage,
			Annotations: &map[string]string{"topic": "cron-function"}},
		"is not valid: no time matches it": {Service: "probe", Image: probeImage,
			Annotations: &map[string]string{"topic": "cron-function", "schedule": "0 0 31 2 *"}},
	} {
		status, err := n.client.Deploy(t.Context(), d)
		require.Equal(t, http.StatusBadRequest, status, says)
		require.ErrorContains(t, err, says)
	}
	for body, says := range map[string]string{"": "want a function as JSON", "[]": "want an object",
		`{"service":7}`: "service", `{"service":"x","image":"y","labels":[]}`: "labels"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url()+"/system/functions",
			strings.NewReader(body))
		require.NoError(t, err)
		req.SetBasicAuth(n.credentials.User, n.credentials.Password)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		require.Equal(t, http.StatusBadRequest, res.StatusCode, body)
		require.Contains(t, string(text), says)
	}
	list, err := n.client.GetFunctions(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, list)
	require.Empty(t, n.raw.Keys(t.Context(), "{fn:*").Val(), "no queue was left")
}

func TestManagementAPINeedsThePassword(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for _, path := range []string{"/system/functions", "/system/info", "/system/namespaces",
		"/system/dead-letters", "/system/queues", "/system/function/x"} {
		for i, c := range [][2]string{{"", ""}, {"admin", "guess"}, {"root", n.credentials.Password}} {
			if i == 2 && path != "/system/functions" {
				continue // further guesses are slowed down
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url()+path, nil)
			require.NoError(t, err)
			if c[0] != "" {
				req.SetBasicAuth(c[0], c[1])
			}
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			_ = res.Body.Close()
			require.Equal(t, http.StatusUnauthorized, res.StatusCode, path)
			require.Equal(t, `Basic realm="Hearth operator", charset="UTF-8"`,
				res.Header.Get("WWW-Authenticate"))
		}
	}
	res, _ := n.do(http.MethodGet, "/healthz", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, _ = n.do(http.MethodGet, "/system/functions", "", "Authorization", "Bearer ")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)

	open := startTestNode(t, chaintest.Redis(t), t.TempDir(), func(c *nodeConfig) { c.NoAuth = true })
	res, _ = open.do(http.MethodGet, "/system/functions", "", "Authorization", "Bearer ")
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestOutsideCallsCannotPoseAsDeliveries(t *testing.T) {
	t.Parallel()
	recorded := filepath.Join(t.TempDir(), "record")
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) {
		(*d.Annotations)["topic"] = "a.b"
		d.EnvVars["RECORD"] = recorded
	})
	pairs := []string{"Connection", "X-Hop", "X-Hop", "1", "X-Kept", "1"}
	for _, name := range wire.DeliveryHeaders {
		pairs = append(pairs, name, "forged")
	}
	res, _ := n.do(http.MethodPost, "/function/probe", "", pairs...)
	require.Equal(t, http.StatusOK, res.StatusCode)
	h := recordedHeaders(t, recorded, 1)[0]
	for _, name := range append([]string{"Connection", "X-Hop"}, wire.DeliveryHeaders...) {
		require.NotContains(t, h, name)
	}
	require.Equal(t, "1", h.Get("X-Kept"))
	require.NotEmpty(t, h.Get("X-Forwarded-Host"))
}

func TestAsyncCall(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, callbacksHere)
	n.deploy("probe")
	type callback struct {
		header http.Header
		body   string
	}
	got := make(chan callback, 10)
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- callback{r.Header.Clone(), string(body)}
	}))
	defer listener.Close()
	res, _ := n.do(http.MethodPost, "/async-function/probe?print=hi", "body", "X-Callback-Url", listener.URL,
		"X-Call-Id", "c-1")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.Equal(t, "c-1", res.Header.Get("X-Call-Id"))
	c := <-got
	require.Equal(t, "body", c.body)
	require.Equal(t, "c-1", c.header.Get("X-Call-Id"))
	require.Equal(t, "200", c.header.Get("X-Function-Status"))
	require.Equal(t, "probe.openfaas-fn", c.header.Get("X-Function-Name"))

	for range 3 {
		res, _ = n.do(http.MethodPost, "/async-function/probe", "once", "X-Callback-Url", listener.URL,
			"Idempotency-Key", "k")
		require.Less(t, res.StatusCode, 300)
	}
	require.Equal(t, "once", (<-got).body)
	res, _ = n.do(http.MethodPost, "/async-function/probe", "another", "Idempotency-Key", "k")
	require.Equal(t, http.StatusUnprocessableEntity, res.StatusCode)
	for path, status := range map[string]int{"/async-function/nobody": 404, "/async-function/": 400,
		"/async-function/Bad!": 404} {
		res, _ = n.do(http.MethodPost, path, "")
		require.Equal(t, status, res.StatusCode, path)
	}
	res, _ = n.do(http.MethodGet, "/async-function/probe", "")
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
	res, _ = n.do(http.MethodPost, "/async-function/probe", strings.Repeat("x", 1<<20+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	for _, bad := range []string{"nonsense", "ftp://x/", "/relative", "http://",
		"http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/"} {
		res, _ = n.do(http.MethodPost, "/async-function/probe", "", "X-Callback-Url", bad)
		require.Equal(t, http.StatusBadRequest, res.StatusCode, bad)
	}
	select {
	case c := <-got:
		t.Fatalf("a call was made twice: %s", c.body)
	default:
	}
}

func TestAsyncCallStartsAFunctionAndSurvivesItsRemoval(t *testing.T) {
	t.Parallel()
	n := newTestNode(t, callbacksHere)
	got := make(chan string, 10)
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	defer listener.Close()
	n.deploy("probe", func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" })
	require.Zero(t, n.available("probe"))
	res, _ := n.do(http.MethodPost, "/async-function/probe", "asleep", "X-Callback-Url", listener.URL)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.Equal(t, "asleep", <-got)

	_, err := n.client.Update(t.Context(), types.FunctionDeployment{Service: "probe", Image: probeImage,
		EnvVars: map[string]string{"FAIL_START": "no", "write_timeout": "1s"}})
	require.NoError(t, err)
	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", ""))
	n.deploy("probe", func(d *types.FunctionDeployment) { d.EnvVars["FAIL_START"] = "not yet" })
	res, _ = n.do(http.MethodPost, "/async-function/probe", "kept", "X-Callback-Url", listener.URL)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", ""))
	var queues []queue.Queue
	n.system(http.MethodGet, "/system/queues?function=probe", nil, &queues)
	require.NotEmpty(t, queues, "the call waits for the function to come back")
	n.deploy("probe")
	require.Equal(t, "kept", <-got)
	require.Empty(t, got)
}

func TestDeadLettersOverREST(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe")
	for i := range 3 {
		res, _ := n.do(http.MethodPost, "/async-function/probe?status=500", fmt.Sprint(i), "X-Call-Id",
			fmt.Sprint("c", i))
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	var list []queue.DeadLetter
	eventually(t, func() bool {
		n.system(http.MethodGet, "/system/dead-letters?function=probe", nil, &list)
		return len(list) == 3
	})
	require.Equal(t, "probe:calls", list[0].Queue)
	require.Equal(t, 2, list[0].Attempts)
	require.Contains(t, list[0].Reason, "500")
	require.NotEmpty(t, list[0].Failures[0].Replica)
	require.Equal(t, "as asked", list[0].Failures[0].Body)

	var one queue.DeadLetter
	require.Equal(t, http.StatusOK, n.system(http.MethodGet,
		"/system/dead-letters/probe:calls/"+list[0].ID, nil, &one))
	require.Equal(t, "status=500", one.Query)
	require.Contains(t, []string{"0", "1", "2"}, string(one.Body))
	require.Equal(t, "c"+string(one.Body), one.CallID)
	require.Equal(t, http.StatusNotFound, n.system(http.MethodGet,
		"/system/dead-letters/probe:calls/1-1", nil, nil))
	require.Equal(t, http.StatusNotFound, n.system(http.MethodGet,
		"/system/dead-letters/nobody:calls/1-1", nil, nil))

	var done map[string]int
	for _, bad := range []any{map[string]any{}, map[string]any{"ids": []string{"1-1"}},
		map[string]any{"all": true, "ids": []string{"1-1"}}, "x"} {
		require.Equal(t, http.StatusBadRequest, n.system(http.MethodPost,
			"/system/dead-letters/redrive", bad, nil))
	}
	n.system(http.MethodPost, "/system/dead-letters/redrive",
		map[string]any{"queue": "probe:calls", "ids": []string{list[0].ID}}, &done)
	require.Equal(t, map[string]int{"redriven": 1}, done)
	eventually(t, func() bool {
		n.system(http.MethodGet, "/system/dead-letters", nil,
			&list)
		return len(list) == 3
	})
	n.system(http.MethodPost, "/system/dead-letters/purge",
		map[string]any{"all": true, "function": "probe"}, &done)
	require.Equal(t, 3, done["purged"])
	n.system(http.MethodGet, "/system/dead-letters", nil, &list)
	require.Empty(t, list)
}

func TestTopicReachesTwoSubscribers(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for _, name := range []string{"one", "two"} {
		n.deploy(name, func(d *types.FunctionDeployment) {
			(*d.Annotations)["topic"] = "news.today, " +
				"other.topic"
		})
	}
	for i := range 10 {
		n.raw.XAdd(t.Context(), &redis.XAddArgs{Stream: "{news}.today",
			Values: []string{"body", fmt.Sprint(i)}})
	}
	eventually(t, func() bool { return n.raw.XLen(t.Context(), "{news}.today").Val() == 0 })
	for _, name := range []string{"one", "two"} {
		f, err := n.client.GetFunction(t.Context(), name, "")
		require.NoError(t, err)
		require.EqualValues(t, 10, f.InvocationCount)
	}
}

func TestRestartRestoresEverything(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state)
	password := n.credentials.Password
	n.deploy("probe")
	n.deploy("asleep", func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = "0" })
	require.NoError(t, n.client.ScaleFunction(t.Context(), "probe", "", 2))
	for range 20 {
		res, _ := n.do(http.MethodPost, "/async-function/probe?sleep=20ms", "")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	n.end()

	n = startTestNode(t, raw, state)
	require.Equal(t, password, n.credentials.Password)
	eventually(t, func() bool { return n.available("probe") == 2 })
	require.Zero(t, n.available("asleep"))
	eventually(t, func() bool {
		var queues []queue.Queue
		n.system(http.MethodGet, "/system/queues?queue=probe:calls", nil, &queues)
		return queues[0].Waiting+queues[0].Leased+queues[0].Due+queues[0].Delayed+queues[0].Dead == 0
	})
	res, text := n.do(http.MethodPost, "/function/asleep", "hi")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "hi", text)
}

// TestInvocationCountStartsAtDeploymentOrRestart: an update continues the count,
// and the bill keeps everything.
func TestInvocationCountStartsAtDeploymentOrRestart(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state)
	n.deploy("probe")
	count := func(want float64, why string) {
		t.Helper()
		res, _ := n.do(http.MethodPost, "/function/probe", "")
		require.Equal(t, http.StatusOK, res.StatusCode)
		f, ok := n.listed("probe")
		require.True(t, ok)
		require.InDelta(t, want, f.InvocationCount, 0, why)
	}
	count(1, "the first")
	n.update(env("2"))
	count(2, "an update")
	n.end()
	n = startTestNode(t, raw, state)
	count(1, "a restart")
	n.remove("probe")
	n.deploy("probe")
	count(1, "a removal")
	require.EqualValues(t, 4, n.billed().Calls)
}

// TestOnlyTheOperatorSeesWhyAFunctionCannotStart: the reason contains a line that the function printed.
func TestOnlyTheOperatorSeesWhyAFunctionCannotStart(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	n.deploy("probe", func(d *types.FunctionDeployment) { d.EnvVars["FAIL_START"] = "the oven is cold" })
	var text string
	var res *http.Response
	eventually(t, func() bool {
		res, text = n.do(http.MethodPost, "/function/probe", "")
		require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		require.NotContains(t, text, "the oven is cold")
		return strings.Contains(text, "cannot start")
	})
	require.NotEmpty(t, res.Header.Get("X-Openfaas-Internal"))
	var status struct{ Failing string }
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/function/probe", nil, &status))
	require.Contains(t, status.Failing, "the oven is cold")
}
