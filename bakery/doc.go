/*
Package bakery is the domain of the cookie bakery: the menu, orders, the fridge, trays, the display, and the
audit. The four functions of the chain are thin handlers over it. It knows Redis and chain, and nothing of the
platform that calls the functions.

# An order

	          ┌──────────── all is on display ────────────┐
	          │                                           ▼
	POST ─▶ baking ── its last piece is reserved ─▶ ready ─▶ served
	          │
	          ├── DELETE ─▶ cancelled
	          └── the cookie left the menu ─▶ refused

# A tray

	asked ─▶ mixed ─▶ in_oven ─▶ baked ─▶ on_display ─▶ sold
	 │ ▲
	 │ └─ parked: the fridge is short; a restock wakes it, oldest first
	 └──▶ withdrawn: it is not owed any more

Every tray may become spoiled: when its deadline has passed, so that one that failed for good does not jam the
bakery, or by the manager's hand.

# Records and indexes

Trays and orders are JSON records in hashes, moved to other hashes when they end, and forgotten a day later.
The sorted sets beside them are indexes, whose members follow from the records (lua/lib.lua works them out in
one place). What is on the way, what is missing and what the audit adds up are sums over these; there is no
counter that could drift. The totals count only ended records and restocked ingredients: the script that ends
a record, or restocks, adds to them.

# Invariants

Each holds after every script, and Audit checks all of them on one snapshot:

  - Ingredients restocked = in the fridge + in trays that were mixed.
  - Pieces mixed = in dough + in ovens + baked + on display + reserved for orders + handed over + spoiled.
  - Orders placed = open + served + cancelled + refused.
  - No order lacks a cookie that is on display.
  - The indexes say what the records say.

# What is decided where

A step decides by shared state only in its script, at the moment of its commit. The scripts move a tray only
from the state they expect, so a redelivered message, a redriven one, or one that a stranger put on a topic
changes nothing.
*/
package bakery
