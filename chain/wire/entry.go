package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The fields of a stream entry. Only FieldBody is required, so a message can be added by hand:
//
//	redis-cli XADD '{bakery}.dough' '*' body '{"tray":"t1","cookie":"brownie"}'
const (
	FieldBody        = "body"         // the body of the call
	FieldContentType = "content-type" // its Content-Type; "application/octet-stream" if absent
	FieldCallID      = "call-id"      // X-Call-Id; the entry's id if absent
	FieldTraceparent = "traceparent"  // W3C trace context of the producer
	FieldMethod      = "method"       // "POST" if absent
	FieldPath        = "path"         // after the function's name; "/" if absent
	FieldQuery       = "query"        // raw query string
	FieldHeader      = "header"       // a JSON object of lists of strings
	FieldCallback    = "callback"     // the URL that gets the answer
	FieldOnlyGroup   = "only-group"   // the only consumer group that it is for; all if absent
	FieldDeliverAt   = "deliver-at"   // not to be delivered before: ms since 1970, by Redis's clock
)

// An Entry is one invocation on a stream.
type Entry struct {
	Body        []byte
	ContentType string
	CallID      string
	Traceparent string
	Method      string
	Path        string
	Query       string
	Header      http.Header
	Callback    string
	DeliverAt   time.Time // to the millisecond; zero for at once
}

// Values returns the entry's fields and values in turn, as XADD takes them. Empty fields are left out, except
// the body.
func (e Entry) Values() ([]any, error) {
	v := []any{FieldBody, e.Body}
	for _, f := range [...]struct{ name, value string }{
		{FieldContentType, e.ContentType}, {FieldCallID, e.CallID}, {FieldTraceparent, e.Traceparent},
		{FieldMethod, e.Method}, {FieldPath, e.Path}, {FieldQuery, e.Query}, {FieldCallback, e.Callback},
	} {
		if f.value != "" {
			v = append(v, f.name, f.value)
		}
	}
	if len(e.Header) > 0 {
		header, err := json.Marshal(e.Header)
		if err != nil {
			return nil, fmt.Errorf("encode the headers of an entry: %w", err)
		}
		v = append(v, FieldHeader, header)
	}
	if !e.DeliverAt.IsZero() {
		v = append(v, FieldDeliverAt, strconv.FormatInt(e.DeliverAt.UnixMilli(), 10))
	}
	return v, nil
}

// ParseEntry reads an entry from the fields and values of XRANGE's or XREADGROUP's reply. Unknown fields are
// ignored, so that a producer may add its own. It returns an error that names the field that is missing or
// wrong.
func ParseEntry(fields []string) (Entry, error) {
	var e Entry
	if len(fields)%2 != 0 {
		return e, fmt.Errorf("entry: %d fields and values, want pairs", len(fields))
	}
	hasBody := false
	for i := 0; i < len(fields); i += 2 {
		name, value := fields[i], fields[i+1]
		switch name {
		case FieldBody:
			e.Body, hasBody = []byte(value), true
		case FieldContentType:
			e.ContentType = value
		case FieldCallID:
			e.CallID = value
		case FieldTraceparent:
			e.Traceparent = value
		case FieldMethod:
			e.Method = value
		case FieldPath:
			e.Path = value
		case FieldQuery:
			e.Query = value
		case FieldCallback:
			e.Callback = value
		case FieldHeader:
			if err := json.Unmarshal([]byte(value), &e.Header); err != nil {
				return e, fmt.Errorf("entry: field %q is not a JSON object of lists of strings: %w",
					FieldHeader, err)
			}
		case FieldDeliverAt:
			ms, err := strconv.ParseInt(value, 10, 64)
			if err != nil || ms < 0 || len(value) > 15 {
				return e, fmt.Errorf("entry: field %q is %q, want milliseconds since 1970",
					FieldDeliverAt, value)
			}
			e.DeliverAt = time.UnixMilli(ms).UTC()
		}
	}
	if !hasBody {
		return e, fmt.Errorf("entry: the field %q is missing", FieldBody)
	}
	return e, nil
}
