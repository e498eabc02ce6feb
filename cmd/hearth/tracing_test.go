package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/test/harness"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

const traceID, callerID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

// exportTo makes nodes export to a collector. Such a test is not parallel.
func exportTo(t *testing.T, url string) {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
}

// given deploys a probe and returns a function that calls it and returns the headers that the probe received.
func (n *testNode) given() func(headers ...string) http.Header {
	n.t.Helper()
	file := filepath.Join(n.t.TempDir(), "calls")
	n.deploy("probe", func(d *types.FunctionDeployment) { d.EnvVars["RECORD"] = file })
	return func(headers ...string) http.Header {
		n.t.Helper()
		res, text := n.do(http.MethodPost, "/function/probe", "x", headers...)
		require.Equal(n.t, http.StatusOK, res.StatusCode, text)
		calls, err := os.ReadFile(file)
		require.NoError(n.t, err)
		lines := strings.Split(strings.TrimSpace(string(calls)), "\n")
		var call struct{ Header http.Header }
		require.NoError(n.t, json.Unmarshal([]byte(lines[len(lines)-1]), &call))
		return call.Header
	}
}

func TestQueuedCallIsOneTraceWithRetriesAndCallback(t *testing.T) {
	c := harness.NewCollector(t)
	exportTo(t, c.URL)
	called := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request) {
		called <- r.Header.Get("traceparent")
	}))
	t.Cleanup(receiver.Close)
	n := newTestNode(t, callbacksHere)
	n.deploy("probe")
	res, text := n.do(http.MethodPost, "/async-function/probe?status=500", "x", "traceparent",
		"00-"+traceID+"-"+callerID+"-01", "X-Callback-Url", receiver.URL+"/secret")
	require.Equal(t, http.StatusAccepted, res.StatusCode, text)
	told := <-called
	eventually(t, func() bool { return len(c.Of(traceID)) >= 5 })

	byKind := map[string][]harness.Span{}
	for _, s := range c.Of(traceID) {
		byKind[s.Name] = append(byKind[s.Name], s)
		for _, value := range s.Attributes {
			require.NotContains(t, value, "secret")
		}
	}
	served, sent := byKind["POST /async-function/probe"], byKind["send probe"]
	attempts, back := byKind["process probe"], byKind["callback of probe"]
	require.Len(t, served, 1)
	require.Len(t, sent, 1)
	require.Len(t, attempts, 2)
	require.Len(t, back, 1)
	require.Equal(t, callerID, served[0].Parent)
	require.Equal(t, served[0].ID, sent[0].Parent)
	for i, came := range []string{"retried", "buried"} {
		require.Equal(t, sent[0].ID, attempts[i].Parent)
		require.True(t, attempts[i].Failed)
		require.EqualValues(t, i+1, attempts[i].Attempt)
		require.Equal(t, came, attempts[i].Attributes["hearth.delivery.outcome"])
	}
	require.Equal(t, attempts[1].ID, back[0].Parent)
	require.Equal(t, "00-"+traceID+"-"+back[0].ID+"-01", told)
}

func TestWaitForAReplicaIsASpan(t *testing.T) {
	c := harness.NewCollector(t)
	exportTo(t, c.URL)
	n := newTestNode(t)
	n.deploy("cold", asleep)
	res, text := n.do(http.MethodGet, "/function/cold", "", "traceparent", "00-"+traceID+"-"+callerID+"-01")
	require.Equal(t, http.StatusOK, res.StatusCode, text)
	eventually(t, func() bool { return len(c.Of(traceID)) == 2 })
	held, served := c.Of(traceID)[0], c.Of(traceID)[1]
	require.Equal(t, "hold cold", held.Name)
	require.Equal(t, "GET /function/cold", served.Name)
	require.Equal(t, served.ID, held.Parent)
	require.Equal(t, "true", served.Attributes["faas.coldstart"])
}

func TestInvalidTraceparentStartsANewTrace(t *testing.T) {
	exportTo(t, harness.NewCollector(t).URL)
	given := newTestNode(t).given()
	for _, sent := range []string{"", "00-" + strings.Repeat("0", 32) + "-" + callerID + "-01", "00-xyz",
		"ff-" + traceID + "-" + callerID + "-01"} {
		got := given("traceparent", sent, "tracestate", "a=b")
		require.Regexp(t, "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$", got.Get("traceparent"), sent)
		require.NotContains(t, got.Get("traceparent"), callerID)
		require.Empty(t, got.Get("tracestate"), "it is of another trace")
	}
	got := given("traceparent", "00-"+traceID+"-"+callerID+"-00", "tracestate", "a=b")
	require.Regexp(t, "^00-"+traceID+"-[0-9a-f]{16}-00$", got.Get("traceparent"),
		"what the caller did not sample is not sampled")
	require.Equal(t, "a=b", got.Get("tracestate"))
}

func TestWithoutTracesAndRecordNoHeadersAreAdded(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"no environment": {},
		"disabled":       {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
		"no exporter": {"OTEL_TRACES_EXPORTER": "none",
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range env {
				t.Setenv(key, value)
			}
			n := newTestNode(t, func(c *nodeConfig) { c.Queue.record.calls = 0 })
			require.Nil(t, n.tracer)
			given := n.given()
			require.Empty(t, given().Values("traceparent"))
			require.Equal(t, "whatever", given("traceparent", "whatever").Get("traceparent"))
		})
	}
}

func TestTheRecordOfCallsGivesEachHopAnID(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	given := n.given()
	const traceID, callerID = "0123456789abcdef0123456789abcdef", "0123456789abcdef"
	require.Regexp(t, "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$", given().Get("traceparent"),
		"a function that traces by itself must not drop its spans")
	got := given("traceparent", "00-"+traceID+"-"+callerID+"-00", "tracestate", "a=b")
	require.Regexp(t, "^00-"+traceID+"-[0-9a-f]{16}-00$", got.Get("traceparent"))
	require.NotContains(t, got.Get("traceparent"), callerID+"-00")
	require.Equal(t, "a=b", got.Get("tracestate"))
}

func TestRefusingCollectorIsLoggedOnceAndStopsNoCall(t *testing.T) {
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(refuses.Close)
	exportTo(t, refuses.URL)
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	var log lockedBuffer
	n := newTestNode(t, func(c *nodeConfig) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	n.deploy("probe")
	for range 50 {
		res, text := n.do(http.MethodPost, "/function/probe", "x")
		require.Equal(t, http.StatusOK, res.StatusCode, text)
	}
	eventually(t, func() bool { return strings.Contains(log.String(), "traces cannot be exported") })
	n.end()
	require.Equal(t, 1, strings.Count(log.String(), "traces cannot be exported"))
}
