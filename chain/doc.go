/*
Package chain hands work from one function to the next exactly once.

A chain is a row of functions joined by topics. Each takes a message, changes shared state in Redis, and hands
on messages to the next. A function may be called more than once for the same message: a replica dies, an
answer is lost, a lease runs out. Its effects still happen once, because taking the message off its stream,
the change of state and the hand-on are one Redis script. A step is a handler made by Handle, which returns a
Commit. The package example is a whole chain.

# Plan and apply

A Script is Lua in two halves. Its body is the plan: it reads, decides, and may refuse; a write in it is an
error. It returns the apply half, a function that only writes what the plan has shown cannot fail, and the
reply to the caller. A Redis script is atomic but is not rolled back, so an error between two writes would
leave the first one in place. Decide in the plan whatever depends on shared state: between a read in Go and
the commit the state may change. A script sees:

	args      Commit.Args, decoded from JSON
	keys      the script's keys, by their declared names
	now       Redis's clock, in milliseconds since 1970
	emit      emit(topic, message) hands on a message; only in the plan
	refuse    return refuse(reason) ends the plan: nothing is written, and the caller gets the reason

# Limits

Messages are not ordered. Calls to other systems are not exactly once: a mail that a step sends before its
commit is sent again when the step runs again, so give such a system the message's id as its idempotency key.
Messages are delivered by Hearth's gateway, or by hearth connector in front of another OpenFaaS gateway.
Package wire has the protocol.
*/
package chain
