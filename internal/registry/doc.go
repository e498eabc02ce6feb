/*
Package registry makes this instance run the functions that are deployed. It is a reconciler: Redis has what
is wanted, a record in memory has what was made of it here, and sync brings the two together, one name at a
time.

Everything that changes a function (deploying, updating, removing, scaling, rolling back, following another
instance, restoring what Redis has lost) changes what is wanted, and then runs the same steps. A step that
fails is repeated, with backoff, until it succeeds. No caller needs to know which steps others have made.

# States

A name is in one of these states. A record is forgotten when it is Gone.

	      deploy, follow
	Gone -----------------> Deployed <-------------------+
	 ^                       |    ^                      |
	 |   the provider cannot |    | it can               |
	 |            run it     v    |                      |
	 |                      Degraded                     | deploy,
	 |                       |                           | follow
	 |                       | remove (also of Deployed) |
	 |                       v                           |
	 |                      Draining --------------------+
	 |                       |                           |
	 | no subscription       | the last call and         |
	 | is left               v replica have ended        |
	 +-------------------- Left -------------------------+

What the states mean:

  - Deployed: the function runs here, with its own number of replicas.
  - Degraded: it is deployed, but cannot run here, as without its image. Its queued calls wait, or other
    instances make them. It is tried again with backoff, and when it is called.
  - Draining: it was removed. It takes no calls, and those in flight here end. A function of that name may be
    deployed meanwhile.
  - Left: nothing runs, but a subscription has messages. They wait until the function is deployed again.
    Callbacks are delivered.

# The order of sync

 1. Read. What Redis has of the name is what is wanted, unless this instance has a newer state that Redis
    could not be given yet.
 2. Observe. The observers are given what is wanted, in this order: router, provider, dispatcher,
    autoscaler, schedules. The router comes before the provider so that it knows the function when the first
    replica accepts calls. The dispatcher comes after the provider, so a function that cannot run here takes
    no queued calls. When one refuses, those before it are given what they had, and so a failed deployment
    changes nothing. A removed function is deleted in the opposite order.
 3. Write, under the function's change lease, and after reading again: the spec, if Redis has lost it or was
    unavailable; a rollback, if the provider said that the replicas of a new spec cannot get ready; the
    removal of subscriptions that nobody wants.
 4. Save how many replicas there are, for the next start.

Consumer groups are made before the spec is saved, so no message can arrive before there is a group to
receive it. They are removed after it: those of a removed function when they are empty, and those of topics
that an update has dropped at once.

A queue of names runs sync: one worker for a name, and once more if the name was added meanwhile. Names are
added when a change is followed, when a drain ends, when a step has failed, and at every resync. A resync
reads all of Redis: at the start, every 25 s, and whenever Redis was unavailable. So a lost notification
does no harm.

Deploy and Delete take the same steps in their caller's goroutine, since they answer for them. Scaling and
waking take steps 2 and 4 only: a function is woken while Redis is unavailable.

# Several instances

Instances of one Redis have the same functions, and each runs replicas of its own. One of them makes a
change, under a lease on the function. It notes the change on a stream. The others read the stream, and sync
the names on it.

	dies                      then
	instance that removes     the spec is gone, with a note of its subscriptions; any instance removes them
	instance that changes     its lease ends; what it saved is followed; groups without a spec are removed
	instance that follows     it reads everything when it starts
	Redis, with its data      everything is read when it is back, and what could not be written is written
	Redis and its data        every instance saves what runs there again; queued calls are lost
	provider call             the function is Degraded until a later call succeeds

Only the number of replicas is an instance's own. An instance that starts begins with the number that was
saved last.
*/
package registry
