/*
Package cron queues scheduled invocations: calls of the functions with the annotation topic cron-function, at
the times of their annotation schedule.

A tick, the call for one time of a schedule, is an entry on the function's own queue. From then on it is
like any queued call: it wakes the function, has retries and dead letters, and is counted. This package only
queues it.

# One function's life

	Set ──▶ new ── KeepSchedule ──▶ kept ──┬─ no time has come since the last one ──▶ sleep until the next
	                                 ▲     ├─ one has, or many: Tick, with the newest ─┐
	                                 └─────┴──────────────────────────────────────────┘

decide is pure. One goroutine with one timer serves all functions; a round looks at those whose time has
come.

# Invariants

  - No tick is queued twice, however many instances there are: one script writes both the cursor and the entry
    (package redis). The instance that comes second does nothing.
  - Ticks that were missed are queued once, as the newest of them. They count from the last one that Redis
    knows. With a new function or a new schedule, they count from its deployment.
  - A tick that could not be queued is tried again until the next one is due, which takes its place. Reasons
    are that Redis is unavailable or full, or that the function's queue is full.
  - While a schedule is paused, no instance queues a tick: the cursor says so, and a tick replaces the cursor.
    Ticks that were due meanwhile count as missed. A run by hand leaves the ticks as they are.
  - The timer never sleeps for more than a minute: somebody may set the clock, and a suspended machine stops
    timers.

# When a piece dies

	this process      the next one finds the last tick in Redis; a tick that was due meanwhile is queued late
	Redis             ticks are tried again, after growing pauses, until it is available again
	the clock         set back: no tick until it has reached where it was. Set forward: the ticks that it
	                  passed count as missed

The package does not parse schedules, package schedule does. It makes no calls, package dispatch does.
*/
package cron
