package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/tracing"
)

const (
	headerCallback  = "X-Callback-Url"
	headerKey       = "Idempotency-Key" // see draft-ietf-httpapi-idempotency-key-header
	headerCallState = "X-Call-State"    // of an answer: a redis.State

	maxKey = 255 // bytes of an Idempotency-Key

	// For Redis to take a call, so that the caller of a Redis that hangs does not.
	queueTimeout = 3 * time.Second
)

// enqueue handles an async call.
func (g *Gateway) enqueue(w http.ResponseWriter, r *http.Request) error {
	target, _, _ := targetOf(r)
	n, path, err := functionOf(target, "/async-function/")
	if err != nil {
		return err
	}
	cors := g.corsOf(r, n)
	if cors.preflight(w, r, http.MethodPost) {
		return nil
	}
	cors.apply(w.Header())
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		chain.Problem{
			Status: http.StatusMethodNotAllowed,
			Title:  "Method Not Allowed",
			Detail: "a function is called asynchronously with POST",
		}.Write(w)
		return nil
	}
	f, ok := g.cfg.Registry.Function(n)
	if !ok {
		return hearth.NotFoundError(n)
	}
	if !g.withinRate(w, r, n) {
		return nil
	}
	at, err := deliverAt(r.Header, time.Now(), g.cfg.MaxDelay)
	if err != nil {
		return err
	}
	callback := r.Header.Get(headerCallback)
	if callback != "" {
		if !f.Callbacks {
			return hearth.Errorf(hearth.Invalid, "function %s makes no callbacks: call it without %s",
				n.Function, headerCallback)
		}
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
	body, tooLarge, err := readLimited(r, maxAsyncBody)
	if err != nil {
		return hearth.Errorf(hearth.Invalid, "the body ended early, or took longer than %v", bodyTimeout)
	}
	_ = deadline.SetReadDeadline(time.Time{})
	if tooLarge {
		chain.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too large",
			Detail: "the body of a queued call may have " + strconv.Itoa(maxAsyncBody) +
				" bytes; call the function synchronously, or store the body elsewhere"}.Write(w)
		return nil
	}
	callID := callIDOf(r)
	key, err := keyOf(r.Header)
	if err != nil {
		return err
	}
	now := time.Now()
	header := g.headersOf(r, callID, now)
	for _, name := range []string{headerCallback, headerDelay, headerDeliverAt} {
		delete(header, name)
	}
	delete(header, "Content-Length")
	delete(header, "Content-Type") // the entry has it
	delete(header, wire.HeaderCallID)
	delete(header, wire.HeaderTraceparent)
	call := redis.Call{Key: key, Entry: wire.Entry{
		Body:        body,
		CallID:      callID,
		Method:      r.Method,
		Query:       r.URL.RawQuery,
		Header:      header,
		Callback:    callback,
		DeliverAt:   at,
		Traceparent: r.Header.Get(wire.HeaderTraceparent),
		ContentType: r.Header.Get("Content-Type"),
	}}
	if path != "/" {
		call.Path = path
	}
	queued, err := g.queue(r, f, call)
	if err != nil {
		return err
	}
	w.Header()[headerStartTime] = header[headerStartTime]
	accepted(w, n, queued)
	return nil
}

// queue queues a call of a function, and tells the dispatcher. The end of the request does not stop it.
func (g *Gateway) queue(r *http.Request, f hearth.Function, call redis.Call) (redis.QueuedCall, error) {
	n := f.Name()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), queueTimeout)
	defer cancel()
	ctx, span := g.cfg.Tracer.Send(ctx, tracing.Message{
		Function: n,
		Stream:   redis.CallsOf(n).Stream,
		CallID:   call.CallID,
	})
	call.Traceparent = span.Traceparent(call.Traceparent)
	queued, err := g.cfg.Queue.Enqueue(ctx, n, call, f.Queue.Or(g.cfg.QueueLimit))
	span.End(err)
	if errors.Is(err, redis.ErrNoGroup) {
		if _, ok := g.cfg.Registry.Function(n); !ok || !g.cfg.Registry.Deployed(ctx, n) {
			return queued, hearth.NotFoundError(n) // it was removed meanwhile, perhaps by another instance
		}
		return queued, hearth.Errorf(hearth.Unavailable,
			"the queue of %s is missing in Redis: deploy the function again", n.Function)
	}
	if err != nil {
		return queued, err
	}
	if queued.Dropped > 0 {
		g.cfg.Log.Warn("dropped dead callbacks to make room", "function", n.String(), "count", queued.Dropped)
	}
	if !queued.Before {
		g.cfg.Dispatch.Notify(n, redis.CallsOf(n))
	}
	return queued, nil
}

// keyOf returns a call's Idempotency-Key, or "".
func keyOf(h http.Header) (string, error) {
	values := h[headerKey]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", hearth.Errorf(hearth.Invalid, "the %s is given %d times: give one", headerKey, len(values))
	case len(values[0]) > maxKey:
		return "", hearth.Errorf(hearth.Invalid, "the %s has %d bytes, want at most %d", headerKey,
			len(values[0]), maxKey)
	}
	return values[0], nil
}

// accepted answers a call that was queued now or before: with 202 as long as it has not ended, else with 200.
func accepted(w http.ResponseWriter, n hearth.Name, queued redis.QueuedCall) {
	header := w.Header()
	header[wire.HeaderCallID] = []string{queued.CallID}
	header[headerCallState] = []string{string(queued.State)}
	if queued.ID != "" {
		header[wire.HeaderMessageID] = []string{queued.ID}
	}
	switch queued.State {
	case redis.Finished:
		w.WriteHeader(http.StatusOK)
	case redis.Dead:
		header["Content-Type"] = []string{"text/plain; charset=utf-8"}
		w.WriteHeader(http.StatusOK)
		_, _ = fmt.Fprintf(w,
			"the call is a dead letter of %s, and runs again only if an operator redrives it\n", n.Function)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// checkCallback refuses a callback URL that can never be called.
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
