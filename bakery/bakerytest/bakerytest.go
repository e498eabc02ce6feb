// Package bakerytest gives a test a bakery of its own: an empty Redis, the four subscriptions, and calls of a
// function's handler as a gateway makes them. It knows no function: a test of one role needs no other.
package bakerytest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	handler "github.com/openfaas/templates-sdk/go-http"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// ManagerKey is the manager-key of every test's bakery.
const ManagerKey = "the key of the manager"

// Subscriptions are who takes which topic.
var Subscriptions = map[string]string{
	bakery.TopicBake:  "baker",
	bakery.TopicDough: "oven",
	bakery.TopicBaked: "server",
	bakery.TopicReady: "cashier",
}

// Handle is a function's handler.
type Handle func(handler.Request) (handler.Response, error)

// A Bakery is one test's.
type Bakery struct {
	t      testing.TB
	Redis  redis.UniversalClient
	Config *bakery.Config
}

// New opens a bakery whose bakes take about a millisecond. Its fridge is empty.
func New(t testing.TB) *Bakery { return With(t, chaintest.Redis(t)) }

// With opens a bakery in an empty Redis.
func With(t testing.TB, rdb redis.UniversalClient) *Bakery {
	t.Helper()
	menu, err := bakery.ReadMenu("")
	require.NoError(t, err)
	for topic, group := range Subscriptions {
		chaintest.Subscribe(t, rdb, topic, group)
	}
	return &Bakery{
		t:     t,
		Redis: rdb,
		Config: &bakery.Config{
			Menu:        menu,
			Speed:       1e6,
			ExecTimeout: 30 * time.Second,
			Patience:    time.Hour,
			Keep:        24 * time.Hour,
			TrayLimit:   10_000,
			WaiterLimit: 16,
		},
	}
}

// Context is the context of a call: it says which bakery is meant.
func (b *Bakery) Context() context.Context { return b.In(b.t.Context()) }

// In is a context of a call below another one.
func (b *Bakery) In(ctx context.Context) context.Context {
	return bakery.WithConfig(chain.WithRedis(ctx, b.Redis), b.Config)
}

// Stock fills the fridge for so many trays of everything.
func (b *Bakery) Stock(trays int) {
	b.t.Helper()
	_, err := bakery.Restock(b.Context(), b.Config.Menu.Stock(trays), "")
	require.NoError(b.t, err)
}

// Call calls a handler over HTTP: a method, a query such as "view=menu", a body, and headers in turn with
// their values.
func (b *Bakery) Call(h Handle, method, query, body string, headers ...string) handler.Response {
	b.t.Helper()
	r := handler.Request{Method: method, QueryString: query, Body: []byte(body), Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r.WithContext(b.Context())
	answer, err := h(r)
	require.NoError(b.t, err)
	return answer
}

// Deliver takes the next message of a topic and calls the handler with it. ok is false if none waits.
func (b *Bakery) Deliver(topic string, h Handle) (answer handler.Response, ok bool) {
	b.t.Helper()
	m, ok := b.Take(topic)
	if !ok {
		return answer, false
	}
	answer, err := h(m.Request(b.Context()))
	require.NoError(b.t, err)
	return answer, true
}

// Take takes the next message of a topic.
func (b *Bakery) Take(topic string) (chaintest.Message, bool) {
	b.t.Helper()
	m, ok, err := chaintest.Take(b.t.Context(), b.Redis, b.Subscription(topic))
	require.NoError(b.t, err)
	return m, ok
}

// Subscription is the one of a topic.
func (b *Bakery) Subscription(topic string) wire.Subscription {
	b.t.Helper()
	stream, err := wire.Stream(topic)
	require.NoError(b.t, err)
	return wire.Subscription{Stream: stream, Group: Subscriptions[topic]}
}

// Put puts a message on a topic, as the role before it would.
func (b *Bakery) Put(topic, body string) {
	b.t.Helper()
	chaintest.Put(b.t, b.Redis, topic, body)
}

// Waiting are the bodies of the messages on a topic.
func (b *Bakery) Waiting(topic string) []string {
	b.t.Helper()
	var bodies []string
	entries, err := b.Redis.XRange(b.t.Context(), b.Subscription(topic).Stream, "-", "+").Result()
	require.NoError(b.t, err)
	for _, e := range entries {
		bodies = append(bodies, e.Values[wire.FieldBody].(string))
	}
	return bodies
}

// Balanced fails the test if the audit finds a difference.
func (b *Bakery) Balanced() bakery.Audit {
	b.t.Helper()
	a, err := bakery.TakeAudit(b.Context())
	require.NoError(b.t, err)
	require.Empty(b.t, a.Differences)
	return a
}

// Order reads an order out of an answer.
func Order(t testing.TB, r handler.Response) bakery.Order {
	t.Helper()
	var o bakery.Order
	require.NoError(t, json.Unmarshal(r.Body, &o), string(r.Body))
	return o
}

// Problem reads a problem out of an answer, which must have that status.
func Problem(t testing.TB, status int, r handler.Response) chain.Problem {
	t.Helper()
	require.Equal(t, status, r.StatusCode, string(r.Body))
	require.Equal(t, chain.ContentType, r.Header.Get("Content-Type"))
	var p chain.Problem
	require.NoError(t, json.Unmarshal(r.Body, &p))
	require.Equal(t, status, p.Status)
	return p
}

// IDQuery is the query that looks at an order.
func IDQuery(o bakery.Order) string { return url.Values{"order": {o.ID}}.Encode() }

// GiveManagerKey makes the secret manager-key readable for the process. It cannot be used in parallel tests.
func GiveManagerKey(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manager-key"), []byte(ManagerKey), 0o600))
	t.Setenv("secret_mount_path", dir)
}
