/*
Package chain hands work from one function to the next exactly once.

A chain is a row of functions joined by topics. Each function takes a message, changes some shared state in Redis, and
hands on messages to the next function. Functions are called more than once for the same message: a replica dies after
it did the work, an answer gets lost, a lease runs out while a slow replica goes on. chain makes the effects happen once
however often the function runs, because taking the message off its stream, the change of state and the hand-on are
ONE Redis script.

# A message's life

	           XADD                 take                      commit
	producer ───────▶ waiting ───────────────▶ pending ─────────────────▶ settled
	                                           │  ▲   │                 (gone from the stream)
	                        the lease ran out, │  │   │ buried: attempts used up,
	                        or it is retried   ▼  │   ▼ or a permanent error
	                                          due     dead ── redrive ──▶ due
	                                                   └── a late commit still wins ──▶ settled

A message waits on the stream of its topic until the gateway's dispatcher takes it for a subscription (a stream and a
consumer group). From then on its id is in the group's list of pending entries, and it stays there through retries,
through burial, through a death of the gateway, until a commit acknowledges it. The acknowledgement is the record that
the work was done: there is no table of ids that were seen.

# Invariants

  - An effect happens if and only if its message leaves the pending list: XACK, the writes and the hand-on are one script.
  - A commit needs a token that was issued for that very message (or, from a connector that issues none, the digest of
    the message's body), so nobody can commit somebody else's message.
  - A message that is no longer pending is already done: a second commit changes nothing and answers 200.
  - A message that was not yet delivered, or whose group does not exist, is an error, never "already done".
  - Nothing is written before everything is decided. See "Plan and apply".

# When a piece dies

	the function, before its commit       nothing happened; the lease runs out and the message is delivered again
	the function, after its commit        the effects stand; the next delivery is answered "already done"
	the gateway                           leases run out; another gateway, or the same one restarted, delivers again
	Redis, and it restarts                what it had on disk is the truth; answers that got lost are asked for again
	a replica that was thought dead       its late commit wins if it comes first, and changes nothing if it does not

# Plan and apply

The change of state is written in Lua, in two halves. The body of the script is the plan: it reads and it decides, it may
refuse, and a write in it is an error. It returns a function, the apply half, which only writes what the plan has shown
cannot fail, and the reply to the caller. This matters because a Redis script is atomic but is not rolled back: an error
between two writes would leave the first one in place. Inside a script these names are defined:

	args       what Commit.Args was, decoded from JSON
	keys       the script's keys by the names they were declared with
	now        Redis's clock, in milliseconds since 1970
	emit       emit(topic, message) hands on a message; in the plan, and put on its stream after the apply half
	refuse     return refuse(reason) ends the plan: nothing is written, and the caller learns the reason

What a step decides from shared state it decides in the plan, not in Go: between a read in Go and the commit the state
may have changed.

# What chain does not do

It does not deliver messages: Hearth's gateway, or hearth connector in front of another OpenFaaS gateway, does. It does
not order them: two messages of a topic may be handled in any order. And it does not make calls to other systems happen
once: a mail that a step sends before its commit is sent again when the step is run again. Give such a system the
message's id as its idempotency key.

The package example is a whole chain: a library that lends books.
*/
package chain
