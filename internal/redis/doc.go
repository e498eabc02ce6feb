/*
Package redis is the platform's memory: the queue, the subscriptions, the specs of functions, which times of their schedules
are done with, and what they used. It is the only package of the platform that imports go-redis; every key is made in keys.go, and every write is a
script that is safe to repeat, or goes through a client that never repeats.

# The queue

An invocation is an entry on a stream: of a topic ({bakery}.dough), or of a function's own calls ({fn:NAME.NAMESPACE}.calls).
A subscription is a consumer group of a stream. Between being taken and being settled an entry is pending in its group, and
its id is in exactly one of three sorted sets:

	           Take                        Retry, or Busy
	waiting ─────────▶ leased ──────────────────────────────▶ due ──▶ Take
	                    │  │ └─ the lease ran out ──▶ Take
	                    │  └──────────── Bury ──────▶ dead ── Redrive ──▶ due
	                  Settle                           └───── Purge ──▶ gone
	                    ▼
	                   gone

	leased  until when somebody works on it
	due     from when it may be taken again
	dead    when it was given up; a dead letter is not a copy, it stays pending under its id

# Invariants

  - Every delivery has a token. Only the newest one may reschedule or bury; any may settle, for a late success is a success.
  - Settling deletes the entry, unless another group still needs it: nothing that is done stays.
  - With one group, what waits is XLEN less what is pending, exactly.
  - Groups begin at 0 and are never silently made anew: what a lost one had done would be done again.
  - A full Redis drains: only scripts that accept work are refused, and those before the last tenth of its memory is used (memory.go).
  - A call with an Idempotency-Key is known as long as it is on the stream, and a day after its answer. Who cancels or purges it frees
    the key, in the same script.
  - All that callers make Redis keep is counted in the same script that keeps it: the bytes of calls, of what is noted of their failures,
    and of callbacks.

# When a piece dies

A hearth that dies leaves leases, which run out; the same hearth, started again, ends its own at once (Reclaim). A Redis that
dies or stands still may have leased what it told nobody; when it answers again, that is given back (Untake). An entry that is
pending and in none of the sets was taken by a stranger, or by a crash that this package does not know; a slow Sweep leases it,
and counts it.

A Redis Cluster is one that loses and regains a part of its keys: what is written together has one tag, so each queue is
there or away by itself.

A redis-server of ours that died while it wrote is repaired before it starts again (Repair): a script is done whole, or not at all.

# What proves it

A model of the scripts (protocol_test.go) is searched for all that can happen, within bounds: the rules of rules_test.go hold, and each
of a list of flaws breaks some. The scripts and the model make the same steps (conformance_test.go), so change them together.

The package does not decide whether to retry, nor call anything: package dispatch does.
*/
package redis
