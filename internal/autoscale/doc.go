/*
Package autoscale decides how many replicas each function should have, and asks for them.

Collecting, deciding and applying are apart. Every tick the loop reads what each function that is awake has
to do, keeps it for a while (window.go), and gives the averages to Decide (decide.go), which is pure. What
it decides is applied by the registry, as if an operator had asked for it.

# The decision

What is wanted is load / (target x proportion), rounded up: OpenFaaS's formula, and its labels choose the
signal and the target. It is computed over two windows that all functions have in common, and the larger
result wins:

	stable   30 s: how it is. All shrinking follows from it, so a pause between two calls costs nothing. Of a
	         function that had nothing to do for a panic window, it begins with what came then: a rush of 5 s
	         is not averaged with 25 s of nothing
	panic    1 s: how it has just become. It can make a function grow, and keep it from shrinking; it never
	         makes it shrink

A function without labels follows two signals, of which the larger wins. One is its calls in flight, those
that are held among them, beside what its replicas take at once (max_inflight). A free replica is waited for
a quarter of a second before another is started: so a held call that takes less counts as that part of one.
The other signal, while there are calls that nobody has taken yet, is how long all of them take:

	(waiting + in flight) x mean run time / drain goal / concurrency

An oven with 4 racks that bakes for 0.6 s, 96 trays that wait and 4 that bake, and a goal of 1 s: 100 x 0.6
/ 1 / 4 = 15 replicas. There are never more than the calls that are there could keep busy: 3 calls of a
minute each, one at a time, are 3 replicas, and not 180. And a queue that is worked off within the goal is
waited for: calls of 5 ms start nothing. Of short calls others come meanwhile, so those that were in flight
in the panic window count whole, where that is more than in flight x mean run time / drain goal.

Calls of replicas that end need no other replica, so they make a function grow no further. They do keep it
from shrinking: or the end of one replica would be a reason to end the next.

	grows     at most to twice its size in a tick, or by four
	shrinks   when a whole stable window is known, and no further than the most that replicas were needed for
	          within it, by what they had in a panic window: so a size stays for a window after the last look
	          that needed it. What waits is worked off, and keeps none. com.openfaas.scale.down.window is
	          another window for that, and keeps the most that was wanted
	by hand   what an operator sets stays for a stable window, whatever was seen before; only a call that
	          wakes a function ends that
	sleeps    after com.openfaas.scale.zero-duration without a call, if com.openfaas.scale.zero lets it;
	          never to zero by the formula
	wakes     with a call, which is the router's doing; or by the clock, when its warm floor begins
	fails     while one of its replicas cannot start, it does not grow: more of what fails would not help

Failed dials, failed starts and failed calls are no load, so they never start replicas.

# When something dies

	dies        then
	hearth      functions begin at the size they had, and keep it until a stable window is known; only what
	            is too small grows
	Redis       queues count as empty, calls in flight do not; scaling goes on
	a replica   the provider replaces it; its calls are no load any more

Command sim, beside this package, puts all this before simulated calls in virtual time, and holds it against
an oracle that knows them.

It places nothing, knows no other hearth, and each hearth scales its own replicas by the calls that it makes
and by queues that it shares with others: with two of them, each may add replicas for the same queue.
*/
package autoscale
