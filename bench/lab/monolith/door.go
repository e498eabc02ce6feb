package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/chain"
	handler "github.com/openfaas/templates-sdk/go-http"
)

// newDoor serves the addresses of a gateway.
func newDoor(roles []*role) http.Handler {
	mux := http.NewServeMux()
	for _, r := range roles {
		mux.HandleFunc("/function/"+r.name, func(w http.ResponseWriter, req *http.Request) {
			if answer, ok := call(w, req, r); ok {
				write(w, answer)
			}
		})
		mux.HandleFunc("POST /async-function/"+r.name, func(w http.ResponseWriter, req *http.Request) {
			answer, ok := call(w, req, r)
			switch {
			case !ok:
			case answer.StatusCode >= 500: // it was not placed, and that must be said
				write(w, answer)
			default:
				w.WriteHeader(http.StatusAccepted)
				if to := req.Header.Get("X-Callback-Url"); to != "" {
					go callBack(to, answer)
				}
			}
		})
	}
	return mux
}

// call calls a role's handler with a request from outside. ok is false if the body could not be read, or the request is gone.
func call(w http.ResponseWriter, req *http.Request, r *role) (handler.Response, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 16<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return handler.Response{}, false
	}
	for _, name := range chain.DeliveryHeaders {
		req.Header.Del(name)
	}
	request := handler.Request{Body: body, Header: req.Header, QueryString: req.URL.RawQuery, Method: req.Method, Host: req.Host}
	request.WithContext(req.Context())
	answer, err := r.handle(request)
	if err != nil {
		answer = chain.Problem{Status: http.StatusInternalServerError, Title: "The handler failed", Detail: err.Error()}.Response()
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
