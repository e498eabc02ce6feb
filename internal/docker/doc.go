/*
Package docker runs replicas as containers of a Docker engine. It implements hearth.Provider. A container has
no privileges, a network of Hearth's own, and no port outside of it: so functions are isolated from the
machine.

# A replica's life

	                                   answers its ready check
	create ──▶ start ──▶ starting ──────────────────────────▶ ready ──── SIGTERM, drains ──▶ removed
	  ▲                     │  │                                │
	  │                     │  └──▶ ready, never called ──▶ frozen ──▶ thawed by the first call ──▶ ready
	  └──── after a while ──┴───────────── it exits ────────────┘

A function at zero may keep a standby replica: frozen, a paused container, which is the fastest to start and
keeps its memory; or prepared, a container that is created and not started. A frozen container is fresh and
has never had a call, so no call is ever frozen. Its socket takes connections while it thaws, so the first
call need not wait for that.

A container that crashed twice in a row without getting ready is failing: it takes no calls, and is started
again after a growing pause of up to five minutes.

# Ownership

All containers have the label com.hearth.instance with the name of the instance, and an instance touches no
others. They outlive an instance that is killed: after a restart it adopts those that run what is deployed,
and removes the others. An instance that stops in order removes them all.

This package does not build images from sources, and does not keep the specs of functions.
*/
package docker
