package tracing_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/tracing"
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/stretchr/testify/require"
)

var oven = hearth.Name{Function: "oven", Namespace: "openfaas-fn"}

func open(t *testing.T) (*tracing.Tracer, error) {
	t.Helper()
	return tracing.Open(t.Context(), slog.New(slog.DiscardHandler), "v1", "one")
}

func TestAttemptsAtAnEntryWithoutATraceShareOne(t *testing.T) {
	c := harness.NewCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.URL+"/v1/traces")
	tracer, err := open(t)
	require.NoError(t, err)
	trace := func(id string, attempt int) string {
		_, span := tracer.Deliver(t.Context(), tracing.Message{Function: oven, Stream: "{bakery}.dough",
			ID: id, Attempt: attempt})
		span.EndDelivered("retried", http.StatusBadGateway, "it failed")
		return span.Traceparent("")[3:35]
	}
	first := trace("1-0", 1)
	require.Equal(t, first, trace("1-0", 2))
	require.NotEqual(t, first, trace("2-0", 1))
	tracer.Close()
	require.Len(t, c.Of(first), 2, "what was left is sent at the end")
}

func TestAProtocolThatIsNotSpokenIsRefused(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	_, err := open(t)
	require.ErrorContains(t, err, "http/protobuf")
}

func TestWithoutATracerNothingIsAllocated(t *testing.T) {
	tracer, err := open(t)
	require.NoError(t, err)
	require.Nil(t, tracer)
	r, ctx, failed := httptest.NewRequest(http.MethodPost, "/function/oven",
		nil), context.Background(), errors.New("failed")
	m := tracing.Message{Function: oven, Stream: "{bakery}.dough", ID: "1-0"}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, served := tracer.Serve(r, "/function/", oven)
		held := tracing.Held(ctx, oven, true)
		held.End(failed)
		served.EndServed(http.StatusOK, false)
		_, sent := tracer.Send(ctx, m)
		sent.End(nil)
		_, delivered := tracer.Deliver(ctx, m)
		delivered.EndDelivered("done", http.StatusOK, "")
		if delivered.Traceparent("as it was") != "as it was" {
			panic("it is another one")
		}
	}))
	require.Empty(t, r.Header)
}
