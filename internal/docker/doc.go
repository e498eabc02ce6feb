/*
Package docker runs replicas as containers of a Docker engine. A container has no privileges, a network of Hearth's own, and
no port outside of it; this is where functions are isolated from each other and from the machine.

# A replica's life

	                                   answers its ready check
	create ──▶ start ──▶ starting ──────────────────────────▶ ready ──── SIGTERM, drains ──▶ removed
	  ▲                     │  │                                │
	  │                     │  └──▶ ready, never called ──▶ frozen ──▶ thawed by the first call ──▶ ready
	  └──── after a while ──┴───────────── it exits ────────────┘

A function that should have no replica keeps one asleep: frozen, which wakes the fastest and keeps its memory; or prepared,
which is created and not started; or none. A frozen one is a fresh container that has never had a call, so nothing is ever
frozen in the middle of something; and its socket takes connections while it thaws, so the first call is on its way already.

A container that crashed twice in a row without getting ready is failing: it takes no calls, and is tried again after a
growing pause of up to five minutes.

# What is ours

All containers have the label com.hearth.instance with the name of this hearth, and only those are ever touched. They outlive
a hearth that is killed: the next one adopts those that run what is deployed, and removes the others. A hearth that ends
as it should removes them all.

This package does not build images from sources, and does not keep the specs of functions.
*/
package docker
