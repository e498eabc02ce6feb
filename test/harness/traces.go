package harness

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Collector is an OpenTelemetry collector that records spans, over OTLP with HTTP.
type Collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []Span
}

// A Span is an exported span. Its ids are hexadecimal, as in a traceparent.
type Span struct {
	Trace, ID, Parent, Name string
	Kind                    tracev1.Span_SpanKind
	Failed                  bool
	Attributes              map[string]string // texts, and "true"
	Attempt                 int64
}

// NewCollector starts a collector until the end of the test.
func NewCollector(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.Close)
	return c
}

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var got collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &got) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range got.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				span := Span{
					Trace:      hex.EncodeToString(s.TraceId),
					ID:         hex.EncodeToString(s.SpanId),
					Parent:     hex.EncodeToString(s.ParentSpanId),
					Name:       s.Name,
					Kind:       s.Kind,
					Failed:     s.Status.GetCode() == tracev1.Status_STATUS_CODE_ERROR,
					Attributes: map[string]string{},
				}
				for _, a := range s.Attributes {
					span.Attributes[a.Key] = a.Value.GetStringValue()
					if a.Value.GetBoolValue() {
						span.Attributes[a.Key] = "true"
					}
					if a.Key == "hearth.delivery.attempt" {
						span.Attempt = a.Value.GetIntValue()
					}
				}
				c.spans = append(c.spans, span)
			}
		}
	}
}

// Of returns the spans of a trace so far.
func (c *Collector) Of(trace string) (spans []Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Trace == trace {
			spans = append(spans, s)
		}
	}
	return spans
}
