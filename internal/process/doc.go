/*
Package process runs replicas as processes of this machine, under this user. It is for trusted code: what isolates functions
from each other is a container.

# A replica's life

	        socket opened                answers /_/ready
	start ────────────────▶ accepting ───────────────────▶ ready ──── SIGTERM, drains ──▶ gone
	  ▲                         │                            │
	  └───── after a while ─────┴────────── it exits ────────┘

A replica gets a listening socket that this package has opened, so calls queue in the kernel while it starts, and also while
a crashed one is started again: the socket outlives the process. A replica that crashed twice in a row without getting
ready is failing: it takes no calls, its socket is closed so that what queues there is answered, and it is tried again
with a growing pause.

What a replica prints goes to the function's log, a line each. It dies with this process; see package child.
*/
package process
