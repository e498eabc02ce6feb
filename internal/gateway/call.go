package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/hearthfaas/hearth/internal/tracing"
)

const (
	headerStartTime = "X-Start-Time"
	headerCallback  = "X-Callback-Url"

	// maxReplay is how many bytes of a body are read before the call is sent, so that it can be sent to another replica when
	// the first took nothing of it.
	maxReplay = 64 << 10

	maxCallID = 200 // bytes of an X-Call-Id that is kept

	queueTimeout = 3 * time.Second  // for Redis to take a call; a stopped one says nothing, and its caller should not hang
	bodyTimeout  = 30 * time.Second // for a body that is read before the call is made
	writeTimeout = time.Minute      // for a caller to take the next part of an answer
)

// hopByHop are headers that speak of one connection only; RFC 9110, 7.6.1.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// targetOf is the path and the query of a request as they were sent. Those of net/url are the same to it, but not to a function that
// reads them byte for byte.
func targetOf(r *http.Request) (path, query string, asked bool) {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // absolute form; RFC 9112, 3.2.2
		_, rest, _ := strings.Cut(target, "://")
		target = ""
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		}
	}
	return strings.Cut(target, "?")
}

// functionOf splits /function/NAME[.NS][/path] at the prefix, and keeps the path as it was sent.
func functionOf(path, prefix string) (n hearth.Name, rest string, err error) {
	path, ok := strings.CutPrefix(path, prefix)
	name, rest, _ := strings.Cut(path, "/")
	if !ok || name == "" {
		return n, "", hearth.Errorf(hearth.Invalid, "the path names no function: want %sNAME", prefix)
	}
	n, err = hearth.ParseName(name)
	if err != nil {
		return n, "", hearth.Errorf(hearth.NotFound, "there is no function %.80q", name)
	}
	return n, "/" + rest, nil
}

// headersOf are the headers that a function is given: the caller's, without those of this connection and those that only a
// dispatcher may set, and with OpenFaaS's.
func (g *Gateway) headersOf(r *http.Request, callID string, now time.Time) http.Header {
	h := make(http.Header, len(r.Header)+4)
	for name, values := range r.Header {
		h[name] = values
	}
	dropHops(h)
	if !g.cfg.Plain {
		dropDelivery(h)
	}
	h[chain.HeaderCallID] = []string{callID}
	h[headerStartTime] = []string{strconv.FormatInt(now.UnixNano(), 10)}
	if _, ok := h["X-Forwarded-Host"]; !ok {
		h["X-Forwarded-Host"] = []string{r.Host}
	}
	if _, ok := h["X-Forwarded-For"]; !ok {
		h["X-Forwarded-For"] = []string{r.RemoteAddr}
	}
	if _, ok := h["X-Forwarded-Proto"]; !ok {
		h["X-Forwarded-Proto"] = []string{"http"}
		if r.TLS != nil {
			h["X-Forwarded-Proto"] = []string{"https"}
		}
	}
	return h
}

// dropHops removes what speaks of one connection only, or is said to by its Connection header.
func dropHops(h http.Header) {
	for _, listed := range h["Connection"] {
		for name := range strings.SplitSeq(listed, ",") {
			delete(h, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// dropDelivery removes what only a dispatcher may set, also in a spelling that CGI and WSGI do not tell from it.
func dropDelivery(h http.Header) {
	for _, name := range chain.DeliveryHeaders {
		delete(h, name)
	}
	for name := range h {
		if strings.Contains(name, "_") && slices.Contains(chain.DeliveryHeaders, textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			delete(h, name)
		}
	}
}

// lists tells whether a header lists a token, in any case; RFC 9110, 5.6.1.
func lists(h http.Header, name, token string) bool {
	for _, v := range h[name] {
		for item := range strings.SplitSeq(v, ",") {
			item, _, _ = strings.Cut(item, ";")
			if strings.EqualFold(textproto.TrimString(item), token) {
				return true
			}
		}
	}
	return false
}

// HeadersFor are the headers that a function would be given of a call.
func (g *Gateway) HeadersFor(r *http.Request) http.Header {
	id, _ := callIDOf(r)
	return g.headersOf(r, id, time.Now())
}

// callIDOf is the caller's X-Call-Id, or a new one.
func callIDOf(r *http.Request) (id string, own bool) {
	if id := r.Header.Get(chain.HeaderCallID); id != "" && len(id) <= maxCallID {
		return id, true
	}
	return uuid.NewString(), false
}

// contentTypeOf is what an answer without a type is said to be: the request's, as OpenFaaS has it.
func contentTypeOf(r *http.Request) []string {
	if t, ok := r.Header["Content-Type"]; ok {
		return t
	}
	return []string{"text/plain; charset=utf-8"}
}

// enqueue is an async call.
func (g *Gateway) enqueue(w http.ResponseWriter, r *http.Request) error {
	target, _, _ := targetOf(r)
	n, path, err := functionOf(target, "/async-function/")
	if err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		chain.Problem{Status: http.StatusMethodNotAllowed, Title: "Method Not Allowed", Detail: "a function is called asynchronously with POST"}.Write(w)
		return nil
	}
	f, ok := g.cfg.Registry.Function(n)
	if !ok {
		return router.NotFound(n)
	}
	at, err := deliverAt(r.Header, time.Now())
	if err != nil {
		return err
	}
	callback := r.Header.Get(headerCallback)
	if callback != "" {
		if err := checkCallback(callback); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), queueTimeout)
		err := g.cfg.Registry.EnsureCallbacks(ctx, n, false)
		cancel()
		if err != nil {
			return err
		}
	}
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, tooLarge, err := readLimited(r, g.cfg.MaxAsyncBody)
	if err != nil {
		return hearth.Errorf(hearth.Invalid, "the body broke off, or took longer than %v", bodyTimeout)
	}
	_ = deadline.SetReadDeadline(time.Time{})
	if tooLarge {
		chain.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too large",
			Detail: "a queued call may have " + strconv.FormatInt(g.cfg.MaxAsyncBody, 10) + " bytes; call the function synchronously, or put the body elsewhere"}.Write(w)
		return nil
	}
	callID, own := callIDOf(r)
	now := time.Now()
	header := g.headersOf(r, callID, now)
	for _, name := range []string{headerCallback, headerDelay, headerDeliverAt} {
		delete(header, name)
	}
	delete(header, "Content-Length")
	delete(header, "Content-Type") // the entry has it
	delete(header, chain.HeaderCallID)
	call := redis.Call{Key: r.Header.Get("Idempotency-Key"), Repeated: own, Entry: chain.Entry{Body: body, CallID: callID, Method: r.Method,
		Query: r.URL.RawQuery, Header: header, Callback: callback, DeliverAt: at, Traceparent: r.Header.Get(chain.HeaderTraceparent), ContentType: r.Header.Get("Content-Type")}}
	if path != "/" {
		call.Path = path
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), queueTimeout)
	defer cancel()
	ctx, span := g.cfg.Tracer.Send(ctx, tracing.Message{Function: n, Stream: redis.CallsOf(n).Stream, CallID: callID})
	call.Traceparent = span.Traceparent(call.Traceparent)
	callID, err = g.cfg.Queue.Enqueue(ctx, n, call, f.QueueLimit(g.cfg.QueueLimit))
	span.End(err)
	if errors.Is(err, redis.ErrNoGroup) {
		if _, ok := g.cfg.Registry.Function(n); !ok || !g.cfg.Registry.Deployed(ctx, n) {
			return router.NotFound(n) // it was removed while the body came, perhaps by another hearth
		}
		return hearth.Errorf(hearth.Unavailable, "the queue of %s is lost from Redis: deploy the function again", n.Function)
	}
	if err != nil {
		return err
	}
	g.cfg.Dispatch.Notify(n, redis.CallsOf(n))
	w.Header()[chain.HeaderCallID] = []string{callID}
	w.Header()[headerStartTime] = header[headerStartTime]
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// checkCallback refuses at the door what could never be called.
func checkCallback(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return hearth.Errorf(hearth.Invalid, "the %s is not an absolute http or https URL", headerCallback)
	}
	if err := egress.CheckHost(u.Hostname()); err != nil {
		return hearth.Errorf(hearth.Invalid, "the %s cannot be called: %v", headerCallback, err)
	}
	return nil
}

func readLimited(r *http.Request, limit int64) (body []byte, tooLarge bool, err error) {
	if r.ContentLength > limit {
		return nil, true, nil
	}
	limited := io.LimitReader(r.Body, limit+1)
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(limited, body)
		return body, false, err
	}
	body, err = io.ReadAll(limited)
	return body, int64(len(body)) > limit, err
}
