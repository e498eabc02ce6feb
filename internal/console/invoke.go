package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hearthfaas/hearth/internal/hearth"
	"golang.org/x/net/http/httpguts"
)

const (
	maxInvocation = 4 << 20 // bytes of a request to invoke, of which base64 and escapes are a part
	maxCalled     = 1 << 20 // bytes of the body of a call
	maxAnswer     = 1 << 20 // bytes of an answer that are shown
)

// invocation is the call that somebody makes from the page.
type invocation struct {
	Function  string            `json:"function"`
	Namespace string            `json:"namespace"`
	Async     bool              `json:"async"`
	Method    string            `json:"method"` // defaults to POST
	Path      string            `json:"path"`   // after the function's name
	Query     string            `json:"query"`  // without the question mark
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
	Base64    bool              `json:"base64"` // how Body is written
}

// invoked is the answer of a function, as data: a browser never sees it as a page of the console's origin.
type invoked struct {
	Status    int         `json:"status"`
	Headers   http.Header `json:"headers"`
	Body      string      `json:"body"`
	Base64    bool        `json:"base64"` // how Body is written: text that is not UTF-8 is
	Truncated bool        `json:"truncated,omitempty"`
	TookMS    float64     `json:"took_ms"`
}

// invoke answers POST /invoke: it calls a function as a caller of the gateway would, with the same limits.
func (c *Console) invoke(w http.ResponseWriter, r *http.Request, _ *session) {
	var in invocation
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxInvocation)).Decode(&in); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			refuse(w, http.StatusRequestEntityTooLarge, "the call is too large for the console")
			return
		}
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the body is not JSON of the right form: %v", err))
		return
	}
	call, err := in.request(r, c.cfg.Host)
	if err != nil {
		refuse(w, hearth.CodeOf(err).Status(), hearth.MessageOf(err))
		return
	}
	began := time.Now()
	out := &recorder{header: http.Header{}}
	broken := out.record(c.cfg.Calls, call)
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody waits for the answer
	}
	if broken && out.status == 0 {
		refuse(w, http.StatusBadGateway, "the call ended without an answer")
		return
	}
	res := out.result()
	res.Truncated = res.Truncated || broken
	res.TookMS = math.Round(float64(time.Since(began).Microseconds())/10) / 100
	answer(w, res)
}

// request makes the call that an invocation describes. It seems to come from the address that the invocation
// came from.
func (in invocation) request(from *http.Request, host string) (*http.Request, error) {
	n := hearth.Name{Function: in.Function, Namespace: in.Namespace}
	if n.Namespace == "" {
		n.Namespace = hearth.DefaultNamespace
	}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	body, err := in.bytes()
	if err != nil {
		return nil, err
	}
	target := "/function/" + n.String()
	if in.Async {
		target = "/async-function/" + n.String()
	}
	if in.Path != "" && !strings.HasPrefix(in.Path, "/") {
		return nil, hearth.Errorf(hearth.Invalid, "the field path is %.80q, want one that begins with /",
			in.Path)
	}
	if strings.ContainsAny(in.Path, "?#") || strings.Contains(in.Query, "#") {
		return nil, hearth.Errorf(hearth.Invalid, "put the query into the field query, and leave out ? and #")
	}
	if target += in.Path; in.Query != "" {
		target += "?" + in.Query
	}
	u, err := url.ParseRequestURI(target)
	if err != nil || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, hearth.Errorf(hearth.Invalid, "the path or the query has characters that must be "+
			"encoded, such as a space as %%20")
	}
	method := in.Method
	if method == "" {
		method = http.MethodPost
	}
	call, err := http.NewRequestWithContext(from.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid, "the method is %.40q, want one such as POST", method)
	}
	call.URL, call.RequestURI, call.Host, call.RemoteAddr = u, target, host, from.RemoteAddr
	if len(body) == 0 {
		call.Body = http.NoBody
	}
	for name, value := range in.Headers {
		if err := checkHeader(name, value); err != nil {
			return nil, err
		}
		call.Header.Set(name, value)
	}
	return call, nil
}

// bytes returns the body of the call.
func (in invocation) bytes() ([]byte, error) {
	body := []byte(in.Body)
	if in.Base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.Body); err != nil {
			return nil, hearth.Errorf(hearth.Invalid, "the field body is not base64")
		}
	}
	if len(body) > maxCalled {
		return nil, hearth.Errorf(hearth.Invalid, "the console sends bodies of up to %d bytes, and this "+
			"has %d", maxCalled, len(body))
	}
	return body, nil
}

// checkHeader refuses headers that cannot be sent, and those that say how a message is sent.
func checkHeader(name, value string) error {
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return hearth.Errorf(hearth.Invalid, "the header %.80q has characters that cannot be sent", name)
	}
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
		"Upgrade":
		return hearth.Errorf(hearth.Invalid, "the header %s cannot be chosen: it says how a call is sent",
			name)
	}
	return nil
}

// recorder keeps an answer, up to maxAnswer bytes of its body.
type recorder struct {
	header http.Header
	status int
	sent   http.Header // as it was when the head was written
	body   bytes.Buffer
	full   bool
}

var errFull = errors.New("the console shows no more of this answer")

// record serves a request, and reports whether the answer broke off.
func (w *recorder) record(h http.Handler, r *http.Request) (broken bool) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			broken = true
		default:
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write fails when the recorder is full, so that an endless answer ends.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	room := min(maxAnswer-w.body.Len(), len(p))
	w.body.Write(p[:room])
	if room < len(p) {
		w.full = true
		return room, errFull
	}
	return room, nil
}

// Flush is for handlers that send an answer bit by bit. The recorder keeps it together.
func (w *recorder) Flush() {}

// result returns the answer that was recorded.
func (w *recorder) result() invoked {
	w.WriteHeader(http.StatusOK) // an empty answer
	text := w.body.Bytes()
	if w.full {
		text = wholeRunes(text)
	}
	res := invoked{Status: w.status, Headers: w.sent, Body: string(text), Truncated: w.full}
	if !utf8.Valid(text) {
		res.Body, res.Base64 = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	return res
}

// wholeRunes drops the beginning of a character from the end of a text that was cut.
func wholeRunes(text []byte) []byte {
	for cut := 0; cut < utf8.UTFMax && cut < len(text); cut++ {
		if r, size := utf8.DecodeLastRune(text[:len(text)-cut]); r != utf8.RuneError || size > 1 {
			return text[:len(text)-cut]
		}
	}
	return text
}
