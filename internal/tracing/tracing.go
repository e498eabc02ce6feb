/*
Package tracing tells an OpenTelemetry collector what became of calls: a span for each hop, of one trace
from a caller's request through queues, retries and callbacks to the last message of a chain. What goes from
hop to hop is the header traceparent, and the field of the same name of a stream entry; functions pass it
on. See https://www.w3.org/TR/trace-context/ and https://opentelemetry.io/docs/specs/semconv/.

It is set by OpenTelemetry's own environment variables. Where these ask for nothing, Open returns nil. A nil
Tracer and a nil Span do nothing and cost nothing: then Hearth passes on what callers send, and adds nothing.
The tracer of IDsOnly exports nothing either, and gives each hop an id, by which the record of calls finds
what belongs together.

A collector that is away costs no call anything: spans wait in a bounded queue, and are dropped when it is
full.

It makes no metrics and no logs, and is the only importer of OpenTelemetry's SDK.
*/
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
	"go.opentelemetry.io/otel/trace"
)

const (
	service       = "hearth"        // if OTEL_SERVICE_NAME says nothing else
	exportTimeout = 5 * time.Second // of one try, if OTEL_EXPORTER_OTLP_TIMEOUT says nothing else
	exportRetries = 15 * time.Second
	flushTimeout  = 2 * time.Second // for the last spans, when hearth ends
)

// A Tracer makes spans. A nil one makes none.
type Tracer struct {
	provider *sdktrace.TracerProvider // nil if the spans have nothing but ids
	tracer   trace.Tracer
}

// IDsOnly makes a tracer whose spans have ids and are exported nowhere. A new trace is marked as sampled: a
// function that traces by itself would drop its spans below one that is not.
func IDsOnly() *Tracer { return &Tracer{} }

// Open makes a tracer, if the environment names an endpoint: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
// OTEL_EXPORTER_OTLP_ENDPOINT, and neither OTEL_SDK_DISABLED=true nor OTEL_TRACES_EXPORTER=none. Otherwise it
// returns nil. Sampling, headers, TLS, batches and the resource are OpenTelemetry's to set; see
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. instance names this
// process among those of the service. It does not wait for the collector.
//
// It returns an error if what is asked for cannot be had, such as a protocol that is not http/protobuf.
func Open(ctx context.Context, log *slog.Logger, version, instance string) (*Tracer, error) {
	if !asked() {
		return nil, nil
	}
	protocol := firstOf("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	if protocol != "" && protocol != "http/protobuf" {
		return nil, fmt.Errorf("traces are sent as http/protobuf, and OTEL_EXPORTER_OTLP_PROTOCOL is %q: "+
			"set it to http/protobuf, and the endpoint to the collector's for HTTP, usually port "+
			"4318", protocol)
	}
	options := []otlptracehttp.Option{otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true,
		InitialInterval: time.Second, MaxInterval: 5 * time.Second, MaxElapsedTime: exportRetries})}
	if firstOf("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT") == "" {
		options = append(options, otlptracehttp.WithTimeout(exportTimeout))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName(service),
		semconv.ServiceVersion(version), semconv.ServiceInstanceID(instance)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&quiet{SpanExporter: exporter, log: log}),
		sdktrace.WithResource(res), sdktrace.WithIDGenerator(ids{}))
	log.Info("exports traces", "endpoint", redacted(firstOf("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_ENDPOINT")))
	return &Tracer{provider, provider.Tracer("github.com/hearthfaas/hearth",
		trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL))}, nil
}

// asked reports whether the environment asks for traces.
func asked() bool {
	return !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") &&
		os.Getenv("OTEL_TRACES_EXPORTER") != "none" &&
		firstOf("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") != ""
}

func firstOf(names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(os.Getenv(name)); v != "" {
			return v
		}
	}
	return ""
}

// redacted is an endpoint without a password, which some put there.
func redacted(endpoint string) string {
	scheme, rest, ok := strings.Cut(endpoint, "://")
	if at := strings.LastIndex(rest, "@"); ok && at >= 0 {
		return scheme + "://" + rest[at+1:]
	}
	return endpoint
}

// Close sends what has not been sent, for at most two seconds.
func (t *Tracer) Close() {
	if t == nil || t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // quiet has told
}

// quiet says once that the collector does not answer, and once that it answers again.
type quiet struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	away atomic.Bool
}

func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && q.away.CompareAndSwap(false, true):
		q.log.Warn("traces cannot be exported, and are dropped until they can", "error", err)
	case err == nil && q.away.CompareAndSwap(true, false):
		q.log.Info("traces are exported again")
	}
	return nil
}
