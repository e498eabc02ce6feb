package dispatch

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/egress"
	"github.com/hearthfaas/hearth/internal/headers"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
)

// callbackOf returns the callback of a call that was answered or became a dead letter. It has the answer up
// to the limit. If there is no answer (the function crashed, took too long or was never reached), or it broke
// off, the callback has no body and only the platform's own headers. See
// https://docs.openfaas.com/reference/async/#callback-request-headers.
func (d *Dispatcher) callbackOf(n hearth.Name, e wire.Entry, attempt, most int, got answer) *redis.Callback {
	header, body := maps.Clone(got.header), got.body
	if header == nil || got.broken {
		header, body = http.Header{wire.HeaderInternal: {"proxy"}}, nil
	}
	headers.DropHops(header)
	for _, name := range []string{"Content-Length", wire.HeaderSettled, wire.HeaderCommitTime,
		wire.HeaderAnswer, router.HeaderReplica, router.HeaderColdStart, headerTruncated} {
		header.Del(name)
	}
	if got.cut && !got.broken {
		header.Set(headerTruncated, "true")
		d.cfg.Log.Warn("cut the body of a callback",
			"function", n.String(), "call_id", e.CallID, "limit_bytes", d.cfg.CallbackBytes)
	}
	header.Set(wire.HeaderCallID, e.CallID)
	header.Set("X-Duration-Seconds", strconv.FormatFloat(got.took.Seconds(), 'f', 6, 64))
	header.Set("X-Function-Status", strconv.Itoa(got.status))
	header.Set("X-Function-Name", n.String())
	header.Set("X-Retry", strconv.Itoa(attempt))
	header.Set("X-Retry-Max", strconv.Itoa(most))
	if start := e.Header.Get("X-Start-Time"); start != "" {
		header.Set("X-Start-Time", start)
	}
	return &redis.Callback{Of: n, Entry: wire.Entry{
		Body:        body,
		Header:      header,
		CallID:      e.CallID,
		Callback:    e.Callback,
		Traceparent: e.Traceparent,
	}}
}

// callBack calls the callback URL of a message.
func (d *Dispatcher) callBack(ctx context.Context, e wire.Entry) answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Callback, bytes.NewReader(e.Body))
	if err != nil {
		return answer{outcome: outcome{
			reached: true,
			status:  http.StatusUnprocessableEntity,
			reason:  "the callback URL cannot be called",
		}}
	}
	req.Header = e.Header
	if e.Traceparent != "" {
		req.Header.Set(wire.HeaderTraceparent, e.Traceparent)
	}
	req.Header.Set("User-Agent", "hearth")
	began := time.Now()
	res, err := d.cfg.Callbacks.Do(req)
	if err != nil {
		if isStopping(ctx) {
			return answer{outcome: outcome{reason: errStopping.Error()}}
		}
		if refused := (*egress.Refused)(nil); errors.As(err, &refused) {
			return answer{outcome: outcome{reached: true, final: true, reason: refused.Error()}}
		}
		var u *url.Error // its text has the URL, which may hold a secret
		reason := "the callback URL cannot be reached"
		if errors.As(err, &u) {
			reason += ": " + u.Err.Error()
		}
		return answer{outcome: outcome{
			reached:  true,
			status:   http.StatusBadGateway,
			internal: true,
			reason:   reason,
		}}
	}
	return d.read(ctx, res, nil, began, maxRead)
}
