/*
Package wire is what functions and the platform agree on: the fields of a stream entry, the headers of a
delivery, the keys of a subscription and the script that settles a message, and how both connect to Redis. A
function's author needs package chain only.

# A message's life

	           XADD                take                     commit
	producer ───────▶ queued ───────────────▶ in flight ───────────────▶ settled
	                                          │   ▲   │                (gone from the stream)
	                       the lease ran out, │   │   │ buried: attempts used up,
	                       or a retry         ▼   │   ▼ or a permanent error
	                                         delayed   dead ── redrive ──▶ delayed
	                                                    └── a late commit still wins ──▶ settled

A message is queued on the stream of its topic until a dispatcher takes it for a subscription: a stream and a
consumer group. From then on its id is in the group's list of pending entries. It stays there through retries,
through burial and through a death of the dispatcher, until a commit acknowledges it. The acknowledgement is
the record that the work was done: there is no table of ids that were seen.

# Invariants

  - An effect happens if and only if its message leaves the pending list: XACK, the writes and the hand-on are
    one script.
  - A commit needs a token that was issued for that very message, or, from a connector that issues none, the
    digest of the message's body. So nobody can commit somebody else's message.
  - A message that is not pending any more is done: a second commit changes nothing and answers 200.
  - A message that was not yet delivered, or whose group does not exist, is an error, never done.
  - Nothing is written before everything is decided.

# When a piece dies

	the function, before its commit    nothing happened; the message is delivered again
	the function, after its commit     the effects stand; the next delivery gets 200 and changes nothing
	the dispatcher                     leases run out; this or another dispatcher delivers again
	Redis, which restarts              its stored state is the truth; commits with a lost answer are repeated
	a replica that was taken for dead  its late commit wins if it comes first, and changes nothing otherwise

It does not deliver messages: internal/dispatch does.
*/
package wire
