package dispatch

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/hearthfaas/hearth/internal/tracing"
)

// Config is what a dispatcher works with.
type Config struct {
	// Queue is the Redis that has the subscriptions. Required.
	Queue *redis.Client
	// Log gets what the dispatcher does. Required.
	Log *slog.Logger
	// Instance names this process in leases. It must be the same after a restart, and no other may have it.
	// Required.
	Instance string

	// Connector is the value of X-Connector on deliveries. Defaults to "hearth".
	Connector string

	// EnsureCallbacks creates a function's subscription for callbacks before the first callback is queued. It
	// is called again afterwards, with again, in case the function was removed in between. Defaults to doing
	// nothing.
	EnsureCallbacks func(ctx context.Context, n hearth.Name, again bool) error

	// Callbacks is the client that calls callback URLs. It must follow no redirects. Defaults to one that
	// calls public addresses only.
	Callbacks *http.Client

	// CallbackBytes is how many bytes of an answer go into a callback. A longer answer is cut, and the
	// callback says so. Defaults to DefaultCallbackBytes.
	CallbackBytes int64

	// QueueLimit is how much one function's queue may hold, unless its annotations say otherwise. While its
	// callbacks have reached it, no more of its calls are made. Defaults to hearth.DefaultQueueLimit.
	QueueLimit hearth.QueueLimit

	// Backoff is how the waits before retries are spread, unless a function's annotations say otherwise.
	// Defaults to equal, which keeps at least half of each wait.
	Backoff hearth.Backoff

	// Lease is for how long a delivery belongs to this instance unless the lease is renewed, which happens
	// while the call runs. When this instance dies, another one takes over after this time. Defaults to
	// DefaultLease.
	Lease time.Duration

	// CommitWait is by how much the lease outlasts twice the function's timeout if a subscription leaves the
	// ack to the function's commit: nobody renews it then. Defaults to 15 s.
	CommitWait time.Duration

	// Delivered gets the outcome of each delivery, callbacks included. Defaults to nobody.
	Delivered func(n hearth.Name, d Delivered)

	// Details gets what is known of messages that functions' commits have settled. Defaults to nobody: then
	// calls are not recorded.
	Details *calls.Details

	// Tracer makes the spans of deliveries. Defaults to none.
	Tracer *tracing.Tracer

	// SweepEvery is how often the dispatcher looks for pending messages that nobody holds. Defaults to 1
	// minute.
	SweepEvery time.Duration
}

// A Target calls functions: a router, or another gateway.
type Target interface {
	// RoundTrip calls a function, as router.Router does. An error of code Unavailable, Exhausted or NotFound
	// means that the function was not called; after any other error it may have been.
	RoundTrip(n hearth.Name, req *http.Request) (*http.Response, error)
	// Room is how many calls the function may be given at once.
	Room(n hearth.Name) int
}

// A Subscription is one stream that a function gets messages of.
type Subscription struct {
	wire.Subscription
	Topic string // "" for the function's own calls

	// LeaveAck leaves it to the function's commit to settle a message: 202 from an asynchronous gateway is no
	// success. The message stays leased until then, and is delivered again when the lease runs out.
	LeaveAck bool
}
