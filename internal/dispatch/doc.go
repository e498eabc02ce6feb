/*
Package dispatch delivers queued messages: it takes them from subscriptions, calls the function (or, for a
callback, a URL), and settles, reschedules or buries each by the outcome. A function's own calls, messages of
topics and callbacks go the same way, for Hearth's own functions and for those behind another gateway: it is
the heart of hearth connector.

# A delivery

	take ──▶ call ──▶ decide ──┬─ 2xx, 3xx ──────────────────────────▶ settle, and queue the callback
	                           ├─ the call never reached the function ▶ give back: no attempt, bounded by age
	                           ├─ a retried status, attempts left ────▶ give back, with backoff
	                           └─ another status, or the last attempt ▶ bury, and queue the callback

Where a call is retried: decide in retry.go is the decision, a pure function; do in deliver.go carries it out,
with one script each in package redis. If this process dies in between, the lease runs out and the message is
delivered again.

# Leases

A delivery belongs to this instance for 30 seconds. One timer renews the leases of all deliveries in flight
(renew.go), well before they run out, also while the instance drains. So a delivery has one holder as long as
that one lives and reaches Redis. A holder that cannot renew learns that it has lost the lease: its call goes
on, because a late success counts, but it can no longer reschedule or bury the message. Only where the
function's commit settles the message (connector --async) does nobody renew; there the lease is longer than
the call may take.

# Lanes

Each function has a lane of its own (lane.go), so a slow function holds up no other. A lane gives its function
no more calls than it has room for. A lane without work has no goroutine, no timer and no connection: one
watcher waits for up to 300 streams at once, or, in a cluster, one for each hash tag.

	idle ── a message came, a wait is over, there is room ──▶ running ── nothing to take, or no room ──▶ idle

# Invariants

  - A message is settled, rescheduled or buried only with a token of its delivery.
  - One instance never runs two calls for one message at the same time.
  - Calls in flight never exceed the function's room; answered calls that are not settled yet are bounded,
    too.
  - A paused queue gives nothing to take. What is in flight ends as usual, and nothing starts a replica or
    counts as load because of what is queued there.
  - Stop takes nothing more, and every call that it does not wait for is given back.

# When a piece dies

	a replica      the call fails, and is decided on like any failure
	Redis          taking pauses, and goes on when Redis answers again. Outcomes are written then, and
	               messages that Redis had leased without an answer are given back. After an outage longer
	               than a third of a lease, leases that ran out are left to their holders for a moment, which
	               renew them first
	this process   its leases run out and another instance takes over; started again, it takes them at once

The package does not order deliveries, and does not know what a message means.
*/
package dispatch
