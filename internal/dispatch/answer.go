package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// An answer is what a call returned.
type answer struct {
	outcome
	attempt int // that got it
	header  http.Header
	body    []byte
	took    time.Duration

	cut    bool // the body is longer than the limit
	broken bool // the answer broke off, so its beginning counts for nothing
}

// read reads an answer up to a limit, and finds out whether the call reached the function.
func (d *Dispatcher) read(
	ctx context.Context, res *http.Response, err error, began time.Time, limit int64,
) answer {
	if err != nil {
		code := hearth.CodeOf(err)
		never := code == hearth.Unavailable || code == hearth.Exhausted || code == hearth.NotFound ||
			errors.Is(err, context.Canceled) && isStopping(ctx)
		a := answer{
			outcome: outcome{reached: !never, internal: true, reason: hearth.MessageOf(err)},
			took:    time.Since(began),
		}
		switch code {
		case hearth.Timeout:
			a.status = http.StatusGatewayTimeout
		case hearth.NotFound:
			a.status = http.StatusNotFound
		case hearth.Unavailable, hearth.Exhausted:
			a.status = code.Status()
		default:
			a.status = http.StatusBadGateway
		}
		return a
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	cut := int64(len(body)) > limit
	if cut {
		body = body[:limit]
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxRest))
	}
	a := answer{
		header: res.Header,
		body:   body,
		cut:    cut,
		took:   time.Since(began),
		outcome: outcome{
			reached:    true,
			status:     res.StatusCode,
			internal:   res.Header.Get(wire.HeaderInternal) != "",
			retryAfter: res.Header.Get("Retry-After"),
		},
	}
	if err != nil {
		a.broken = true
		a.outcome = outcome{
			reached:  true,
			status:   http.StatusBadGateway,
			internal: true,
			reason:   fmt.Sprintf("the answer broke off: %v", err),
		}
	}
	if res.StatusCode >= http.StatusBadRequest {
		a.detail = detailOf(res.Header, body)
	}
	if a.internal &&
		(res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable) {
		a.reached = false // max_inflight, no replica, or Redis is unavailable
	}
	return a
}

// detailOf returns the detail of a problem document (RFC 9457), or "".
func detailOf(header http.Header, body []byte) string {
	var p chain.Problem
	if !strings.HasPrefix(header.Get("Content-Type"), chain.ContentType) || json.Unmarshal(body, &p) != nil {
		return ""
	}
	return excerpt([]byte(p.Detail))
}

// excerpt returns the beginning of a body, for people.
func excerpt(body []byte) string {
	return string(bytes.ToValidUTF8(body[:min(len(body), maxExcerpt)], []byte("?")))
}
