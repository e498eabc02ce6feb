package chain

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/redis/go-redis/v9"
)

// A Commit is what a step has decided to do. The zero Commit acknowledges the message and does nothing else.
type Commit struct {
	Script   *Script   // changes state and may hand on; use Forward if there is no state to change
	Args     any       // the script's args, as JSON
	Messages []Message // handed on besides those that the script emits; the script must declare their topics
}

// A Message is what one function hands on to the next.
type Message struct {
	Topic string
	Body  any // as JSON
}

// A Refusal is the error of a commit whose plan refused. Nothing was written.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

// Errors of a commit that was not made. Nothing was written.
var (
	// ErrForged is returned for a token that was never issued for the message.
	ErrForged = errors.New("the delivery token does not belong to this message")
	// ErrNotDelivered is returned if the message was not delivered to the group, or the group does not exist.
	ErrNotDelivered = errors.New("the message was not delivered to this subscription")
)

// Apply runs the commit of a call that brought no message, such as an order over HTTP, and returns the
// script's reply as JSON. Such a call has nothing to acknowledge, so its script must keep its own record of
// what was done.
//
// It returns a *Refusal if the plan refused, and Redis's error if Redis is unavailable or full.
func (c Commit) Apply(ctx context.Context, rdb redis.Scripter) (json.RawMessage, error) {
	from, _ := ctx.Value(callerKey{}).(wire.Delivery)
	reply, _, err := c.run(ctx, rdb, from, nil)
	return reply, err
}

// A redisError is an error of Redis. A step's own network errors are failures of the step.
type redisError struct{ error }

func (e *redisError) Unwrap() error { return e.error }

type callerKey struct{}

// WithCaller gives Apply the call id and trace context of a call, which messages carry on: so an order can be
// traced through all functions.
func WithCaller(ctx context.Context, h http.Header) context.Context {
	return context.WithValue(ctx, callerKey{},
		wire.Delivery{CallID: h.Get(wire.HeaderCallID), Traceparent: h.Get(wire.HeaderTraceparent)})
}

// Settle runs the commit of a message. done is true if the message was settled before: then nothing was
// changed, and reply is empty. body is the message's body, whose digest replaces the token if the connector
// issued none.
//
// It returns a *Refusal if the plan refused, ErrForged, ErrNotDelivered, or Redis's error.
func (c Commit) Settle(
	ctx context.Context, rdb redis.Scripter, d wire.Delivery, body []byte,
) (reply json.RawMessage, done bool, err error) {
	return c.run(ctx, rdb, d, body)
}

func (c Commit) run(
	ctx context.Context, rdb redis.Scripter, d wire.Delivery, body []byte,
) (json.RawMessage, bool, error) {
	s := c.Script
	if s == nil {
		s = acknowledge
	}
	args, err := json.Marshal(c.Args)
	if err != nil {
		return nil, false, fmt.Errorf("commit %s: encode the arguments: %w", s.name, err)
	}
	messages, err := s.encode(c.Messages)
	if err != nil {
		return nil, false, err
	}

	keys, lua, digest, record := s.redisKeys(), s.accepts, "", ""
	if d.ID != "" {
		stream, err := wire.Stream(d.Topic)
		if err != nil {
			return nil, false, fmt.Errorf("commit %s: %w", s.name, err)
		}
		if tag := wire.Tag(stream); s.tag != "" && tag != s.tag {
			return nil, false, fmt.Errorf(
				"commit %s: the message is of topic %s, the script's keys have the tag {%s}",
				s.name, d.Topic, s.tag)
		}
		sub := wire.Subscription{Stream: stream, Group: d.Group}
		keys = append(sub.Keys(), keys...)
		if record = d.Record; record != "" {
			keys = append(keys, sub.Record())
		}
		lua = s.finishes
		if d.Token == "" {
			sum := sha1.Sum(body)
			digest = hex.EncodeToString(sum[:])
		}
	}
	argv := []any{d.ID, d.Group, d.Token, digest, args, d.CallID, d.Traceparent, messages, record}
	got, err := lua.Run(ctx, rdb, keys, argv...).StringSlice()
	if err != nil {
		return nil, false, fmt.Errorf("commit %s: %w", s.name, &redisError{err})
	}
	switch got[0] {
	case "committed":
		return json.RawMessage(got[1]), false, nil
	case "done":
		return nil, true, nil
	case "refused":
		return nil, false, &Refusal{Reason: got[1]}
	case "forged":
		return nil, false, fmt.Errorf("commit %s of message %s: %w", s.name, d.ID, ErrForged)
	case "undelivered", "nogroup":
		return nil, false, fmt.Errorf("commit %s of message %s of %s for %s: %w",
			s.name, d.ID, d.Topic, d.Group, ErrNotDelivered)
	case "wrongtype":
		return nil, false, fmt.Errorf(
			"commit %s: the Redis key %s holds another type than the script declares", s.name, got[1])
	}
	return nil, false, fmt.Errorf("commit %s: unexpected answer %q", s.name, got)
}

// encode returns the messages as the script takes them.
func (s *Script) encode(messages []Message) ([]byte, error) {
	type encoded struct {
		Topic string `json:"topic"`
		Body  string `json:"body"`
	}
	if len(messages) == 0 {
		return []byte("[]"), nil
	}
	list := make([]encoded, len(messages))
	for i, m := range messages {
		if !s.declares(m.Topic) {
			return nil, fmt.Errorf("commit %s: hands on to %s, which it does not declare", s.name, m.Topic)
		}
		body, err := json.Marshal(m.Body)
		if err != nil {
			return nil, fmt.Errorf("commit %s: encode a message of %s: %w", s.name, m.Topic, err)
		}
		list[i] = encoded{Topic: m.Topic, Body: string(body)}
	}
	return json.Marshal(list)
}
