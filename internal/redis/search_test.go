package redis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/stretchr/testify/require"
)

// canonical is a world without what makes no difference to what can happen, so that the search meets fewer.
func (w world) canonical() world {
	w.each(func(g, m int, e *entry) {
		e.attempts, e.failed = 0, false
		if w.groups[g].delivered(m) && !e.pending {
			e.issued = min(e.issued, 1) // a token that comes too late
			e.owners, e.orphans, e.unreached, e.buried, e.stray = 0, 0, 0, 0, false
			return
		}
		holder := bit(e.newest())
		e.buried &= holder
		if e.lease == absent {
			holder = 0
		}
		e.owners &= holder
		e.orphans &= holder
	})
	return w
}

// A found is what a search came to.
type found struct {
	states, steps, depth int
	broken               rule // "" if none was
	trace                []step
}

func (f found) String() string {
	lines := make([]string, len(f.trace))
	for i, s := range f.trace {
		lines[i] = s.String()
	}
	return strings.Join(lines, "\n")
}

// search goes through all worlds that a protocol can come to, nearest first, until a law is broken.
func (p protocol) search(b bounds, laws ...law) (f found) {
	type visit struct {
		from  int32
		depth int32
		by    step
	}
	first := begin(b)
	seen, worlds, visits := map[world]bool{first: true}, []world{first}, []visit{{from: -1}}
	fail := func(at int, broken rule, last ...step) found {
		f.broken, f.states, f.trace = broken, len(worlds), last
		for ; visits[at].from >= 0; at = int(visits[at].from) {
			f.trace = append(f.trace, visits[at].by)
		}
		slices.Reverse(f.trace)
		return f
	}
	for at := 0; at < len(worlds); at++ {
		before := worlds[at]
		f.depth = int(visits[at].depth)
		for _, l := range laws {
			if l.ends != nil && !l.ends(p, before) {
				return fail(at, l.rule)
			}
		}
		for _, s := range b.steps(before) {
			f.steps++
			after, answer := p.run(before, s)
			for _, l := range laws {
				if l.keeps != nil && !l.keeps(&before, s, answer, &after) {
					return fail(at, l.rule, s)
				}
			}
			if next := after.canonical(); !seen[next] {
				seen[next] = true
				worlds = append(worlds, next)
				visits = append(visits, visit{from: int32(at), depth: visits[at].depth + 1, by: s})
			}
		}
	}
	f.states = len(worlds)
	return f
}

// TestProtocol searches everything that can happen within bounds: no rule is broken.
func TestProtocol(t *testing.T) {
	t.Parallel()
	all := []bounds{
		{messages: 1, groups: 1, tokens: 4, strangers: true, later: true},
		{messages: 2, groups: 1, tokens: 2},
		{messages: 1, groups: 2, tokens: 2},
		{messages: 2, groups: 1, tokens: 1, own: true},
		{messages: 1, groups: 1, tokens: 3, pauses: true, later: true},
		{messages: 1, groups: 2, tokens: 1, pauses: true},
		{messages: 1, groups: 1, tokens: 2, edits: true},
		{messages: 1, groups: 2, tokens: 1, edits: true},
		{messages: 2, groups: 1, tokens: 1, edits: true, own: true},
	}
	if len(chaintest.Seeds(t, 1)) >= 100 { // HEARTH_SEEDS: somebody has time, and memory
		all = append(all, []bounds{
			{messages: 1, groups: 1, tokens: 5, strangers: true, later: true},
			{messages: 2, groups: 1, tokens: 2, strangers: true, later: true},
			{messages: 1, groups: 2, tokens: 2, strangers: true},
			{messages: 2, groups: 1, tokens: 2, own: true, later: true},
			{messages: 2, groups: 2, tokens: 1},
			{messages: 1, groups: 2, tokens: 3},
			{messages: 2, groups: 1, tokens: 3},
			{messages: 2, groups: 1, tokens: 2, pauses: true},
			{messages: 2, groups: 1, tokens: 2, edits: true},
			{messages: 2, groups: 2, tokens: 1, edits: true},
			{messages: 2, groups: 1, tokens: 2, edits: true, own: true},
		}...)
	}
	for _, b := range all {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			f := protocol{}.search(b, laws(everyRule()...)...)
			require.Empty(t, f.broken, "\n%v", f)
			t.Logf("%d states, %d steps, depth %d, in %v", f.states, f.steps, f.depth,
				time.Since(began).Round(time.Millisecond))
		})
	}
}

// bounds are wide enough to show a flaw.
func (wrong flaw) bounds() bounds {
	if wrong == sweepsDue || wrong == sweepsDead || wrong == sweepsNothing {
		return bounds{messages: 2, groups: 1, tokens: 1, strangers: true}
	}
	if wrong == answerFreesKey || wrong == buryingFreesKey || wrong == cancelSpendsKey ||
		wrong == purgeSpendsKey {
		return bounds{messages: 2, groups: 1, tokens: 1, own: true}
	}
	switch wrong {
	case editsAnything, editKeepsLetter:
		return bounds{messages: 1, groups: 1, tokens: 1, edits: true}
	case editsForAll:
		return bounds{messages: 1, groups: 2, tokens: 1, edits: true}
	case editSpendsKey:
		return bounds{messages: 2, groups: 1, tokens: 1, edits: true, own: true}
	}
	if wrong == takesPaused || wrong == pauseSkips {
		return bounds{messages: 1, groups: 1, tokens: 2, pauses: true}
	}
	return bounds{messages: 1, groups: 2, tokens: 2}
}

// TestFlawsAreFound: each flaw breaks the rules that it is known for, and the search shows how.
func TestFlawsAreFound(t *testing.T) {
	t.Parallel()
	broken := map[rule]bool{}
	for wrong, breaks := range flaws {
		for _, r := range breaks {
			broken[r] = true
			t.Run(fmt.Sprintf("%s: %s", wrong, r), func(t *testing.T) {
				t.Parallel()
				f := protocol{wrong}.search(wrong.bounds(), laws(r)...)
				require.Equal(t, r, f.broken, "no trace among %d states", f.states)
				t.Logf("the shortest trace, after %d states:\n%v", f.states, f)
			})
		}
	}
	require.Len(t, broken, len(everyRule()), "each rule can be broken")
}

// TestTrustingOnlyTheNewestTokenIsSafeButWasteful: it would lose late successes, and have their calls made
// again. That is why any token may settle.
func TestTrustingOnlyTheNewestTokenIsSafeButWasteful(t *testing.T) {
	t.Parallel()
	others := slices.DeleteFunc(everyRule(), func(r rule) bool { return r == lateSuccess })
	f := protocol{newestSettles}.search(bounds{messages: 1, groups: 1, tokens: 3}, laws(others...)...)
	require.Empty(t, f.broken, "\n%v", f)
}
