package dispatch_test

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A disaster is what a cut means to a dispatcher, and who goes on.
type disaster struct {
	dies  bool          // the dispatcher does; else it is only its connections
	next  string        // the instance that starts then, if one does
	peer  string        // the instance that was there all the time, if there is one
	lease time.Duration // by how much leases outlast a call
	sweep time.Duration // how often one looks for what nobody holds; 0 is too rarely to matter
}

// Leases that have to run out are short; those that nobody should wait for are long.
var disasters = map[string]disaster{
	"it dies and starts again":       {dies: true, next: "me", lease: time.Hour},
	"it dies and another one starts": {dies: true, next: "me-too", lease: 30 * time.Millisecond},
	"it dies and a peer goes on": {dies: true, peer: "me-too", lease: 30 * time.Millisecond,
		sweep: 20 * time.Millisecond},
	"its connections break and it goes on": {lease: 30 * time.Millisecond},
}

// TestCrashPoints cuts each story at each command of the dispatcher, before Redis has it and behind, until a
// story comes to its end uncut. It is always the same end.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("needs a redis-server in PATH: miniredis does not know how many entries a stream ever had")
	}
	all := len(chaintest.Seeds(t, 1)) >= 100 // HEARTH_SEEDS: somebody has time
	var plays sync.WaitGroup
	stages := make(chan struct{}, 8) // so many at once, as they wait most of the time
	for what, d := range disasters {
		for title, story := range stories {
			if !all && (d.peer != "" && !story.long || d.next == "me-too" && story.long) {
				continue // the two are alike: short stories have a successor, and long ones a peer
			}
			plays.Go(func() {
				stages <- struct{}{}
				t.Run(what+"/"+title, func(t *testing.T) { newStage(t, story, d).enumerate(t) })
				<-stages
			})
		}
	}
	plays.Wait()
}

// enumerate plays the story with each cut.
func (s *stage) enumerate(t *testing.T) {
	points := 0
	for _, after := range []bool{false, true} {
		for n, hit := 0, true; hit; n++ {
			c := cut{command: n, after: after, forGood: s.disaster.dies}
			if !t.Run(c.String(), func(t *testing.T) { hit = s.play(t, c) }) {
				return
			}
			points++
		}
	}
	require.Greater(t, points, 2, "it was never cut")
	t.Logf("%d points", points-2) // the last of each kind was not reached
}

// play lets the story happen, and tells whether it was cut.
func (s *stage) play(t *testing.T, c cut) (hit bool) {
	s.set(t)
	queue, w := cabled(t, s.raw, c)
	s.start(queue, "me")
	s.story.begin(s)
	if s.disaster.peer != "" {
		s.start(s.queue, s.disaster.peer)
	}
	over := make(chan struct{})
	var next sync.WaitGroup
	next.Go(func() {
		select {
		case <-over:
			return
		case <-w.snap:
		}
		if s.disaster.next != "" {
			s.start(s.queue, s.disaster.next)
		}
		if s.disaster.dies {
			_ = queue.Close()
		}
	})
	if s.story.then != nil {
		s.story.then(s)
	}
	require.Eventually(t, s.quiet, time.Minute, 5*time.Millisecond)
	close(over)
	next.Wait()
	s.stop()
	s.check()
	select {
	case <-w.snap:
		return true
	default:
		return false
	}
}

// quiet reports whether nothing is left to do.
func (s *stage) quiet() bool {
	var subs []wire.Subscription
	for _, n := range s.names() {
		// callbacks last: calls queue them
		subs = append(subs, redis.CallsOf(n), redis.TopicOf(n, dough), redis.CallbacksOf(n))
	}
	depths, err := s.queue.Depths(s.t.Context(), subs)
	require.NoError(s.t, err)
	dead := 0
	for _, d := range depths {
		if d.Waiting+d.Leased+d.Due+d.Delayed > 0 {
			return false
		}
		dead += d.Dead
	}
	return (dead == 1) == (s.story.ending.dead != "")
}

// check compares what there is with the story's ending.
func (s *stage) check() {
	t, ctx, want := s.t, context.Background(), s.story.ending
	var called []string
	for _, c := range s.fns.seen() {
		called = append(called, c.body)
	}
	require.Subset(t, called, want.called)

	for _, again := range s.late { // whatever was delivered works once more, much too late
		again()
	}
	effects := s.raw.HGetAll(ctx, "{crash}:baked").Val()
	require.Len(t, effects, len(want.effects))
	handed := 0
	for who, n := range want.effects {
		require.Equal(t, fmt.Sprint(n), effects[who], "effects of %s", who)
		handed += n
	}
	require.EqualValues(t, handed, s.raw.XLen(ctx, "{crash}.baked").Val(), "messages handed on")

	if want.callbacks > 0 {
		stream := s.raw.XInfoStream(ctx, redis.CallbacksOf(oven).Stream).Val()
		require.EqualValues(t, want.callbacks, stream.EntriesAdded, "callbacks queued")
	}
	require.GreaterOrEqual(t, int(s.calledBack.Load()), want.callbacks)

	subs, err := s.queue.Subscriptions(ctx)
	require.NoError(t, err)
	for _, sub := range subs {
		left := []redis.DeadLetter{}
		if sub == redis.CallsOf(oven) && want.dead != "" {
			left = s.letters(sub)
			require.Len(t, left, 1)
			require.Equal(t, want.dead, left[0].Failures[len(left[0].Failures)-1].Reason)
		}
		s.holds(sub, len(left))
	}
}

// holds means that a subscription has so many entries, which are dead letters, and notes of nothing else.
func (s *stage) holds(sub wire.Subscription, dead int) {
	ctx, keys := context.Background(), sub.Keys()
	require.EqualValues(s.t, dead, s.raw.XLen(ctx, sub.Stream).Val(), sub)
	require.EqualValues(s.t, dead, s.raw.XPending(ctx, sub.Stream, sub.Group).Val().Count, sub)
	require.EqualValues(s.t, dead, s.raw.ZCard(ctx, keys[3]).Val(), sub)
	require.Zero(s.t, s.raw.Exists(ctx, keys[1:3]...).Val(), "nothing of %v is leased, or due", sub)
	if dead == 0 {
		require.Zero(s.t, s.raw.Exists(ctx, keys[1:]...).Val(), "no notes of %v", sub)
	}
}

// TestEditIsMadeOnceWhereverItIsCut: an edit whose connection breaks at any command, before Redis has it and
// behind, is made when it is asked for again, and only once.
func TestEditIsMadeOnceWhereverItIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, chaintest.Redis(t))
	r.stop() // nobody delivers
	calls, raw := redis.CallsOf(oven), r.raw.(*goredis.Client)
	_, err := r.queue.Subscribe(t.Context(), calls)
	require.NoError(t, err)
	edit := redis.Edit{Body: []byte("right")}
	points := 0
	for _, after := range []bool{false, true} {
		for n, hit := 0, true; hit; n++ {
			r.enqueue(redis.Call{Entry: wire.Entry{Body: []byte("wrong")}})
			b, err := r.queue.Take(t.Context(), calls, 1, redis.Holder{Instance: "me", Lease: time.Hour})
			require.NoError(t, err)
			held, err := r.queue.Bury(t.Context(), calls, b.Deliveries[0], redis.Failure{}, nil)
			require.NoError(t, err)
			require.True(t, held)
			id := b.Deliveries[0].ID

			queue, w := cabled(t, raw, cut{command: n, after: after, forGood: true})
			_, _ = queue.Edit(t.Context(), calls, id, edit, hearth.DefaultQueueLimit)
			copied, err := r.queue.Edit(t.Context(), calls, id, edit, hearth.DefaultQueueLimit)
			require.NoError(t, err)
			entries := r.raw.XRange(t.Context(), calls.Stream, "-", "+").Val()
			require.Len(t, entries, 1)
			require.Equal(t, copied, entries[0].ID)
			require.Equal(t, "right", entries[0].Values["body"])
			require.Empty(t, r.letters(calls))
			_, _, err = r.queue.Cancel(t.Context(), oven, "c", copied)
			require.NoError(t, err)
			select {
			case <-w.snap:
				points++
			default:
				hit = false
			}
		}
	}
	require.GreaterOrEqual(t, points, 2, "it was cut before the script and after it")
}
