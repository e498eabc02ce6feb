package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"go.opentelemetry.io/otel/trace"
)

// ids makes ids at random, but for the trace of an entry that came without one: all attempts at it belong to
// the same trace, and nothing but the entry itself outlives an attempt.
type ids struct{}

type entryKey struct{}

// withEntry says of which entry a trace is, should one begin.
func withEntry(ctx context.Context, stream, id string) context.Context {
	return context.WithValue(ctx, entryKey{}, stream+"\x00"+id)
}

func (g ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if entry, ok := ctx.Value(entryKey{}).(string); ok {
		sum := sha256.Sum256([]byte(entry))
		copy(t[:], sum[:])
	}
	for !t.IsValid() {
		_, _ = rand.Read(t[:])
	}
	return t, g.NewSpanID(ctx, t)
}

// below returns the ids of a span below a parent, or of one that begins a trace.
func (g ids) below(ctx context.Context, parent trace.SpanContext) trace.SpanContext {
	if parent.IsValid() {
		return trace.NewSpanContext(trace.SpanContextConfig{
			TraceID:    parent.TraceID(),
			SpanID:     g.NewSpanID(ctx, parent.TraceID()),
			TraceFlags: parent.TraceFlags(),
			TraceState: parent.TraceState(),
		})
	}
	t, s := g.NewIDs(ctx)
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    t,
		SpanID:     s,
		TraceFlags: trace.FlagsSampled,
	})
}

func (ids) NewSpanID(context.Context, trace.TraceID) (s trace.SpanID) {
	for !s.IsValid() {
		_, _ = rand.Read(s[:])
	}
	return s
}
