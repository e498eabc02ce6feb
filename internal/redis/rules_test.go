package redis_test

import (
	"maps"
	"slices"
)

// A rule is what must hold, whatever happens.
type rule string

const (
	once       rule = "an effect happens at most once"
	withItsAck rule = "an effect happens if and only if its entry leaves the pending list, or it was " +
		"purged"
	inOneSet     rule = "a pending entry is in exactly one of leased, due and dead"
	nothingStays rule = "nothing is left of what is settled"
	kept         rule = "an entry is on the stream until all groups are done with it"
	newestOnly   rule = "only the newest holder gives back, buries or renews, and only what it holds"
	holderKnows  rule = "a renewal is true: renewed means leased by this holder, lost that it is not, " +
		"gone that nobody is to work on it"
	notTaken    rule = "what is leased, or waits, or is dead, is not taken"
	liveKeeps   rule = "nobody else ends the lease of a live dispatcher"
	onlyDead    rule = "only dead letters are redriven or purged"
	doneIsDone  rule = "done is said only of what is done"
	lateSuccess rule = "a late success is a success, also of a dead letter"
	noForgery   rule = "nobody settles what was not delivered to them"
	toldOnce    rule = "a delivery buries once, and so queues one callback"
	oncePerKey  rule = "of the calls with one key, another runs only if the one before was taken back, " +
		"or is forgotten"
	toldTruly rule = "a call with a known key is told what has become of the one before, which was not " +
		"taken back"
	editedOnce     rule = "of a dead letter and what it was edited to, one has its effect at most"
	editedHere     rule = "only the group that edits a message gets the edited one"
	pausedDelivers rule = "a paused queue delivers nothing"
	pausingKeeps   rule = "pausing and resuming change nothing else, so nothing is lost"
	noneForgotten  rule = "in the end each entry has had its effect, or is a dead letter"
	allRedriven    rule = "dead letters that are redriven have their effect in the end, once"
)

// A flaw is a mistake that the scripts might have.
type flaw string

const (
	anybodyGivesBack   flaw = "no token check on defer"
	anybodyBuries      flaw = "no token check on bury"
	anybodyRenews      flaw = "no token check on renew"
	renewsTheDead      flaw = "renew does not ask whether it is leased"
	anybodySettles     flaw = "no token check on settling"
	newestSettles      flaw = "settling trusts only the newest token"
	buriesWithoutLease flaw = "bury does not ask whether it is leased"
	buryingAcks        flaw = "burying acknowledges, and keeps a copy"
	redrivesCopies     flaw = "a dead letter is a copy, which redrive adds again"
	redrivesAnything   flaw = "redrive does not ask whether it is dead"
	redriveForgets     flaw = "redrive forgets the tokens"
	breakingOffForgets flaw = "a call that was broken off loses its token"
	purgesAnything     flaw = "purge does not ask whether it is dead"
	firstGroupDeletes  flaw = "the first group that acknowledges deletes the entry"
	ackAfterEffect     flaw = "the effect, and in another step the acknowledgement"
	effectAfterAck     flaw = "the acknowledgement, and in another step the effect"
	callsBackAgain     flaw = "settling twice queues two callbacks"
	forgetsNothing     flaw = "settling leaves its notes"
	takesWithoutLease  flaw = "take leases nothing"
	reclaimsByPrefix   flaw = "reclaim takes me-too for me"
	sweepsDue          flaw = "sweep does not look at due"
	sweepsDead         flaw = "sweep does not look at dead"
	untakeForgets      flaw = "untake forgets the token"
	sweepsNothing      flaw = "sweep finds nothing"
	answerFreesKey     flaw = "settling frees the key"
	buryingFreesKey    flaw = "burying frees the key"
	cancelSpendsKey    flaw = "a cancelled call spends its key"
	purgeSpendsKey     flaw = "a purged call spends its key"
	editsAnything      flaw = "edit does not ask whether it is dead"
	editKeepsLetter    flaw = "edit leaves the dead letter"
	editsForAll        flaw = "an edited message is for all groups"
	editSpendsKey      flaw = "an edited call spends its key"
	takesPaused        flaw = "take does not ask whether it is paused"
	pauseSkips         flaw = "pausing leaves out what is queued"
)

// flaws are the rules that each of them breaks: the search must find a trace for each.
var flaws = map[flaw][]rule{
	anybodyGivesBack:   {newestOnly},
	anybodyBuries:      {newestOnly},
	anybodyRenews:      {newestOnly, holderKnows},
	renewsTheDead:      {newestOnly, inOneSet},
	anybodySettles:     {noForgery},
	newestSettles:      {lateSuccess},
	buriesWithoutLease: {newestOnly, inOneSet, toldOnce},
	buryingAcks:        {doneIsDone, withItsAck},
	redrivesCopies:     {once, allRedriven},
	redrivesAnything:   {onlyDead, inOneSet, notTaken},
	redriveForgets:     {lateSuccess},
	breakingOffForgets: {lateSuccess},
	purgesAnything:     {onlyDead},
	firstGroupDeletes:  {kept},
	ackAfterEffect:     {once, withItsAck},
	effectAfterAck:     {withItsAck, doneIsDone},
	callsBackAgain:     {once},
	forgetsNothing:     {nothingStays},
	takesWithoutLease:  {inOneSet},
	reclaimsByPrefix:   {liveKeeps},
	sweepsDue:          {inOneSet},
	sweepsDead:         {inOneSet},
	sweepsNothing:      {noneForgotten},
	untakeForgets:      {lateSuccess},
	answerFreesKey:     {oncePerKey},
	buryingFreesKey:    {oncePerKey},
	cancelSpendsKey:    {toldTruly},
	purgeSpendsKey:     {toldTruly},
	editsAnything:      {onlyDead},
	editKeepsLetter:    {editedOnce},
	editsForAll:        {editedHere},
	editSpendsKey:      {toldTruly},
	takesPaused:        {pausedDelivers},
	pauseSkips:         {pausingKeeps, noneForgotten},
}

// A judge tells whether a step keeps a rule: from what was, by the step, with the script's answer, to what
// is.
type judge func(was *world, s step, answer int, is *world) bool

var rules = map[rule]judge{
	once: func(_ *world, _ step, _ int, is *world) bool {
		return is.all(func(_, _ int, e entry) bool { return e.effects <= 1 })
	},
	withItsAck: func(_ *world, _ step, _ int, is *world) bool {
		return is.all(func(g, m int, e entry) bool {
			return !is.groups[g].delivered(m) || e.pending != (e.effects > 0 || e.purged)
		})
	},
	inOneSet: func(_ *world, _ step, _ int, is *world) bool {
		return is.all(func(_, _ int, e entry) bool {
			sets := count(e.lease != absent) + count(e.due != absent) + count(e.dead)
			return sets == count(e.pending) || e.stray && sets == 0
		})
	},
	nothingStays: func(_ *world, _ step, _ int, is *world) bool {
		return is.all(func(g, m int, e entry) bool {
			notes := e
			notes.forget()
			if is.edited(m) && !is.groups[g].delivered(m) {
				notes.failed = e.failed // the failures of before are noted at once
			}
			return e.pending || e == notes && (is.waits(m) || !is.on[m])
		})
	},
	kept: func(_ *world, _ step, _ int, is *world) bool {
		for m := range is.added {
			if is.waits(int(m)) && !is.on[m] {
				return false
			}
		}
		return true
	},
	newestOnly: func(was *world, s step, _ int, is *world) bool {
		switch s.kind {
		case retry, busy, breakOff, bury, renew:
			e := was.entry(s)
			return s.token == e.issued && e.lease != absent || *was == *is
		}
		return true
	},
	holderKnows: func(was *world, s step, answer int, is *world) bool {
		e := is.entry(s)
		switch {
		case s.kind != renew:
			return true
		case answer == renewed:
			return e.pending && e.lease == running && e.newest() == s.token
		case answer == lost:
			return e.pending && (e.lease == absent || e.newest() != s.token)
		}
		return !e.pending
	},
	notTaken: func(was *world, _ step, _ int, is *world) bool {
		return is.all(func(g, m int, e entry) bool {
			b := was.groups[g].entries[m]
			return e.issued == b.issued || b.lease != running && b.due != running && !b.dead
		})
	},
	liveKeeps: func(was *world, s step, _ int, is *world) bool {
		return s.kind != restart || was.all(func(g, m int, e entry) bool {
			return e.lease != running || is.groups[g].entries[m].lease == running ||
				e.orphans&bit(e.issued) != 0
		})
	},
	onlyDead: func(was *world, s step, answer int, is *world) bool {
		return s.kind != redrive && s.kind != purge && s.kind != edit || was.entry(s).dead || *was == *is
	},
	doneIsDone: func(_ *world, s step, answer int, is *world) bool {
		e := is.entry(s)
		return s.kind != finish && s.kind != commit || answer != done || e.effects > 0 || e.purged
	},
	lateSuccess: func(was *world, s step, answer int, _ *world) bool {
		e := was.entry(s)
		return s.kind != finish && s.kind != commit || !e.pending || e.unreached&bit(s.token) != 0 ||
			answer == committed
	},
	noForgery: func(was *world, s step, _ int, is *world) bool { return s.kind != forge || *was == *is },
	toldOnce: func(was *world, s step, answer int, _ *world) bool {
		return s.kind != bury || answer == 0 || was.entry(s).buried&bit(s.token) == 0
	},
	editedOnce: func(_ *world, _ step, _ int, is *world) bool {
		return is.all(func(g, m int, e entry) bool {
			return e.copy == 0 || e.effects+is.groups[g].entries[e.copy-1].effects <= 1
		})
	},
	editedHere: func(_ *world, _ step, _ int, is *world) bool {
		return is.all(func(g, m int, e entry) bool {
			return !is.foreignCopy(uint8(g), m) || e.issued == 0 && e.effects == 0
		})
	},
	pausedDelivers: func(was *world, s step, _ int, is *world) bool {
		return is.all(func(g, m int, e entry) bool {
			b := was.groups[g].entries[m]
			return !was.groups[g].paused || e.issued == b.issued && (e.lease == b.lease || s.kind != take)
		})
	},
	pausingKeeps: func(was *world, s step, _ int, is *world) bool {
		if s.kind != pause && s.kind != resume {
			return true
		}
		other := *is
		other.groups[s.group].paused = was.groups[s.group].paused
		return other == *was
	},
	oncePerKey: func(was *world, s step, answer int, _ *world) bool {
		return s.kind != ask || answer != accepted || was.all(func(_, m int, e entry) bool {
			return !was.keyed[m] || e.purged || was.lapsed[m]
		})
	},
	toldTruly: func(was *world, s step, answer int, _ *world) bool {
		if s.kind != ask || answer == accepted {
			return true
		}
		told := 0
		was.all(func(_, m int, e entry) bool {
			if was.keyed[m] && !e.purged && !was.lapsed[m] {
				told++
				if (answer == finished) != (e.effects > 0) || (answer == dead) != e.dead {
					told = -maxMessages
				}
			}
			return true
		})
		return told == 1
	},
}

// endings tell whether all will be well, if nothing bad happens any more.
var endings = map[rule]func(p protocol, w world) bool{
	noneForgotten: func(p protocol, w world) bool {
		w = p.fair(w)
		return w.all(func(_, _ int, e entry) bool {
			return e.pending && e.dead || !e.pending && (e.effects == 1 || e.purged)
		})
	},
	allRedriven: func(p protocol, w world) bool {
		w = p.fair(w)
		for range 2 { // somebody asks twice
			w.each(func(g, m int, _ *entry) {
				w, _ = p.run(w, step{kind: redrive, group: uint8(g), message: uint8(m)})
			})
		}
		w = p.fair(w)
		return w.all(func(_, _ int, e entry) bool { return !e.pending && (e.effects == 1 || e.purged) })
	},
}

// A law is a rule and how it is judged: by each step, or by what will come of a world.
type law struct {
	rule
	keeps judge
	ends  func(p protocol, w world) bool
}

func laws(asked ...rule) (all []law) {
	for _, r := range asked {
		all = append(all, law{r, rules[r], endings[r]})
	}
	return all
}

func everyRule() []rule {
	return append(slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(endings))...)
}

func (w *world) entry(s step) entry { return w.groups[s.group].entries[s.message] }

// all reports whether something holds for each entry of the messages that were added.
func (w *world) all(holds func(g, m int, e entry) bool) bool {
	for g := range w.used {
		for m := range w.added {
			if !holds(int(g), int(m), w.groups[g].entries[m]) {
				return false
			}
		}
	}
	return true
}

// edited reports whether a message is what a dead letter was edited to.
func (w *world) edited(m int) bool {
	for g := range w.groups {
		for _, e := range w.groups[g].entries {
			if int(e.copy) == m+1 {
				return true
			}
		}
	}
	return false
}

// foreignCopy reports whether a message is what another group than this has edited.
func (w *world) foreignCopy(group uint8, m int) bool {
	here := slices.ContainsFunc(w.groups[group].entries[:], func(e entry) bool { return int(e.copy) == m+1 })
	return w.edited(m) && !here
}

// waits reports whether a group is not done with a message.
func (w *world) waits(m int) bool {
	for g := range w.used {
		if e := w.groups[g].entries[m]; !w.groups[g].delivered(m) && !e.purged || e.pending {
			return true
		}
	}
	return false
}

// fair is what comes of a world in which no dispatcher dies any more, queues are resumed, and each call
// succeeds.
func (p protocol) fair(w world) world {
	do := func(s step) { w, _ = p.run(w, s) }
	for w.added < maxMessages {
		do(step{kind: add})
	}
	for d := range uint8(2) {
		if !w.alive[d] {
			do(step{kind: restart, dispatcher: d})
		}
	}
	for was := (world{}); was != w; {
		was = w
		for g := range w.used {
			do(step{kind: resume, group: g})
			do(step{kind: sweep, group: g})
			for m := range w.added {
				switch e := w.groups[g].entries[m]; {
				case e.lease == running:
					do(step{kind: expire, group: g, message: m})
				case e.due == running:
					do(step{kind: ripen, group: g, message: m})
				}
			}
			do(step{kind: take, group: g, n: maxMessages})
			for m := range w.added {
				if e := w.groups[g].entries[m]; e.lease == running && e.newest() != 0 {
					by := commit
					if w.own {
						by = finish
					}
					do(step{kind: by, group: g, message: m, token: e.newest()})
				}
			}
		}
	}
	return w
}
