/*
Package meter keeps what each function used, by the hour, and makes a bill of it.

# What is metered

	calls       that came
	busy        how long calls were under way, together: two at once for a second are two seconds
	replicas    how long replicas lived, together, whether they had something to do or not
	memory      busy and replica time, each times the function's limit of memory
	cold starts calls that were held because no replica took calls, those of them that got none, and how long
	the others were held
	queue wait  of queued calls, until they were first taken

The router sums calls and times up anyway (router.Load), so they are looked up once a second, and a call
itself is charged nothing for being metered. Only cold starts, and deliveries of queued calls, are told as
they come.

# Where it is kept

	counters ── every second ──▶ the hour, in memory ── every 10 s, if changed ──▶ Redis

Redis has a hash for each day, with a field for each function and instance.

A value has the whole of a day, and is written in place of the one before: writing it twice changes nothing,
and what could not be written is written with the next. A hearth that starts reads what it had kept of the
day, and goes on from there; before it has read that, it writes nothing of that day. Each hearth has fields
of its own, and who asks gets their sum.

A day is forgotten 90 days after it was last written. It has at most maxFunctions functions of one hearth;
what more there are is summed up as Others.

# When a piece dies

	this process     at most the last 10 s are lost
	Redis, or full   metering goes on in memory, for maxDays days, and is written when Redis is back; no call
	                 waits for it
	Redis forgets    what was forgotten of today is written again, at the latest with the next change of each
	                 function
	the clock        goes back: what is used then is added to the hour that it shows

It knows nothing of money but a list of prices, and nobody is refused anything for what they used.
*/
package meter
