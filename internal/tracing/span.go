package tracing

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hearthfaas/hearth/internal/hearth"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.39.0"
	"go.opentelemetry.io/otel/trace"
)

// Attributes that OpenTelemetry has no word for.
const (
	attrNamespace = attribute.Key("hearth.function.namespace")
	attrAttempt   = attribute.Key("hearth.delivery.attempt") // 1 on the first try
	attrOutcome   = attribute.Key("hearth.delivery.outcome") // as in hearth_deliveries_total
	attrCallID    = attribute.Key("hearth.call_id")          // X-Call-Id
)

const headerTraceparent = "traceparent"

// A Span is one hop of a call. A nil one is of a call that is not traced.
type Span struct{ span trace.Span }

// spanKey is of the innermost span of a context, with the tracer that made it.
type spanKey struct{}

type inner struct {
	tracer *Tracer
	span   trace.Span
}

// start begins a span. describe returns its name and attributes, which a span with nothing but ids does not
// have.
func (t *Tracer) start(
	ctx context.Context, kind trace.SpanKind, describe func() (string, []attribute.KeyValue),
) (context.Context, *Span) {
	if t.tracer == nil {
		ctx = trace.ContextWithSpanContext(ctx, ids{}.below(ctx, trace.SpanContextFromContext(ctx)))
		return ctx, &Span{trace.SpanFromContext(ctx)}
	}
	name, attrs := describe()
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
	return context.WithValue(ctx, spanKey{}, inner{t, span}), &Span{span}
}

// under is a context below a span that a traceparent names. One that cannot be read is no parent.
func under(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	return propagation.TraceContext{}.Extract(ctx, carrier)
}

// Serve begins the span of a request for a function: route is /function/ or /async-function/. It continues
// the trace of the request's traceparent, if that can be read; and makes the request's traceparent its own,
// so that whatever is sent on is below it.
func (t *Tracer) Serve(r *http.Request, route string, n hearth.Name) (*http.Request, *Span) {
	if t == nil {
		return r, nil
	}
	if len(r.Header.Values(headerTraceparent)) > 1 { // no trace can be told from another; W3C, 3.2.2
		r.Header.Del(headerTraceparent)
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	parent := under(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, s := t.start(parent, trace.SpanKindServer, func() (string, []attribute.KeyValue) {
		return r.Method + " " + route + n.Function, []attribute.KeyValue{
			semconv.HTTPRequestMethodKey.String(r.Method),
			semconv.HTTPRoute(route + "{name}"),
			semconv.URLScheme(scheme),
			semconv.ServerAddress(r.Host),
			semconv.FaaSInvokedName(n.Function),
			attrNamespace.String(n.Namespace),
		}
	})
	if s.span.SpanContext().TraceState().Len() == 0 {
		r.Header.Del("tracestate") // it is of a trace that does not go on
	}
	r.Header[http.CanonicalHeaderKey(headerTraceparent)] = []string{s.Traceparent("")}
	return r.WithContext(ctx), s
}

// Held begins the span of the time that a call waits for a replica, below that of the call in ctx, if that
// has one. cold tells that there is none that takes calls.
func Held(ctx context.Context, n hearth.Name, cold bool) *Span {
	in, ok := ctx.Value(spanKey{}).(inner)
	if !ok {
		return nil
	}
	if cold {
		in.span.SetAttributes(semconv.FaaSColdstart(true))
	}
	_, s := in.tracer.start(ctx, trace.SpanKindInternal, func() (string, []attribute.KeyValue) {
		return "hold " + n.Function, []attribute.KeyValue{
			semconv.FaaSInvokedName(n.Function),
			attrNamespace.String(n.Namespace),
		}
	})
	return s
}

// A Message says which entry of a stream a span is of.
type Message struct {
	Function    hearth.Name
	Stream      string
	Group       string // "" for who puts it there
	ID          string // "" before it has one
	CallID      string
	Attempt     int
	Traceparent string // that the entry has, or ""
}

func (m Message) attributes(operation string) []attribute.KeyValue {
	list := []attribute.KeyValue{semconv.MessagingSystemKey.String("redis"),
		semconv.MessagingDestinationName(m.Stream), semconv.MessagingOperationName(operation),
		semconv.MessagingOperationTypeKey.String(operation), semconv.FaaSInvokedName(m.Function.Function),
		attrNamespace.String(m.Function.Namespace)}
	if m.Group != "" {
		list = append(list, semconv.MessagingConsumerGroupName(m.Group))
	}
	if m.ID != "" {
		list = append(list, semconv.MessagingMessageID(m.ID))
	}
	if m.CallID != "" {
		list = append(list, attrCallID.String(m.CallID))
	}
	if m.Attempt > 0 {
		list = append(list, attrAttempt.Int(m.Attempt))
	}
	return list
}

// Send begins the span of putting a call on a queue, below that of ctx. With ids only there is none: what is
// sent is below the request itself.
func (t *Tracer) Send(ctx context.Context, m Message) (context.Context, *Span) {
	if t == nil || t.tracer == nil {
		return ctx, nil
	}
	return t.start(ctx, trace.SpanKindProducer, func() (string, []attribute.KeyValue) {
		return "send " + m.Function.Function, m.attributes("send")
	})
}

// Deliver begins the span of one attempt at an entry, below who put it there. Attempts at an entry
// without a traceparent share a trace too.
func (t *Tracer) Deliver(ctx context.Context, m Message) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return t.start(below(ctx, m), trace.SpanKindConsumer, func() (string, []attribute.KeyValue) {
		return "process " + m.Function.Function, append(m.attributes("process"), semconv.FaaSTriggerPubSub)
	})
}

// CallBack begins the span of one attempt at a callback. Of the URL it shows
// only the host: the rest may be secret.
func (t *Tracer) CallBack(ctx context.Context, m Message, to string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	attrs := append(m.attributes("process"), semconv.HTTPRequestMethodKey.String(http.MethodPost))
	if u, err := url.Parse(to); err == nil {
		attrs = append(attrs, semconv.ServerAddress(u.Hostname()))
		if port, err := strconv.Atoi(u.Port()); err == nil {
			attrs = append(attrs, semconv.ServerPort(port))
		}
	}
	return t.start(below(ctx, m), trace.SpanKindClient, func() (string, []attribute.KeyValue) {
		return "callback of " + m.Function.Function, attrs
	})
}

func below(ctx context.Context, m Message) context.Context {
	return under(withEntry(ctx, m.Stream, m.ID), propagation.MapCarrier{headerTraceparent: m.Traceparent})
}

// Traceparent is the header of what is sent on below this span, or otherwise, if there is none.
func (s *Span) Traceparent(otherwise string) string {
	if s == nil {
		return otherwise
	}
	sc := s.span.SpanContext()
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

// EndServed ends the span of a request: with an error if that is Hearth's or the function's, which those of
// 4xx are not. broken means that there was no whole answer.
func (s *Span) EndServed(status int, broken bool) {
	if s == nil {
		return
	}
	if status != 0 {
		s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	switch {
	case broken:
		s.fail("broken off", "the caller left, or the answer broke off")
	case status >= http.StatusInternalServerError:
		s.fail(strconv.Itoa(status), "")
	}
	s.span.End()
}

// EndDelivered ends the span of an attempt. outcome is what package dispatch says it
// came to; reason is "" if it was no failure.
func (s *Span) EndDelivered(outcome string, status int, reason string) {
	if s == nil {
		return
	}
	if s.span.SetAttributes(attrOutcome.String(outcome)); status != 0 {
		s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if reason != "" {
		kind := outcome
		if status != 0 {
			kind = strconv.Itoa(status)
		}
		s.fail(kind, reason)
	}
	s.span.End()
}

// End ends a span, with an error if there was one.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.fail(strconv.Itoa(hearth.CodeOf(err).Status()), hearth.MessageOf(err))
	}
	s.span.End()
}

func (s *Span) fail(kind, what string) {
	s.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	s.span.SetStatus(codes.Error, what)
}
