package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
	"github.com/redis/go-redis/v9"
)

// A role is one of the four: a handler, and the topic whose messages it takes.
type role struct {
	name   string
	topic  string
	handle func(handler.Request) (handler.Response, error)
	atOnce int // messages that it handles at once

	stream string
	room   chan struct{}
}

// Waits before a failed step is done again: as stack.yml has it for Hearth.
const (
	firstWait = 200 * time.Millisecond
	lastWait  = 10 * time.Second
)

// start begins to take messages, first those that this copy had when it ended.
func (r *role) start(ctx context.Context, rdb redis.UniversalClient, who string) (err error) {
	if r.stream, err = wire.Stream(r.topic); err != nil {
		return err
	}
	r.room = make(chan struct{}, r.atOnce)
	if err := rdb.XGroupCreateMkStream(ctx, r.stream, r.name, "0").Err(); err != nil &&
		!strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return err
	}
	go func() {
		for from := "0"; ctx.Err() == nil; {
			n, last, err := r.take(ctx, rdb, who, from)
			switch {
			case err != nil && ctx.Err() == nil:
				log.Printf("%s: %v", r.name, err)
				time.Sleep(100 * time.Millisecond)
			case from != ">" && n == 0:
				from = ">"
			case from != ">":
				from = last
			}
		}
	}()
	return nil
}

// take waits until there is room, and then for a message, which is handled by itself. From is ">", or an id
// after which pending ones of this copy are asked for. It returns how many came, and the id of the last.
func (r *role) take(ctx context.Context, rdb redis.UniversalClient, who, from string) (n int,
	last string, err error) {
	r.room <- struct{}{}
	// Not for long: what waits to be done again needs the room.
	got, err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group:    r.name,
		Consumer: who,
		Streams:  []string{r.stream, from},
		Count:    1,
		Block:    200 * time.Millisecond,
	}).Result()
	if err == nil && len(got[0].Messages) > 0 {
		m := got[0].Messages[0]
		body, _ := m.Values[wire.FieldBody].(string)
		go func() {
			defer func() { <-r.room }()
			r.do(ctx, m.ID, []byte(body))
		}()
		return 1, m.ID, nil
	}
	<-r.room
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return 0, "", err
}

// do calls the handler with a message until it has settled it. While it waits to
// call again, there is room for another.
func (r *role) do(ctx context.Context, id string, body []byte) {
	header := http.Header{}
	wire.Delivery{Topic: r.topic, Group: r.name, ID: id, Attempt: 1}.SetHeader(header)
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		request := handler.Request{Body: body, Header: header, Method: http.MethodPost}
		request.WithContext(ctx)
		answer, err := r.handle(request)
		if err == nil && answer.StatusCode < 500 {
			return
		}
		log.Printf("%s: message %s: %d %s %v", r.name, id, answer.StatusCode, answer.Body, err)
		<-r.room
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		r.room <- struct{}{}
		if ctx.Err() != nil {
			return
		}
	}
}
