/*
Package redis is the client of everything that the platform keeps in Redis: the queue, subscriptions, function
specs, namespaces, secrets, schedules and usage. It is the only package of the platform that imports go-redis.
Every key is made in keys.go. Every write is a script that is safe to repeat, or goes through a client that
never repeats.

# The queue

An invocation is an entry on a stream: of a topic ({bakery}.dough), or of a function's own calls
({fn:NAME.NAMESPACE}.calls). A subscription is a consumer group of a stream. From the time it is taken until
it is settled, a message is pending in its group, and its id is in exactly one of three sorted sets:

	          Take                       Retry, or Busy
	queued ─────────▶ leased ─────────────────────────────▶ due ──▶ Take
	                   │  │ └─ the lease ran out ──▶ Take
	                   │  └─────────── Bury ──────▶ dead ── Redrive ──▶ due
	                 Settle                          ├───── Purge ──▶ deleted
	                   ▼                             └───── Edit ───▶ deleted, and a copy queued
	                deleted

	leased  in flight; the score is when the lease ends
	due     delayed; the score is when it may be taken again
	dead    a dead letter; the score is when it was buried. It is no copy: it stays pending under its id

An edited dead letter is a new entry, as an entry cannot be changed. On a topic it names its group in the
field only-group, and Take of any other group acknowledges it unseen.

Pause stops Take alone: what is in a state keeps it, or leaves it as usual, but nothing becomes leased.

# Leases

A delivery belongs to its holder until its lease ends. Renew extends leases, one script for each subscription.
A lease that has run out can still be renewed as long as nobody has taken the message; afterwards its old
holder is refused, and knows that the lease is lost.

# Invariants

  - Every delivery has a token. Only the newest token may renew, reschedule or bury; any may settle, as a late
    success is a success.
  - Settling deletes the entry, unless another group still needs it. Nothing is left of what is settled.
  - With one group, the number of queued messages is XLEN less the pending ones, exactly.
  - Groups begin at 0. A lost group is never silently created again: what it had settled would be delivered
    again.
  - A full Redis drains. Only scripts that accept work are refused, and those before the last tenth of the
    memory is used (memory.go).
  - A call with an Idempotency-Key is known while it is on the stream, and for a day after its answer.
    Cancelling or purging it frees the key in the same script.
  - Whatever callers make Redis keep is counted by the script that keeps it: the bytes of calls, of the notes
    about their failures, and of callbacks.

# When a piece dies

	an instance    its leases run out, and another instance takes over; the same one, started again, ends its
	               own at once (Reclaim)
	Redis          it may have leased messages without an answer; they are given back when it answers again
	               (Untake)
	a stranger     a message that is pending and in none of the sets was taken by somebody else; Sweep leases
	               it
	a cluster      loses and regains a part of its keys. Keys that are written together have one hash tag, so
	               each queue is available or unavailable as a whole

# What proves it

A model of the scripts (protocol_test.go) is searched for all that can happen, within bounds: the rules of
rules_test.go hold, and each flaw of a list breaks some of them. The scripts and the model make the same steps
(conformance_test.go): change them together.

The package does not decide whether to retry, and calls nothing: package dispatch does. The private
redis-server is package redisserver's.
*/
package redis
