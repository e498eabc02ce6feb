package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

// Permanent marks an error of a step that a retry would not change, such as a message that makes no sense. It
// is answered with 422, and the message becomes a dead letter at once.
func Permanent(err error) error { return &permanent{err} }

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// Handle makes an OpenFaaS handler of a step: a function that takes a message of a topic, decoded from JSON,
// and returns what to commit. An error of the step means that nothing happened; the message is delivered
// again, unless it is Permanent.
//
// The handler answers
//
//	200  committed, with the script's reply; or settled before
//	400  the call brings no message of the topic, or its body is not JSON of the message's type
//	403  the delivery token does not belong to the message
//	422  a Permanent error, or the plan refused
//	500  the step failed, also by a network error of its own, or the commit did
//	503  Redis is unavailable; with wire.HeaderInternal, as it is not the function's failure
//
// All errors are application/problem+json, and each is logged. A 4xx is final: the message becomes a dead
// letter.
//
// The topic is checked when the chain is declared: Handle panics if it is malformed.
func Handle[M any](
	topic string, step func(context.Context, M) (Commit, error),
) func(handler.Request) (handler.Response, error) {
	if _, err := wire.Stream(topic); err != nil {
		panic("chain: " + err.Error())
	}
	return func(r handler.Request) (handler.Response, error) {
		d, ok := wire.DeliveryOf(r.Header)
		if !ok && d.Topic == wire.TopicCron {
			return Problem{
				Status: http.StatusBadRequest,
				Title:  "Not a message",
				Detail: fmt.Sprintf("This is a scheduled invocation, and the function only takes "+
					"messages of the topic %s. Answer calls with %s: %s before chain.Handle, "+
					"or remove that topic from the function.", topic, wire.HeaderTopic, wire.TopicCron),
			}.Response(), nil
		}
		if !ok || d.Topic != topic {
			return Problem{
				Status: http.StatusBadRequest,
				Title:  "Not a message",
				Detail: fmt.Sprintf("This function takes messages of the topic %s, delivered with "+
					"the headers %s, %s and %s. Put one on its stream instead of calling the function.",
					topic, wire.HeaderTopic, wire.HeaderSubscription, wire.HeaderMessageID),
			}.Response(), nil
		}
		var message M
		if err := json.Unmarshal(r.Body, &message); err != nil {
			return failed(d, Problem{Status: http.StatusBadRequest, Title: "Malformed message",
				Detail: fmt.Sprintf("message %s of %s: %v", d.ID, topic, err)}), nil
		}
		ctx := r.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		rdb, err := Redis(ctx)
		if err != nil {
			return failed(d, failure(err)), nil
		}
		commit, err := step(ctx, message)
		if err != nil {
			return failed(d, failure(err)), nil
		}
		began := time.Now()
		reply, done, err := commit.Settle(ctx, rdb, d, r.Body)
		if err != nil {
			return failed(d, failure(err)), nil
		}
		if done {
			reply = json.RawMessage(`{"done":"before"}`)
		}
		took := float64(time.Since(began).Microseconds()) / 1000
		return handler.Response{StatusCode: http.StatusOK, Body: reply, Header: http.Header{
			"Content-Type":        {"application/json"},
			wire.HeaderSettled:    {d.ID},
			wire.HeaderCommitTime: {strconv.FormatFloat(took, 'f', -1, 64)},
		}}, nil
	}
}

// failed logs why a delivery failed, and returns the answer.
func failed(d wire.Delivery, p Problem) handler.Response {
	log.Printf("message %s of %s, attempt %d: %s: %s",
		d.ID, d.Topic, d.Attempt, p.Title, strconv.Quote(p.Detail))
	return p.Response()
}

// failure returns the answer to an error of a step or of its commit.
func failure(err error) Problem {
	var (
		final   *permanent
		refused *Refusal
		redis   *redisError
	)
	switch {
	case errors.As(err, &final):
		return Problem{Status: http.StatusUnprocessableEntity, Title: "Cannot be done", Detail: err.Error()}
	case errors.As(err, &refused):
		return Problem{Status: http.StatusUnprocessableEntity, Title: "Refused", Detail: refused.Reason}
	case errors.Is(err, ErrForged):
		return Problem{Status: http.StatusForbidden, Title: "Not yours to commit", Detail: err.Error()}
	case errors.As(err, &redis) && (wire.IsUnavailable(redis) || wire.RefusesUser(redis)):
		return Problem{
			Status:   http.StatusServiceUnavailable,
			Title:    "Redis is unavailable",
			Detail:   err.Error(),
			Internal: "chain",
		}
	}
	return Problem{Status: http.StatusInternalServerError, Title: "The step failed", Detail: err.Error()}
}
