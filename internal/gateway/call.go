package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
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

// functionOf splits /function/NAME[.NS][/path] at the prefix, and keeps the path as it was escaped.
func functionOf(u *url.URL, prefix string) (n hearth.Name, path string, err error) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), prefix), "/")
	if name == "" {
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
	for _, listed := range h["Connection"] {
		for name := range strings.SplitSeq(listed, ",") {
			delete(h, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
	if !g.cfg.Plain {
		for _, name := range chain.DeliveryHeaders {
			delete(h, name)
		}
	}
	h[chain.HeaderCallID] = []string{callID}
	h[headerStartTime] = []string{strconv.FormatInt(now.UnixNano(), 10)}
	if _, ok := h["X-Forwarded-Host"]; !ok {
		h["X-Forwarded-Host"] = []string{r.Host}
	}
	if _, ok := h["X-Forwarded-For"]; !ok {
		h["X-Forwarded-For"] = []string{r.RemoteAddr}
	}
	return h
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

// call is a sync call.
func (g *Gateway) call(w http.ResponseWriter, r *http.Request) error {
	n, path, err := functionOf(r.URL, "/function/")
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return nil
	}
	callID, _ := callIDOf(r)
	now := time.Now()
	out := (&http.Request{Method: r.Method, URL: &url.URL{RawQuery: r.URL.RawQuery}, Header: g.headersOf(r, callID, now),
		ContentLength: r.ContentLength}).WithContext(r.Context())
	if out.URL.Path, err = url.PathUnescape(path); err != nil {
		return hearth.Errorf(hearth.Invalid, "the path cannot be read")
	}
	out.URL.RawPath = path
	if err := g.giveBody(w, n, out, r); err != nil {
		return err
	}
	res, err := g.cfg.Router.RoundTrip(n, out)
	if err != nil {
		w.Header().Set(chain.HeaderCallID, callID)
		return err
	}
	defer func() { _ = res.Body.Close() }()
	header := w.Header()
	for name, values := range res.Header {
		header[name] = values
	}
	for _, name := range hopByHop {
		delete(header, name)
	}
	delete(header, router.HeaderReplica)
	delete(header, chain.HeaderSettled)
	header[chain.HeaderCallID] = []string{callID}
	header[headerStartTime] = out.Header[headerStartTime]
	if _, ok := header["Content-Type"]; !ok && res.ContentLength != 0 {
		header["Content-Type"] = contentTypeOf(r)
	}
	w.WriteHeader(res.StatusCode)
	copyBody(w, res)
	return nil
}

// contentTypeOf is what an answer without a type is said to be: the request's, as OpenFaaS has it.
func contentTypeOf(r *http.Request) []string {
	if t, ok := r.Header["Content-Type"]; ok {
		return t
	}
	return []string{"text/plain; charset=utf-8"}
}

// giveBody gives the call its body: a small one in a way that can be sent again.
func (g *Gateway) giveBody(w http.ResponseWriter, n hearth.Name, out, r *http.Request) error {
	deadline := http.NewResponseController(w)
	switch {
	case r.ContentLength == 0:
	case r.ContentLength > 0 && r.ContentLength <= maxReplay:
		body := make([]byte, r.ContentLength)
		_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout))
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return hearth.Errorf(hearth.Invalid, "the body broke off, or took longer than %v", bodyTimeout)
		}
		_ = deadline.SetReadDeadline(time.Time{})
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = out.GetBody()
	default:
		timeout, _ := g.cfg.Router.Timeout(n)
		_ = deadline.SetReadDeadline(time.Now().Add(timeout + bodyTimeout))
		out.Body = r.Body
	}
	return nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copyBody sends an answer on as it comes. One of unknown length may be a stream, whose parts are not held back.
func copyBody(w http.ResponseWriter, res *http.Response) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	out := http.NewResponseController(w)
	for {
		n, err := res.Body.Read(*buffer)
		if n > 0 {
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // a caller that does not read holds nothing for ever
			if _, err := w.Write((*buffer)[:n]); err != nil {
				return
			}
			if res.ContentLength < 0 {
				_ = out.Flush()
			}
		}
		if err != nil {
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // for the end
			if err != io.EOF {
				panic(http.ErrAbortHandler) // so that the caller sees that the answer is cut
			}
			return
		}
	}
}

// enqueue is an async call.
func (g *Gateway) enqueue(w http.ResponseWriter, r *http.Request) error {
	n, path, err := functionOf(r.URL, "/async-function/")
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
	callID, err = g.cfg.Queue.Enqueue(ctx, n, call, f.QueueLimit(g.cfg.QueueLimit))
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
