// Package function is a function: it answers each call.
package function

import (
	"fmt"
	"net/http"

	handler "github.com/openfaas/templates-sdk/go-http"
)

// Handle answers one call. An error is answered with 500, and logged.
func Handle(r handler.Request) (handler.Response, error) {
	return handler.Response{
		StatusCode: http.StatusOK,
		Body:       []byte(fmt.Sprintf("Hello! You said: %s\n", r.Body)),
	}, nil
}
