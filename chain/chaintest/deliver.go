package chaintest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
	"github.com/redis/go-redis/v9"
)

// A Message is one that was taken from a topic and is now pending.
type Message struct {
	wire.Delivery
	Body []byte
}

// Subscribe makes a consumer group at the start of a topic's stream, as a gateway does before it starts a
// function.
func Subscribe(t testing.TB, rdb redis.UniversalClient, topic, group string) wire.Subscription {
	t.Helper()
	stream, err := wire.Stream(topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := rdb.XGroupCreateMkStream(t.Context(), stream, group, "0").Err(); err != nil {
		t.Fatalf("chaintest: subscribe %s to %s: %v", group, topic, err)
	}
	return wire.Subscription{Stream: stream, Group: group}
}

// Put adds a message to a topic.
func Put(t testing.TB, rdb redis.UniversalClient, topic, body string) string {
	t.Helper()
	stream, err := wire.Stream(topic)
	if err != nil {
		t.Fatal(err)
	}
	entry := &redis.XAddArgs{Stream: stream, Values: []string{wire.FieldBody, body}}
	id, err := rdb.XAdd(t.Context(), entry).Result()
	if err != nil {
		t.Fatalf("chaintest: put a message on %s: %v", topic, err)
	}
	return id
}

// Take takes the next message that waits for a subscription, and issues a token for it. ok is false if none
// waits.
func Take(
	ctx context.Context, rdb redis.UniversalClient, s wire.Subscription,
) (m Message, ok bool, err error) {
	got, err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group:    s.Group,
		Consumer: "hearth",
		Streams:  []string{s.Stream, ">"},
		Count:    1,
		Block:    -1,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	m, err = Retake(ctx, rdb, s, got[0].Messages[0].ID)
	return m, err == nil, err
}

// Retake delivers a pending message again, with a further token.
func Retake(ctx context.Context, rdb redis.UniversalClient, s wire.Subscription, id string) (Message, error) {
	entries, err := rdb.XRange(ctx, s.Stream, id, id).Result()
	if err != nil {
		return Message{}, err
	}
	if len(entries) == 0 {
		return Message{}, redis.Nil
	}
	body, _ := entries[0].Values[wire.FieldBody].(string)
	token := make([]byte, 16)
	_, _ = rand.Read(token)
	topic, _ := wire.Topic(s.Stream)
	m := Message{
		Body: []byte(body),
		Delivery: wire.Delivery{
			Topic:   topic,
			Group:   s.Group,
			ID:      id,
			Token:   hex.EncodeToString(token),
			Attempt: 1,
		},
	}
	return m, issue.Run(ctx, rdb, s.Keys()[4:5], id, m.Token).Err()
}

// issue adds a token to a delivery record. KEYS[1] deliveries. ARGV[1] id, ARGV[2] token. Returns 1.
var issue = wire.NewLua(wire.SettleLua+`
local attempts, since, older = settle.record(redis.call('HGET', KEYS[1], ARGV[1]))
redis.call('HSET', KEYS[1], ARGV[1], settle.text(attempts + 1, since, ' ' .. ARGV[2] .. older))
return 1`, true)

// Request is the call that delivers the message.
func (m Message) Request(ctx context.Context) handler.Request {
	r := handler.Request{Method: http.MethodPost, Body: m.Body, Header: http.Header{}}
	m.SetHeader(r.Header)
	r.WithContext(ctx)
	return r
}
