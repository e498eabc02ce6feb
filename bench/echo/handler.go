// Package function is the echo: the least that a function can do, so what is measured is what lies around it.
package function

import (
	"net/http"

	handler "github.com/openfaas/templates-sdk/go-http"
)

// Handle answers with the body it was sent.
func Handle(r handler.Request) (handler.Response, error) {
	return handler.Response{StatusCode: http.StatusOK, Body: r.Body}, nil
}
