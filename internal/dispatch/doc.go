/*
Package dispatch makes calls of what lies on streams: it takes entries of subscriptions, calls the function (or, for a callback,
a URL), and settles, reschedules or buries by what came back. It is the same for a function's own calls, for topics, and for
callbacks; and for Hearth's own functions and those behind another gateway, where it is the heart of hearth connector.

# A delivery

	take ──▶ call ──▶ decide ──┬─ 2xx, 3xx ────────────────────────────────▶ settle, and queue the callback
	                           ├─ it never reached the function ───────────▶ give back: no attempt, bounded by age
	                           ├─ a status of the policy, attempts left ───▶ give back, after a growing wait
	                           └─ another status, or no attempts left ─────▶ bury, and queue the callback

decide (decide.go) is pure. What it says is done by one script each, in package redis; if this process dies in between, the
lease runs out and the entry is taken again.

# Lanes

Each function has a lane of its own, so a slow function holds up no other. A lane gives its function no more calls than it
has room for. A lane without work has no goroutine, no timer and no connection: one watcher waits for up to 300 streams at once, or,
in a cluster, one for each tag.

	asleep ── an entry came, a wait is over, room was made ──▶ running ── nothing to take, or no room ──▶ asleep

# When a piece dies

	a replica         the call fails, and is decided on like any failure
	Redis             taking pauses, and goes on when it is back; answers that could not be settled are settled later,
	                  or their lease runs out; what it had leased and told nobody of is given back
	this process      its leases run out, or are ended when it starts again

It does not order deliveries, and does not know what an entry means.
*/
package dispatch
