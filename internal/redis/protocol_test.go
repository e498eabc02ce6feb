package redis_test

import "slices"

// The model of the delivery protocol: what the scripts do with one stream, in Go. TestProtocol searches all
// that can happen to it, and TestScriptsDoWhatTheModelDoes compares it with the scripts in Redis.
//
// A step is one script, whole. Time is a step too: a lease runs out, or a wait ends, whenever it likes. A
// token that was issued may be used for anything, at any time, any number of times, or never. That covers a
// worker that is late or runs twice, an answer that got lost, a script that is sent again, and what a
// dispatcher had under way when it died.
const (
	maxMessages = 2
	maxGroups   = 2
	maxTokens   = 7 // of an entry; the search issues fewer, and its fair end some more
)

// A world is a stream and what is noted of it.
type world struct {
	added  uint8 // messages that were put on the stream
	used   uint8 // groups
	on     [maxMessages]bool
	later  [maxMessages]bool // has a time before which it is not delivered
	only   [maxMessages]bool // is for one group alone, which has edited it
	groups [maxGroups]group
	alive  [2]bool // dispatchers
	copied bool    // the second message is a copy of the first: never, but by a flaw

	// A function's own calls can do more: they have one group, are settled by the dispatcher alone, and may
	// be cancelled. Some come with an Idempotency-Key, always the same.
	own   bool
	key   uint8 // the message that the key belongs to, counted from 1; 0 if it is free
	ended bool  // and that has been answered

	// What has happened, of which Redis knows nothing.
	keyed  [maxMessages]bool // came with the key
	lapsed [maxMessages]bool // had been answered for so long that its key was forgotten
}

type group struct {
	read    uint8 // messages that it has been given
	paused  bool
	entries [maxMessages]entry
}

// An entry is a message as one group has it.
type entry struct {
	pending    bool
	lease, due clock
	dead       bool
	attempts   uint8
	tokens     [maxTokens]uint8 // that Redis knows, the newest first; 0 is none
	failed     bool             // failures are noted
	copy       uint8            // the message that it was edited to, counted from 1; 0 if it was not
	effects    uint8            // of commits, and callbacks of settling

	// What has happened, of which Redis knows nothing. A set has bit t for token t.
	issued    uint8 // tokens: 1 to issued
	owners    uint8 // the set of those of the second dispatcher
	orphans   uint8 // whose dispatcher has died since
	unreached uint8 // given back: the call never reached the function
	buried    uint8 // that have buried the entry
	owed      uint8 // commits that are half done: never, but by a flaw
	purged    bool
	stray     bool // a stranger took it
}

// A clock is where an entry stands in a sorted set of times.
type clock uint8

const (
	absent  clock = iota
	running       // the lease holds, the wait goes on
	over
)

func (e *entry) newest() uint8        { return e.tokens[0] }
func (e *entry) knows(t uint8) bool   { return t != 0 && slices.Contains(e.tokens[:], t) }
func (g *group) delivered(m int) bool { return int(g.read) > m }

func bit(t uint8) uint8 { return 1 << t }

// Answers of a commit. The other scripts answer with a number of their own.
const (
	forged      = -1
	done        = 0
	committed   = 1
	undelivered = 2
)

// Answers to a renewal.
const (
	lost    = -1
	gone    = 0
	renewed = 1
)

// Answers to a call with the key.
const (
	accepted = 1
	queued   = 10
	inFlight = 11
	delayed  = 12
	dead     = 13
	finished = 14
)

// A protocol is the scripts; flaw is what is wrong with them, if anything.
type protocol struct{ flaw flaw }

// run runs a step, and returns what is then, and the script's answer.
func (p protocol) run(w world, s step) (world, int) {
	g := &w.groups[s.group]
	e := &g.entries[s.message]
	switch s.kind {
	case add, addLater:
		w.on[w.added], w.later[w.added] = true, s.kind == addLater
		w.added++
	case take:
		return w, p.take(&w, g, s)
	case finish:
		return w, p.finish(&w, s)
	case commit, digest, forge:
		return w, p.commit(&w, s)
	case complete:
		e.owed &^= bit(s.token)
		switch {
		case p.flaw == effectAfterAck:
			e.effects++
		case e.pending:
			p.settle(&w, s)
		}
	case retry, busy, breakOff:
		return w, p.giveBack(e, s)
	case bury:
		return w, p.bury(&w, e, s)
	case renew:
		return w, p.renew(e, s)
	case untake:
		return w, p.untake(e)
	case redrive:
		return w, p.redrive(&w, e)
	case edit:
		return w, p.edit(&w, s)
	case purge:
		if !e.dead && !(p.flaw == purgesAnything && e.pending) {
			return w, 0
		}
		e.purged = true
		p.settle(&w, s)
		w.release(s.message, p.flaw == purgeSpendsKey)
		return w, 1
	case ask:
		return w, p.ask(&w)
	case cancel:
		if e.dead || !w.on[s.message] {
			return w, 0
		}
		e.pending, e.purged, w.on[s.message] = false, true, false
		e.forget()
		w.release(s.message, p.flaw == cancelSpendsKey)
		return w, 1
	case lapse:
		w.lapsed[w.key-1] = true
		w.key, w.ended = 0, false
	case expire:
		e.lease = over
	case ripen:
		e.due = over
	case crash:
		w.alive[s.dispatcher] = false
		w.each(func(_, _ int, e *entry) {
			for t := uint8(1); t <= e.issued; t++ {
				if e.owner(t) == s.dispatcher {
					e.orphans |= bit(t)
				}
			}
		})
	case restart:
		w.alive[s.dispatcher] = true
		return w, p.reclaim(&w, s.dispatcher)
	case sweep:
		return w, p.sweep(g)
	case pause:
		g.paused = true
		if p.flaw == pauseSkips {
			g.read = w.added
		}
	case resume:
		g.paused = false
	case stranger:
		m := g.next(&w)
		g.entries[m].pending, g.entries[m].stray = true, true
		g.read = uint8(m) + 1
	}
	return w, 0
}

// next is the next message that a group has not been given; -1 if there is none.
func (g *group) next(w *world) int {
	for m := int(g.read); m < int(w.added); m++ {
		if w.on[m] {
			return m
		}
	}
	return -1
}

// ask is a call with the key.
func (p protocol) ask(w *world) int {
	if state := w.known(); state != 0 {
		return state
	}
	w.on[w.added], w.keyed[w.added] = true, true
	w.added++
	w.key, w.ended = w.added, false
	return accepted
}

// known is what a call with the key is told of the one before; 0 if the key is free.
func (w *world) known() int {
	switch {
	case w.key == 0:
		return 0
	case w.ended:
		return finished
	}
	switch e := w.groups[0].entries[w.key-1]; {
	case e.dead:
		return dead
	case e.lease != absent:
		return inFlight
	case e.due != absent || w.later[w.key-1]:
		return delayed
	case w.on[w.key-1]:
		return queued
	}
	return 0
}

// release frees the key, if it is this message's. A flaw spends it: as if the message had been answered.
func (w *world) release(m uint8, spends bool) {
	switch {
	case w.key != m+1:
	case spends:
		w.ended = true
	default:
		w.key = 0
	}
}

func (e *entry) owner(t uint8) uint8 {
	if e.owners&bit(t) != 0 {
		return 1
	}
	return 0
}

func (w *world) each(do func(g, m int, e *entry)) {
	for g := range w.groups {
		for m := range w.groups[g].entries {
			do(g, m, &w.groups[g].entries[m])
		}
	}
}

// A batch is what a take comes to.
type batch struct {
	taken   []int // in this order
	parked  []int // set aside till their time
	skipped []int // for another group alone
}

func (b batch) len() int { return len(b.taken) + len(b.parked) + len(b.skipped) }

// takeable is what a take of up to n of a group comes to.
func (w *world) takeable(group uint8, n int) (b batch) {
	g := &w.groups[group]
	again := func(is func(e *entry) bool) {
		looked := len(b.taken)
		for m := range g.entries {
			if looked == n || !is(&g.entries[m]) {
				continue
			}
			looked++
			if w.foreign(group, m) {
				b.skipped = append(b.skipped, m)
			} else {
				b.taken = append(b.taken, m)
			}
		}
	}
	again(func(e *entry) bool { return e.lease == over })
	again(func(e *entry) bool { return e.due == over && e.lease != over })
	for m := int(g.read); m < int(w.added) && len(b.taken) < n; m++ {
		switch {
		case !w.on[m] && w.own: // it was cancelled
		case w.foreign(group, m):
			b.skipped = append(b.skipped, m)
		case w.later[m]:
			b.parked = append(b.parked, m)
		default:
			b.taken = append(b.taken, m)
		}
	}
	return b
}

// foreign reports whether a message is for another group alone: that which has edited it.
func (w *world) foreign(group uint8, m int) bool { return w.only[m] && w.foreignCopy(group, m) }

func (p protocol) take(w *world, g *group, s step) int {
	if g.paused && p.flaw != takesPaused {
		return 0
	}
	b := w.takeable(s.group, int(s.n))
	for _, m := range b.skipped {
		g.read = max(g.read, uint8(m)+1)
		g.entries[m].purged, g.entries[m].stray = true, false
		p.settle(w, step{group: s.group, message: uint8(m)})
	}
	for _, m := range b.parked {
		g.read = max(g.read, uint8(m)+1)
		g.entries[m].pending, g.entries[m].due = true, running
	}
	for _, m := range b.taken {
		e := &g.entries[m]
		g.read = max(g.read, uint8(m)+1)
		e.failed = e.failed || e.lease == over && e.issued > 0 // nobody told how that attempt ended
		e.pending, e.due, e.lease = true, absent, running
		if p.flaw == takesWithoutLease {
			e.lease = absent
		}
		e.attempts++
		e.issued++
		copy(e.tokens[1:], e.tokens[:])
		e.tokens[0] = e.issued
		if s.dispatcher == 1 {
			e.owners |= bit(e.issued)
		}
	}
	return len(b.taken)
}

func (p protocol) finish(w *world, s step) int {
	g := &w.groups[s.group]
	e := &g.entries[s.message]
	if !e.pending {
		if g.delivered(int(s.message)) {
			e.forget()
			if p.flaw == callsBackAgain {
				e.effects++
			}
		}
		return done
	}
	if !e.knows(s.token) && p.flaw != anybodySettles || p.flaw == newestSettles && e.newest() != s.token {
		return forged
	}
	p.settle(w, s)
	w.effect(s)
	if w.key == s.message+1 {
		w.ended = true
		if p.flaw == answerFreesKey {
			w.key, w.ended = 0, false
		}
	}
	return committed
}

func (p protocol) commit(w *world, s step) int {
	g := &w.groups[s.group]
	e := &g.entries[s.message]
	if !e.pending {
		if g.delivered(int(s.message)) {
			return done
		}
		return undelivered
	}
	known := s.kind == digest || e.knows(s.token) && (p.flaw != newestSettles || e.newest() == s.token)
	if !known && p.flaw != anybodySettles {
		return forged
	}
	switch p.flaw {
	case ackAfterEffect:
		e.owed |= bit(s.token)
		w.effect(s)
	case effectAfterAck:
		p.settle(w, s)
		e.owed |= bit(s.token)
	default:
		p.settle(w, s)
		w.effect(s)
	}
	return committed
}

func (w *world) effect(s step) {
	m := s.message
	if w.copied {
		m = 0
	}
	w.groups[s.group].entries[m].effects++
}

// settle is XACK, and what comes with it.
func (p protocol) settle(w *world, s step) {
	e := &w.groups[s.group].entries[s.message]
	e.pending = false
	if p.flaw != forgetsNothing {
		e.forget()
	}
	for other := range w.groups {
		g := &w.groups[other]
		if other < int(w.used) && other != int(s.group) && p.flaw != firstGroupDeletes &&
			(!g.delivered(int(s.message)) || g.entries[s.message].pending) {
			return
		}
	}
	w.on[s.message] = false
}

func (e *entry) forget() {
	e.lease, e.due, e.dead = absent, absent, false
	e.attempts, e.tokens, e.failed = 0, [maxTokens]uint8{}, false
}

func (p protocol) giveBack(e *entry, s step) int {
	if e.newest() != s.token && p.flaw != anybodyGivesBack || !e.pending || e.lease == absent {
		return 0
	}
	e.lease, e.due = absent, running
	switch s.kind {
	case retry:
		e.failed = true
		return 1
	case breakOff:
		e.due = over
		e.attempts--
		if p.flaw != breakingOffForgets {
			return 1
		}
	case busy:
		e.attempts--
		e.unreached |= bit(s.token)
	}
	if i := slices.Index(e.tokens[:], s.token); i >= 0 {
		copy(e.tokens[i:], e.tokens[i+1:])
		e.tokens[maxTokens-1] = 0
	}
	return 1
}

func (p protocol) bury(w *world, e *entry, s step) int {
	if e.newest() != s.token && p.flaw != anybodyBuries || !e.pending ||
		e.lease == absent && p.flaw != buriesWithoutLease {
		return 0
	}
	e.lease, e.dead, e.failed = absent, true, true
	e.buried |= bit(s.token)
	if p.flaw == buryingAcks {
		e.pending = false
	}
	if p.flaw == buryingFreesKey {
		w.release(s.message, false)
	}
	return 1
}

func (p protocol) redrive(w *world, e *entry) int {
	if !e.dead && !(p.flaw == redrivesAnything && e.pending) {
		return 0
	}
	if p.flaw == redrivesCopies {
		if w.added < maxMessages {
			w.on[w.added], w.copied = true, true
			w.added++
		}
		return 1
	}
	e.dead, e.due, e.attempts = false, over, 0
	if p.flaw == redriveForgets {
		e.tokens = [maxTokens]uint8{}
	}
	return 1
}

// edit returns the copy, counted from 1.
func (p protocol) edit(w *world, s step) int {
	e := &w.groups[s.group].entries[s.message]
	if e.copy != 0 {
		return int(e.copy)
	}
	if !e.dead && !(p.flaw == editsAnything && e.pending) {
		return 0
	}
	m := w.added
	w.on[m], w.only[m] = true, !w.own && p.flaw != editsForAll
	w.added++
	w.groups[s.group].entries[m].failed = true
	e.copy = m + 1
	if w.key == s.message+1 {
		w.key, w.keyed[m] = m+1, true
		w.ended = p.flaw == editSpendsKey
	}
	if p.flaw != editKeepsLetter {
		e.purged = true
		p.settle(w, s)
	}
	return int(e.copy)
}

func (p protocol) reclaim(w *world, dispatcher uint8) (n int) {
	w.each(func(_, _ int, e *entry) {
		// "me" is also how "me-too" begins.
		if e.lease != absent && e.newest() != 0 &&
			(e.owner(e.newest()) == dispatcher || p.flaw == reclaimsByPrefix && dispatcher == 0) {
			e.lease, e.failed = over, true
			n++
		}
	})
	return n
}

// renew extends a lease, also one that has run out: as long as nobody else has taken the entry.
func (p protocol) renew(e *entry, s step) int {
	switch {
	case p.flaw == renewsTheDead && e.pending && e.newest() == s.token:
	case e.lease == absent || e.newest() != s.token && p.flaw != anybodyRenews:
		if e.pending {
			return lost
		}
		return gone
	}
	e.lease = running
	return renewed
}

// untake gives back a lease that its dispatcher does not know of, or not any more. It may be one of a former
// life.
func (p protocol) untake(e *entry) int {
	if e.lease != running { // one that has ended may be of a call that was made
		return 0
	}
	e.lease, e.due = absent, over
	e.attempts--
	if p.flaw == untakeForgets {
		copy(e.tokens[:], e.tokens[1:])
	}
	return 1
}

func (p protocol) sweep(g *group) (n int) {
	pending, noted := 0, 0
	for _, e := range g.entries {
		pending += count(e.pending)
		noted += count(e.lease != absent) + count(e.due != absent) + count(e.dead)
	}
	if noted == pending || p.flaw == sweepsNothing {
		return 0
	}
	for m := range g.entries {
		if e := &g.entries[m]; e.pending && e.lease == absent && (e.due == absent || p.flaw == sweepsDue) &&
			(!e.dead || p.flaw == sweepsDead) {
			e.lease = running
			n++
		}
	}
	return n
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}
