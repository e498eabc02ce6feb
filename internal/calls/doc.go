/*
Package calls is the record of calls: what became of each call, and what it caused.

	queued calls, callbacks, messages   in Redis, written by the scripts that end them; read by an Index
	sync calls                          in the memory of the instance that served them; see Ring
	unfinished calls                    read from their queues at each question

An Entry is what the record keeps of one call. A message that a function's own commit settles gets its Entry
from that commit, so there is one for every settled message. What only the dispatcher knows of it, such as the
replica and the time that the function took, follows within a second; see Details.

The record is bounded: a Keeper drops the oldest entries. It never holds a call up, and Redis drops it before
it refuses a call.

An Index copies what it needs into memory at the first question, reads what is new at each further one, and
lets go of it when nobody has asked for a while. It needs no index in Redis.

The package decides nothing about calls, and speaks no HTTP: package gateway does.
*/
package calls
