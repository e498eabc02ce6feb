package bakery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

// Answer is an answer of a function: a status and a value, as JSON.
func Answer(status int, value any) handler.Response {
	body, err := json.Marshal(value)
	if err != nil {
		return Fail(err)
	}
	return handler.Response{
		StatusCode: status,
		Body:       append(body, '\n'),
		Header:     http.Header{"Content-Type": {"application/json"}},
	}
}

// Fail is the answer to an error.
func Fail(err error) handler.Response {
	var input *InputError
	p := chain.Problem{
		Status: http.StatusInternalServerError,
		Title:  "The bakery failed",
		Detail: err.Error(),
	}
	switch {
	case errors.As(err, &input):
		p = chain.Problem{
			Status: http.StatusBadRequest,
			Title:  "Cannot be understood",
			Detail: input.Error(),
			Errors: input.Fields,
		}
	case errors.Is(err, ErrNoOrder):
		p = chain.Problem{
			Status: http.StatusNotFound,
			Title:  "No such order",
			Detail: "there is no order with this id, or it ended long ago",
		}
	case errors.Is(err, ErrConflict), errors.Is(err, ErrRestockConflict):
		p = chain.Problem{
			Status: http.StatusConflict,
			Title:  "Key used before",
			Detail: err.Error() + ": use another key",
		}
	case errors.Is(err, ErrBusy):
		p = chain.Problem{
			Status:     http.StatusTooManyRequests,
			Title:      "Too busy",
			Detail:     err.Error() + ": try again in a few seconds",
			RetryAfter: "5",
		}
	case wire.IsUnavailable(err):
		p = chain.Problem{
			Status: http.StatusServiceUnavailable,
			Title:  "Redis is unavailable",
			Detail: "the books cannot be reached: try again; with the same Idempotency-Key nothing is " +
				"done twice (" + err.Error() + ")",
			Internal:   "bakery",
			RetryAfter: "1",
		}
	}
	return p.Response()
}

// BadQuery is the answer to a query parameter that is wrong.
func BadQuery(name, format string, args ...any) handler.Response {
	var wrong InputError
	wrong.add("?"+name, format, args...)
	return Fail(&wrong)
}

// NothingHere is the answer to a method or a query that a function does not have; usage says what it has.
func NothingHere(usage string) handler.Response {
	return chain.Problem{Status: http.StatusNotFound, Title: "Nothing here", Detail: usage}.Response()
}

// TooLarge is the answer to a body over MaxBody.
func TooLarge(size int) handler.Response {
	return chain.Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too large",
		Detail: fmt.Sprintf("the body has %d bytes, want at most %d", size, MaxBody)}.Response()
}

// ForManager answers a call that only the manager may make: it runs do if the call carries the manager-key.
func ForManager(
	r handler.Request, do func(context.Context) (handler.Response, error),
) (handler.Response, error) {
	ok, err := IsManager(r.Header)
	if err != nil {
		return chain.Problem{
			Status: http.StatusServiceUnavailable,
			Title:  "No manager",
			Detail: err.Error(),
		}.Response(), nil
	}
	if !ok {
		p := chain.Problem{Status: http.StatusUnauthorized, Title: "For the manager only",
			Detail: "send the secret manager-key: Authorization: Bearer KEY"}.Response()
		p.Header.Set("WWW-Authenticate", `Bearer realm="bakery"`)
		return p, nil
	}
	return do(r.Context())
}
