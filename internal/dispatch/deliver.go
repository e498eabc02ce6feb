package dispatch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/headers"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/hearthfaas/hearth/internal/tracing"
)

// DefaultCallbackBytes is how many bytes of an answer go into a callback by default: AWS Lambda's limit for
// answers.
const DefaultCallbackBytes = 6 << 20

const (
	maxRead    = 64 << 10 // bytes of an answer without a callback that are read
	maxRest    = 6 << 20  // bytes that are read and discarded, so that the connection can be used again
	maxExcerpt = 1 << 10  // bytes of an answer that a dead letter keeps

	headerTruncated = "X-Function-Truncated" // on a callback whose body is not the whole answer
)

// errCancelled is why a call ends whose message was deleted from the queue.
var errCancelled = errors.New("the call was cancelled")

// deliver calls the function for one message, and carries out what is decided by the outcome. ctx is that of
// the call, all that of all calls. It calls over, once, when the call is over. It returns after how
// long the queue should be looked at again for the message; a negative duration is never.
func (d *Dispatcher) deliver(
	all, ctx context.Context, f hearth.Function, s Subscription, callback bool, h *inFlight,
	over func(),
) time.Duration {
	del := h.delivery()
	policy := f.Retry
	if callback {
		policy = hearth.DefaultRetry
	}
	var e wire.Entry
	var got answer
	var span *tracing.Span
	var entry calls.Entry
	err := error(hearth.Errorf(hearth.Invalid, "the message is gone from its stream"))
	if del.Fields != nil {
		e, err = wire.ParseEntry(del.Fields)
	}
	if err == nil {
		e.Header, err = d.headersOf(e, s, callback)
	}
	switch {
	case err != nil: // it will be the same next time
		got.outcome = outcome{
			reached:   true,
			malformed: true,
			status:    http.StatusUnprocessableEntity,
			reason:    err.Error(),
		}
	case del.Attempt > policy.Attempts: // a call that crashes the instance itself must not do so for ever
		got.outcome = outcome{
			reached:  true,
			internal: true,
			lapsed:   true,
			reason: fmt.Sprintf("%d attempts were begun, and the outcome of the last one is unknown",
				del.Attempt-1),
		}
		if s.LeaveAck {
			got.status, got.reason = http.StatusGatewayTimeout,
				"the function was called and did not commit in time"
		}
	case callback:
		ctx, span = d.cfg.Tracer.CallBack(ctx, messageOf(f.Name(), s, del, e), e.Callback)
		entry = entryOf(del, e, span)
		e.Traceparent = span.Traceparent(e.Traceparent)
		got = d.callBack(ctx, e)
	default:
		ctx, span = d.cfg.Tracer.Deliver(ctx, messageOf(f.Name(), s, del, e))
		entry = entryOf(del, e, span)
		e.Traceparent = span.Traceparent(e.Traceparent) // for the callback, too
		if s.Topic != "" {                              // the function's commit settles it
			del = d.recorded(del, entry)
		}
		got = d.call(ctx, f, s, del, e)
	}
	over()
	answered(&entry, f, e, got)
	if got.attempt = del.Attempt; got.lapsed {
		got.attempt--
	}
	event := Delivered{Attempt: got.attempt, Callback: callback, Waited: waited(del, e)}
	end := func(result, reason string) {
		event.Outcome = result
		d.failures.record(s.Subscription, del.ID, result, reason, got.attempt)
		span.EndDelivered(result, got.status, reason)
	}
	if context.Cause(ctx) == errCancelled {
		end(Cancelled, "")
		d.cfg.Delivered(f.Name(), event)
		return -1
	}
	if got.header.Get(wire.HeaderSettled) == del.ID && s.Topic != "" && got.status == http.StatusOK {
		end(Done, "")
		if d.cfg.Details != nil {
			d.cfg.Details.Add(s.Subscription, del.ID, entry)
		}
		d.cfg.Delivered(f.Name(), event)
		return -1 // the function's commit has settled it
	}
	if s.LeaveAck && got.status == http.StatusAccepted {
		end(Accepted, "")
		return -1
	}
	v := decide(policy, got.attempt, time.Since(del.Since), got.outcome,
		spread{cmp.Or(policy.Backoff, d.cfg.Backoff), rand.Float64()})
	end(outcomeOf[v.do], v.reason)
	if v.do == bury {
		event.Reason = v.kind
	}
	defer d.cfg.Delivered(f.Name(), event) // when Redis has the outcome
	if isStopping(all) && v.do == giveBack {
		d.persist(all, "give back "+del.ID, func(ctx context.Context) error {
			_, err := d.cfg.Queue.BreakOff(ctx, s.Subscription, h.delivery())
			return err
		})
		return -1
	}
	return d.do(all, v, f, s, h, e, got, entry)
}

// headersOf returns the headers for the call or callback of a message. Anybody with write access to Redis may
// have added the message.
func (d *Dispatcher) headersOf(e wire.Entry, s Subscription, callback bool) (http.Header, error) {
	h, err := headers.OfEntry(e.Header)
	if err != nil || callback {
		return h, err
	}
	topic, scheduled := h.Get(wire.HeaderTopic), h.Get(wire.HeaderScheduleTime)
	headers.DropDelivery(h)
	if topic == wire.TopicCron && s.Topic == "" {
		h.Set(wire.HeaderTopic, topic)
		h.Set(wire.HeaderScheduleTime, scheduled)
	}
	return h, nil
}

// waited returns how long a message was queued before its first delivery. Its id begins with the ms at which
// Redis added it; of a message with an id of another kind nobody knows, and it returns 0.
func waited(del redis.Delivery, e wire.Entry) time.Duration {
	text, _, _ := strings.Cut(del.ID, "-")
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	from := time.UnixMilli(ms)
	if e.DeliverAt.After(from) {
		from = e.DeliverAt
	}
	const longest = 365 * 24 * time.Hour
	if d := del.Since.Sub(from); d > 0 && d < longest {
		return d
	}
	return 0
}

// messageOf returns a message as its spans show it.
func messageOf(n hearth.Name, s Subscription, del redis.Delivery, e wire.Entry) tracing.Message {
	return tracing.Message{
		Function:    n,
		Stream:      s.Stream,
		Group:       s.Group,
		ID:          del.ID,
		CallID:      e.CallID,
		Attempt:     del.Attempt,
		Traceparent: e.Traceparent,
	}
}

// do carries out a verdict. It returns what deliver does.
func (d *Dispatcher) do(
	all context.Context, v verdict, f hearth.Function, s Subscription, h *inFlight, e wire.Entry,
	got answer, entry calls.Entry,
) time.Duration {
	del := h.delivery() // now: this instance may have taken it anew during the call
	var cb *redis.Callback
	if e.Callback != "" && s.Topic == "" && s.Subscription == redis.CallsOf(f.Name()) &&
		(v.do == settle || v.do == bury) {
		cb = d.callbackOf(f.Name(), e, del.Attempt, f.Retry.Attempts, got)
		d.persist(all, "queue the callback of "+del.ID, func(ctx context.Context) error {
			return d.cfg.EnsureCallbacks(ctx, f.Name(), false)
		})
	}
	failure := redis.Failure{At: time.Now().UTC(), Attempt: got.attempt, Reason: v.reason, Status: got.status,
		Body: excerpt(got.body), Replica: got.header.Get(router.HeaderReplica)}
	log := func() *slog.Logger {
		of, _ := redis.QueueOf(s.Subscription)
		return d.cfg.Log.With("function", f.Name().String(), "queue", of.Name,
			"id", del.ID, "call_id", e.CallID, "attempt", del.Attempt)
	}
	switch v.do {
	case settle:
		if cb == nil {
			d.settling.settle(s.Subscription, d.recorded(del, entry))
			break
		}
		d.persist(all, "settle "+del.ID, func(ctx context.Context) error {
			_, err := d.cfg.Queue.Settle(ctx, s.Subscription, d.recorded(h.delivery(), entry), cb)
			return err
		})
	case giveBack:
		d.persist(all, "give back "+del.ID, func(ctx context.Context) error {
			_, err := d.cfg.Queue.Busy(ctx, s.Subscription, del, v.wait)
			return err
		})
		return v.wait
	case retry:
		log().Debug("call failed and is retried", "reason", v.reason, "wait", v.wait)
		d.persist(all, "give back "+del.ID, func(ctx context.Context) error {
			_, err := d.cfg.Queue.Retry(ctx, s.Subscription, del, v.wait, failure)
			return err
		})
		return v.wait
	case bury:
		d.persist(all, "bury "+del.ID, func(ctx context.Context) error {
			held, err := d.cfg.Queue.Bury(ctx, s.Subscription, del, failure, cb)
			if held {
				log().Warn("message became a dead letter", "reason", v.reason)
			}
			return err
		})
	}
	if cb != nil {
		// Again: the function may have been removed meanwhile, and its queues with it.
		d.persist(all, "keep the callback of "+del.ID, func(ctx context.Context) error {
			return d.cfg.EnsureCallbacks(ctx, f.Name(), true)
		})
		d.Notify(f.Name(), redis.CallbacksOf(f.Name()))
	}
	return -1
}

// call calls the function.
func (d *Dispatcher) call(
	ctx context.Context, f hearth.Function, s Subscription, del redis.Delivery, e wire.Entry,
) answer {
	path, method := e.Path, e.Method
	if path == "" {
		path = "/"
	}
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://function/", bytes.NewReader(e.Body))
	if err != nil {
		return answer{outcome: outcome{
			reached: true,
			status:  http.StatusUnprocessableEntity,
			reason:  err.Error(),
		}}
	}
	if p, err := url.PathUnescape(path); err == nil {
		req.URL.Path, req.URL.RawPath = p, path
	}
	req.URL.RawQuery = e.Query
	req.Header = maps.Clone(e.Header)
	if e.ContentType != "" {
		req.Header.Set("Content-Type", e.ContentType)
	} else if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	if e.CallID == "" {
		e.CallID = del.ID
	}
	wire.Delivery{Topic: s.Topic, Group: s.Group, ID: del.ID, Token: del.Token, Attempt: del.Attempt,
		CallID: e.CallID, Traceparent: e.Traceparent, Record: del.Record}.SetHeader(req.Header)
	req.Header.Set(wire.HeaderConnector, d.cfg.Connector)
	began := time.Now()
	res, err := d.target.RoundTrip(f.Name(), req)
	limit := int64(maxRead)
	if e.Callback != "" {
		limit = d.cfg.CallbackBytes
	}
	return d.read(ctx, res, err, began, limit)
}
