package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/test/harness"
	"github.com/stretchr/testify/require"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
)

func TestAnOrderIsOneTrace(t *testing.T) {
	t.Parallel()
	c := harness.NewCollector(t)
	r := start(t, newState(t), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=20"},
		"--on-ready", "bin/bakery open")
	const trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	status, text := r.post("/function/cashier?wait=30s", ada, "traceparent", "00-"+trace+"-"+caller+"-01")
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, `"state":"served"`)

	var spans map[string]harness.Span
	has := func() bool {
		byName := map[string]harness.Span{}
		for _, s := range c.Of(trace) {
			byName[s.Name] = s
		}
		spans = byName
		return len(byName) == 5
	}
	eventually(t, has)
	parents := map[string]string{"process baker": "POST /function/cashier", "process oven": "process baker",
		"process server": "process oven", "process cashier": "process server"}
	for name, parent := range parents {
		require.Equal(t, spans[parent].ID, spans[name].Parent, "%s is below %s", name, parent)
		s := spans[name]
		require.Equal(t, tracev1.Span_SPAN_KIND_CONSUMER, s.Kind)
		require.False(t, s.Failed, name)
		require.EqualValues(t, 1, s.Attempt)
		require.Equal(t, strings.TrimPrefix(name, "process "), s.Attributes["faas.invoked_name"])
		require.True(t, strings.HasPrefix(s.Attributes["messaging.destination.name"],
			"{bakery}."), s.Attributes)
		require.NotEmpty(t, s.Attributes["messaging.message.id"])
	}
	root := spans["POST /function/cashier"]
	require.Equal(t, caller, root.Parent)
	require.Equal(t, tracev1.Span_SPAN_KIND_SERVER, root.Kind)
	require.Equal(t, "/function/{name}", root.Attributes["http.route"])
	r.interrupt()
}
