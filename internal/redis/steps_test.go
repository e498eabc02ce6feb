package redis_test

import (
	"fmt"
	"slices"
)

// A kind of step.
type kind uint8

const (
	add      kind = iota // a producer puts the next message on the stream
	addLater             // with a time before which it must not be delivered
	take                 // a dispatcher takes up to n
	finish               // Settle
	commit               // of a function, through chain
	digest               // a commit by the message's body, of a connector without tokens
	forge                // a commit with a token of nobody
	retry
	busy
	breakOff
	bury
	renew
	redrive
	purge
	expire  // the lease runs out
	ripen   // the wait is over
	crash   // a dispatcher dies
	restart // and starts again: Reclaim
	untake  // of one lease
	sweep
	stranger // somebody else reads the next message
	complete // the second half of a commit: only of a flaw
	ask      // a caller queues a call with the key
	cancel   // somebody takes a call back
	lapse    // the key of a call that was answered is forgotten
	pause    // an operator pauses the subscription
	resume
	edit // an operator edits a dead letter
)

func (k kind) String() string {
	return [...]string{
		"add", "add for later", "take", "finish", "commit", "commit by digest", "commit by a stranger",
		"retry", "busy", "break off", "bury", "renew", "redrive", "purge", "lease runs out", "wait is over",
		"crash", "restart", "untake", "sweep", "stranger reads", "complete",
		"call with the key", "cancel", "the key is forgotten",
		"pause", "resume", "edit",
	}[k]
}

type step struct {
	kind       kind
	dispatcher uint8
	group      uint8
	message    uint8
	token      uint8
	n          uint8 // how many to take
}

func (s step) String() string {
	switch s.kind {
	case add, addLater, ask, lapse:
		return s.kind.String()
	case crash, restart:
		return fmt.Sprintf("%v of dispatcher %d", s.kind, s.dispatcher)
	case take:
		return fmt.Sprintf("take up to %d of group %d by dispatcher %d", s.n, s.group, s.dispatcher)
	case sweep, stranger, pause, resume:
		return fmt.Sprintf("%v of group %d", s.kind, s.group)
	}
	text := fmt.Sprintf("%v message %d of group %d", s.kind, s.message, s.group)
	if s.token != 0 {
		text += fmt.Sprintf(" with token %d", s.token)
	}
	return text
}

// bounds are how far a search goes.
type bounds struct {
	messages, groups, tokens uint8 // edits add one message more
	strangers, later         bool
	own                      bool // a function's own calls, which have one group
	pauses, edits            bool
}

func (b bounds) String() string {
	text := fmt.Sprintf("messages %d, groups %d, deliveries %d", b.messages, b.groups, b.tokens)
	if b.strangers {
		text += ", strangers"
	}
	if b.later {
		text += ", delays"
	}
	if b.own {
		text += ", keys"
	}
	if b.pauses {
		text += ", pauses"
	}
	if b.edits {
		text += ", edits"
	}
	return text
}

func begin(b bounds) world { return world{used: b.groups, alive: [2]bool{true, true}, own: b.own} }

// steps are those that can be made.
func (b bounds) steps(w world) (all []step) {
	if w.added < b.messages && !w.copied {
		all = append(all, step{kind: add})
		if b.later {
			all = append(all, step{kind: addLater})
		}
	}
	if b.own && (w.added < b.messages || w.known() != 0) {
		all = append(all, step{kind: ask})
	}
	if w.ended {
		all = append(all, step{kind: lapse})
	}
	for d := range uint8(2) {
		if !w.alive[d] {
			all = append(all, step{kind: restart, dispatcher: d})
			continue
		}
		all = append(all, step{kind: crash, dispatcher: d})
		for g := range b.groups {
			last := 0
			for _, n := range []uint8{1, maxMessages} {
				can := w.takeable(g, int(n))
				if can.len() > last && !slices.ContainsFunc(can.taken, func(m int) bool {
					return w.groups[g].entries[m].issued >= b.tokens
				}) {
					all = append(all, step{kind: take, dispatcher: d, group: g, n: n})
				}
				last = can.len()
			}
			for m := range w.added {
				if e := w.groups[g].entries[m]; e.lease != absent && e.newest() != 0 &&
					e.owner(e.newest()) == d {
					all = append(all, step{kind: untake, dispatcher: d, group: g, message: m})
				}
			}
		}
	}
	for g := range b.groups {
		if w.groups[g].read > 0 {
			all = append(all, step{kind: sweep, group: g})
		}
		if b.pauses && !w.groups[g].paused {
			all = append(all, step{kind: pause, group: g})
		}
		if w.groups[g].paused {
			all = append(all, step{kind: resume, group: g})
		}
		if b.strangers && w.groups[g].next(&w) >= 0 {
			all = append(all, step{kind: stranger, group: g})
		}
		for m := range w.added {
			for _, s := range w.groups[g].entries[m].steps(step{group: g, message: m}) {
				// chain commits messages of topics alone
				if !b.own || s.kind != commit && s.kind != digest && s.kind != forge {
					all = append(all, s)
				}
			}
			if b.own {
				all = append(all, step{kind: cancel, group: g, message: m})
			}
			if b.edits && (w.added < maxMessages || w.groups[g].entries[m].copy != 0) {
				all = append(all, step{kind: edit, group: g, message: m})
			}
		}
	}
	return all
}

// steps are those that can be made with an entry; it is at.
func (e *entry) steps(at step) (all []step) {
	can := func(k kind, t uint8) { at.kind, at.token = k, t; all = append(all, at) }
	for t := uint8(1); t <= e.issued; t++ {
		for _, k := range []kind{finish, commit, retry, busy, breakOff, bury, renew} {
			can(k, t)
		}
		if e.owed&bit(t) != 0 {
			can(complete, t)
		}
	}
	for _, k := range []kind{forge, digest, redrive, purge} {
		can(k, 0)
	}
	if e.lease == running {
		can(expire, 0)
	}
	if e.due == running {
		can(ripen, 0)
	}
	return all
}
