package function

import (
	"net/http"
	"testing"

	handler "github.com/openfaas/templates-sdk/go-http"
)

func TestHandle(t *testing.T) {
	answer, err := Handle(handler.Request{Method: http.MethodPost, Body: []byte("ping")})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(answer.Body), "Hello! You said: ping\n"; answer.StatusCode != http.StatusOK ||
		got != want {
		t.Fatalf("answered %d with %q, want 200 with %q", answer.StatusCode, got, want)
	}
}
