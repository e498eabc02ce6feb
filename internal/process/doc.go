/*
Package process runs replicas as processes of this machine, under this user. It implements hearth.Provider. It
is for trusted code: it does not isolate functions from each other or from the machine, as package docker
does.

# A replica's life

	        socket opened                answers /_/ready
	start ────────────────▶ accepting ───────────────────▶ ready ──── SIGTERM, drains ──▶ gone
	  ▲                         │                            │
	  └───── after a while ─────┴────────── it exits ────────┘

A replica gets a listening socket that this package has opened. Calls queue in the kernel while the process
starts, and while a crashed one is started again: the socket outlives the process. A replica that crashed
twice in a row without getting ready is failing: it takes no calls, its socket is closed, the calls in it go
to other replicas, and it is started again after a growing pause.

The output of a replica goes to the function's log. A replica dies with this process; see package child.
*/
package process
