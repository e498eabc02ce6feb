package calls

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
)

// An Entry is what the record keeps of one call. Its JSON has short names, since there are many.
type Entry struct {
	State  State  `json:"s,omitempty"` // Cancelled or Dead; "" is Succeeded
	CallID string `json:"c,omitempty"`
	Trace  string `json:"t,omitempty"` // the call's own traceparent
	Parent string `json:"p,omitempty"` // that of what caused it
	Method string `json:"m,omitempty"` // "POST" if absent
	Path   string `json:"u,omitempty"` // "/" if absent

	Attempt   int   `json:"a,omitempty"` // 1 on the first try
	DeliverAt int64 `json:"v,omitempty"` // ms since 1970, of a call with a delay
	Taken     int64 `json:"b,omitempty"` // ms since 1970: when it was first taken from its queue
	Started   int64 `json:"w,omitempty"` // ms since 1970: when the last attempt began
	Scheduled bool  `json:"o,omitempty"`

	Status  int     `json:"st,omitempty"` // of the answer
	Replica string  `json:"x,omitempty"`
	Cold    float64 `json:"k,omitempty"`  // ms for which the call was held, since there was no replica
	Took    float64 `json:"d,omitempty"`  // ms from the start of the attempt to the end of the answer
	Commit  float64 `json:"cm,omitempty"` // ms of these that the function's commit took

	Bodies *Bodies `json:"y,omitempty"`
}

// Bodies are the request and the answer of a call of a function that asks for it.
type Bodies struct {
	Request     []byte      `json:"b,omitempty"`
	ContentType string      `json:"t,omitempty"`
	Query       string      `json:"q,omitempty"`
	Header      http.Header `json:"h,omitempty"` // without secret ones
	Answer      []byte      `json:"a,omitempty"` // its beginning
	Cut         bool        `json:"c,omitempty"` // the request is too large, and is left out
}

// Limits of recorded bodies, in bytes.
const (
	maxRequest = 64 << 10
	maxAnswer  = 4 << 10
)

// secretHeaders are left out of the record.
var secretHeaders = []string{
	"Authorization",
	"Cookie",
	"Proxy-Authorization",
	"Set-Cookie",
	"X-Api-Key",
	"X-Auth-Token",
	"X-Csrf-Token",
}

// secretWords are parts of the names of headers that are left out, in lower case.
var secretWords = []string{"secret", "token", "password", "apikey", "api-key", "signature"}

// BodiesOf returns what is recorded of the bodies of a call. It leaves out headers that may hold secrets, and
// a request that is too large.
func BodiesOf(e wire.Entry, answer []byte) *Bodies {
	b := &Bodies{ContentType: e.ContentType, Query: e.Query, Answer: answer[:min(len(answer), maxAnswer)]}
	if b.Cut = len(e.Body) > maxRequest; !b.Cut {
		b.Request = e.Body
	}
	for name, values := range e.Header {
		if isSecret(name) {
			continue
		}
		if b.Header == nil {
			b.Header = http.Header{}
		}
		b.Header[name] = values
	}
	return b
}

func isSecret(header string) bool {
	for _, name := range secretHeaders {
		if strings.EqualFold(header, name) {
			return true
		}
	}
	for _, word := range secretWords {
		if strings.Contains(strings.ToLower(header), word) {
			return true
		}
	}
	return false
}

// Text returns the entry as JSON.
func (e Entry) Text() string {
	text, err := json.Marshal(e)
	if err != nil { // of strings, numbers and bytes there is always JSON
		panic(err)
	}
	return string(text)
}

// traceOf returns the trace id and the span id of a traceparent, or "" for one that cannot be read.
// See https://www.w3.org/TR/trace-context/#traceparent-header.
func traceOf(traceparent string) (trace, span string) {
	parts := strings.SplitN(traceparent, "-", 4)
	if len(parts) != 4 || len(parts[1]) != 32 || len(parts[2]) != 16 {
		return "", ""
	}
	return parts[1], parts[2]
}

// ms returns the ms since 1970 at which an entry of a stream was added, by its id; 0 for an id of another
// kind.
func ms(id string) int64 {
	var n int64
	for i, c := range id {
		switch {
		case c == '-' && i > 0:
			return n
		case c < '0' || c > '9' || i > 15:
			return 0
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// at returns a time of ms since 1970, or nil for 0.
func at(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
