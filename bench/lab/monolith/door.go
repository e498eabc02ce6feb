package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

// newDoor serves the addresses of a gateway: /function/NAME and /async-function/NAME, also as NAME.NAMESPACE.
func newDoor(roles []*role) http.Handler {
	of := map[string]*role{}
	for _, r := range roles {
		of[r.name] = r
	}
	at := func(answered func(http.ResponseWriter, *http.Request, handler.Response)) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			name, _, _ := strings.Cut(req.PathValue("name"), ".")
			if of[name] == nil {
				http.NotFound(w, req)
			} else if answer, ok := call(w, req, of[name]); ok {
				answered(w, req, answer)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/function/{name}", at(func(w http.ResponseWriter, _ *http.Request,
		answer handler.Response) {
		write(w, answer)
	}))
	mux.HandleFunc("POST /async-function/{name}", at(func(w http.ResponseWriter, req *http.Request,
		answer handler.Response) {
		if answer.StatusCode >= 500 { // it was not placed, and that must be said
			write(w, answer)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		if to := req.Header.Get("X-Callback-Url"); to != "" {
			go callBack(to, answer)
		}
	}))
	return mux
}

// call calls a role's handler with a request from outside. ok is false if the body
// could not be read, or the request is gone.
func call(w http.ResponseWriter, req *http.Request, r *role) (handler.Response, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 16<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return handler.Response{}, false
	}
	for _, name := range wire.DeliveryHeaders {
		req.Header.Del(name)
	}
	request := handler.Request{
		Body:        body,
		Header:      req.Header,
		QueryString: req.URL.RawQuery,
		Method:      req.Method,
		Host:        req.Host,
	}
	request.WithContext(req.Context())
	answer, err := r.handle(request)
	if err != nil {
		answer = chain.Problem{Status: http.StatusInternalServerError, Title: "The handler failed",
			Detail: err.Error()}.Response()
	}
	if answer.StatusCode == 0 {
		answer.StatusCode = http.StatusOK
	}
	return answer, true
}

func write(w http.ResponseWriter, answer handler.Response) {
	for name, values := range answer.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(answer.Body)
}

// callBack tells a caller's URL the answer, as a gateway does.
func callBack(to string, answer handler.Response) {
	for wait := firstWait; wait <= lastWait; wait *= 2 {
		req, err := http.NewRequest(http.MethodPost, to, bytes.NewReader(answer.Body))
		if err != nil {
			log.Printf("callback: %v", err)
			return
		}
		req.Header.Set("X-Function-Status", strconv.Itoa(answer.StatusCode))
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			return
		}
		time.Sleep(wait)
	}
}
