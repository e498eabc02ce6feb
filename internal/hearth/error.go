package hearth

import (
	"errors"
	"fmt"
	"net/http"
)

// A Code says what kind of error it is, so that a caller can act on it and HTTP can give it a status.
type Code string

// The codes, and the HTTP status of each.
const (
	Invalid       Code = "invalid"       // 400: the caller must change what it sent
	Unauthorized  Code = "unauthorized"  // 401
	NotFound      Code = "not_found"     // 404
	Conflict      Code = "conflict"      // 409: it is in the way of what there is
	Unprocessable Code = "unprocessable" // 422: a query that cannot be read
	Exhausted     Code = "exhausted"     // 429: a limit is reached; try later
	Internal      Code = "internal"      // 500: a bug, or a broken machine
	BadGateway    Code = "bad_gateway"   // 502: the function's replica broke off
	Unavailable   Code = "unavailable"   // 503: nothing was done; try later
	Timeout       Code = "timeout"       // 504: it may have been done
)

// Status is the HTTP status of a code.
func (c Code) Status() int {
	switch c {
	case Invalid:
		return http.StatusBadRequest
	case Unauthorized:
		return http.StatusUnauthorized
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Unprocessable:
		return http.StatusUnprocessableEntity
	case Exhausted:
		return http.StatusTooManyRequests
	case BadGateway:
		return http.StatusBadGateway
	case Unavailable:
		return http.StatusServiceUnavailable
	case Timeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// An Error is one that may be shown to a client: its message says what happened, to what, and what to do.
type Error struct {
	Code    Code
	Message string
	Err     error // the cause, for logs; may be nil
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error. A %w in the format is its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// NotFoundError is the error for a function that is not deployed.
func NotFoundError(n Name) error {
	return Errorf(NotFound, "there is no function %s in the namespace %s", n.Function, n.Namespace)
}

// CodeOf is the code of an error: "" for nil, and Internal for an error without a code.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// MessageOf is what a client is told: the message of the outermost Error, or nothing that shows internals.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "an internal error occurred; see the log of hearth"
}
