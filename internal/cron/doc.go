/*
Package cron calls functions by the clock: those with the annotation topic cron-function, at the times of
their annotation schedule.

A tick, the call for one time of a schedule, is an entry on the function's own queue. From then on it is
like any queued call: it wakes the function, has retries and dead letters, and is counted. This package only
puts it there.

# One function's life

	Set ──▶ new ── KeepSchedule ──▶ kept ──┬─ no time has come since the last one ──▶ sleep until the next
	                                 ▲     ├─ one has, or many: Tick, with the newest ─┐
	                                 └─────┴──────────────────────────────────────────┘

decide is pure. One goroutine with one timer serves all functions; a round looks at those whose time has
come.

# Invariants

  - No time of a schedule is fired twice, by however many hearths: the note of the last one and the entry are one script (package
    redis). A hearth that comes second says nothing.
  - Times that nobody was there for are fired once, with the newest of them. They count from the last one that Redis knows of, or,
    with a new function or a new schedule, from its deployment.
  - A time that could not be queued, since Redis is away or full or the function's queue is full, is tried again until a later one has
    come, and then that is.
  - The timer never sleeps for more than a minute, since a clock may be set, and a machine that is suspended stops timers.

# When a piece dies

	this process      the next one finds in Redis what was fired last; a time that came meanwhile is fired
	                  late
	Redis             ticks are tried again, after growing pauses, until it is back
	the clock         set back: nothing is fired until it has come to where it was. Set forward: what it
	                  passed counts as missed

It does not read schedules, package hearth does; and it makes no calls, package dispatch does.
*/
package cron
