// Package function is the probe of the chaos test. It records the start and the end of each call in a file,
// since Redis may be unavailable. A message has an effect through chain. On demand it fails in every way.
package function

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
)

// The topics, and the keys that count the effects of each message at its first
// and second step, and their times.
const (
	topicWork = "chaos.work"
	topicDone = "chaos.done"
	keyWorked = "{chaos}:worked"
	keyDone   = "{chaos}:done"
	keyWhen   = "{chaos}:when"
)

// A message is a piece of work.
type message struct {
	N string `json:"n"` // its number
}

var (
	worked = chain.NewScript("worked", `
		emit('chaos.done', {n = args.n})
		return function() redis.call('HINCRBY', keys.worked, args.n, 1) end
	`, []chain.Key{{Name: "worked", Key: keyWorked, Type: "hash"}}, topicDone)

	done = chain.NewScript("done", `
		return function()
			redis.call('HINCRBY', keys.done, args.n, 1)
			redis.call('HSET', keys.when, args.n, now)
		end
	`, []chain.Key{{Name: "done", Key: keyDone, Type: "hash"}, {Name: "when", Key: keyWhen, Type: "hash"}})

	steps = map[string]func(handler.Request) (handler.Response, error){
		topicWork: chain.Handle(topicWork, step(worked)),
		topicDone: chain.Handle(topicDone, step(done)),
	}
)

func step(s *chain.Script) func(context.Context, message) (chain.Commit, error) {
	return func(_ context.Context, m message) (chain.Commit,
		error) {
		return chain.Commit{Script: s, Args: m}, nil
	}
}

// Handle handles a call or a message.
func Handle(r handler.Request) (handler.Response, error) {
	what, take := "call "+string(r.Body), func(handler.Request) (handler.Response, error) {
		return handler.Response{StatusCode: http.StatusOK, Body: r.Body}, nil
	}
	if d, ok := wire.DeliveryOf(r.Header); ok {
		what, take = d.Topic+" "+d.ID, steps[d.Topic]
	}
	what += " " + r.Header.Get(wire.HeaderAttempt) + " " + r.Header.Get(wire.HeaderCallID)
	if err := record("begin", what); err != nil {
		return handler.Response{}, err
	}
	mode := mode()
	if mode == "fail" {
		return handler.Response{}, errors.New("told to fail")
	}
	if mode == "exit" && rand.N(2) == 0 {
		panics()
	}
	if mode == "hang" {
		// often longer than the timeout; then it continues and commits late
		time.Sleep(time.Duration(rand.N(6)) * time.Second)
		r.WithContext(context.WithoutCancel(r.Context()))
	} else {
		time.Sleep(time.Duration(rand.N(20)) * time.Millisecond)
	}
	answer, err := take(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		return answer, err
	}
	if err := record("done", what); err != nil {
		return handler.Response{}, err
	}
	switch mode {
	case "exit":
		panics()
	case "huge":
		answer.Body = []byte(strings.Repeat("chaos ", (7<<20)/6)) // more than the limit of a callback
	}
	return answer, nil
}

// panics ends the process like an uncaught panic.
func panics() {
	ended := make(chan struct{})
	go func() { defer close(ended); panic("told to exit") }()
	<-ended
}

// mode is the current behaviour of the function.
func mode() string {
	text, _ := os.ReadFile(filepath.Join(os.Getenv("CHAOS_DIR"), os.Getenv("OPENFAAS_NAME")+".mode"))
	return strings.TrimSpace(string(text))
}

var file = sync.OnceValues(func() (*os.File, error) {
	return os.OpenFile(filepath.Join(os.Getenv("CHAOS_DIR"), "executions"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
})

// record writes one line to the kernel, where it survives a kill -9.
func record(what, of string) error {
	f, err := file()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %d %s\n", what, time.Now().UnixMilli(), of)
	return err
}
