package chain

import (
	"encoding/json"
	"net/http"

	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

// A Problem is an error answer in the form of RFC 9457, application/problem+json.
type Problem struct {
	Status int          `json:"status"`
	Title  string       `json:"title"`            // the kind of problem, always the same
	Detail string       `json:"detail,omitempty"` // what happened, to what, and what to do
	Errors []FieldError `json:"errors,omitempty"` // what is wrong with the input, field by field

	Internal   string `json:"-"` // the part of the platform that failed, for wire.HeaderInternal; else ""
	RetryAfter string `json:"-"` // the header of that name
}

// A FieldError is a field of the input that is wrong, and what would be right.
type FieldError struct {
	Field  string `json:"field"` // such as items[2].quantity
	Detail string `json:"detail"`
}

// ContentType is the media type of a Problem.
const ContentType = "application/problem+json"

// Header returns the headers of the answer.
func (p Problem) Header() http.Header {
	h := http.Header{"Content-Type": {ContentType}}
	if p.Internal != "" {
		h.Set(wire.HeaderInternal, p.Internal)
	}
	if p.RetryAfter != "" {
		h.Set("Retry-After", p.RetryAfter)
	}
	return h
}

// Body returns the body of the answer.
func (p Problem) Body() []byte {
	body, _ := json.Marshal(p) // strings and numbers always encode
	return append(body, '\n')
}

// Response returns the answer of a function.
func (p Problem) Response() handler.Response {
	return handler.Response{StatusCode: p.Status, Header: p.Header(), Body: p.Body()}
}

// Write writes the answer of an HTTP server.
func (p Problem) Write(w http.ResponseWriter) {
	for name, values := range p.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.Body())
}
