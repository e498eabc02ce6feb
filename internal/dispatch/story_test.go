package dispatch_test

import (
	"io"
	"net/http"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/stretchr/testify/require"
)

// A story is what comes to functions, what they answer, and how it ends: wherever a dispatcher is cut off.
type story struct {
	subscribers []hearth.Name // to the topic; nil means the oven
	leaveAck    bool
	calledBack  bool // the oven has made callbacks before
	long        bool
	begin       func(s *stage)
	answer      answerer
	then        func(s *stage) // what people do when it has gone so far
	ending      ending
}

// An ending is what must have come of a story.
type ending struct {
	called    []string       // the bodies that functions were called with, at least once each
	effects   map[string]int // how often each function's effect happened
	callbacks int            // that were queued, ever
	dead      string         // the reason of the one dead letter, if there is one
}

// An answerer is what functions answer.
type answerer func(
	s *stage, n hearth.Name, r *http.Request, body string,
) (status int, header http.Header, err error)

var stories = map[string]story{
	"a call that fails, and then succeeds": {
		begin:  func(s *stage) { s.enqueue("x", false) },
		answer: firstTime(status(500), status(200)),
		ending: ending{called: []string{"x"}},
	},
	"a call that finds no room at first": {
		begin: func(s *stage) { s.enqueue("x", false) },
		answer: func(s *stage, _ hearth.Name, _ *http.Request, _ string) (int, http.Header, error) {
			if s.count.Add(1) == 1 {
				return 0, nil, hearth.Errorf(hearth.Unavailable, "no replica")
			}
			return 200, nil, nil
		},
		ending: ending{called: []string{"x"}},
	},
	"a call with a callback": {
		begin:  func(s *stage) { s.enqueue("x", true) },
		answer: status(200),
		ending: ending{called: []string{"x"}, callbacks: 1},
	},
	"a call that is given up": {
		begin:  func(s *stage) { s.enqueue("x", false) },
		answer: status(404),
		ending: ending{called: []string{"x"}, dead: "answered 404 Not Found (this is not retried)"},
	},
	"a call that is given up, and redriven": {
		calledBack: true,
		long:       true,
		begin:      func(s *stage) { s.enqueue("x", true) },
		answer: func(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
			return []int{404, 200}[s.count.Load()], nil, nil
		},
		then: func(s *stage) {
			calls := redis.CallsOf(oven)
			var letters []redis.DeadLetter
			eventually(s.t, func() bool {
				letters = s.letters(calls)
				return len(letters) == 1
			})
			s.count.Store(1) // the function is mended
			n, err := s.queue.Redrive(s.t.Context(), calls, []string{letters[0].ID})
			require.NoError(s.t, err)
			require.Equal(s.t, 1, n)
			s.notify(calls)
		},
		ending: ending{called: []string{"x"}, callbacks: 2},
	},
	"a call that is given up, and edited": {
		calledBack: true,
		long:       true,
		begin:      func(s *stage) { s.enqueue("x", true) },
		answer: func(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
			return map[string]int{"x": 404, "y": 200}[body], nil, nil
		},
		then: func(s *stage) {
			calls := redis.CallsOf(oven)
			s.edit(calls, "y")
			s.notify(calls)
		},
		ending: ending{called: []string{"x", "y"}, callbacks: 2},
	},
	"a message of two subscribers, one of which gives it up and gets it edited": {
		long:        true,
		subscribers: []hearth.Name{oven, baker},

		begin: func(s *stage) { s.put("x") },
		answer: func(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
			if n == oven && body == `"x"` {
				return 404, nil, nil
			}
			return commit(s, n, r, body)
		},
		then: func(s *stage) {
			s.edit(redis.TopicOf(oven, dough), `"y"`)
		},
		ending: ending{called: []string{`"x"`, `"y"`}, effects: map[string]int{"oven": 1, "baker": 1}},
	},
	"a call that waits in a paused queue, which is resumed": {
		long: true,
		begin: func(s *stage) {
			s.pause()
			s.enqueue("x", false)
		},
		answer: func(s *stage, _ hearth.Name, _ *http.Request, _ string) (int, http.Header, error) {
			if s.count.Load() == 0 {
				return 404, nil, nil // it is paused: the dead letter shows it
			}
			return 200, nil, nil
		},
		then: func(s *stage) {
			calls := redis.CallsOf(oven)
			s.notify(calls)
			s.count.Store(1)
			require.NoError(s.t, s.queue.Resume(s.t.Context(), calls))
			s.notify(calls)
		},
		ending: ending{called: []string{"x"}},
	},
	"calls whose queue is paused while they are in flight": {
		begin: func(s *stage) {
			s.enqueue("x", false)
			s.enqueue("y", false)
		},
		answer: func(s *stage, _ hearth.Name, r *http.Request, body string) (int, http.Header, error) {
			if body == "x" {
				if s.count.Add(1) == 1 {
					s.pause()
				}
				return firstTime(status(500), status(200))(s, oven, r, body)
			}
			return 200, nil, nil
		},
		then: func(s *stage) {
			calls := redis.CallsOf(oven)
			eventually(s.t, func() bool { return s.count.Load() > 0 && s.isPaused(calls) })
			require.NoError(s.t, s.queue.Resume(s.t.Context(), calls))
			s.notify(calls)
		},
		ending: ending{called: []string{"x", "y"}},
	},
	"a message whose function commits, and dies before it answers": {
		begin: func(s *stage) { s.put("x") },
		answer: firstTime(func(
			s *stage, n hearth.Name, r *http.Request, body string,
		) (int, http.Header, error) {
			_, _, _ = commit(s, n, r, body)
			return 0, nil, io.ErrUnexpectedEOF
		}, commit),
		ending: ending{called: []string{`"x"`}, effects: map[string]int{"oven": 1}},
	},
	"a message of two subscribers, one of which fails at first": {
		long:        true,
		subscribers: []hearth.Name{oven, baker},

		begin: func(s *stage) { s.put("x") },
		answer: func(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
			if n == baker {
				return firstTime(status(500), commit)(s, n, r, body)
			}
			return commit(s, n, r, body)
		},
		ending: ending{called: []string{`"x"`}, effects: map[string]int{"oven": 1, "baker": 1}},
	},
	"a message behind a gateway that only accepts": {
		leaveAck: true,

		begin: func(s *stage) { s.put("x") },
		answer: func(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
			_, _, err := commit(s, n, r, body)
			return 202, nil, err
		},
		ending: ending{called: []string{`"x"`}, effects: map[string]int{"oven": 1}},
	},
	"several at once": {
		long: true,
		begin: func(s *stage) {
			for _, body := range []string{"1", "2", "3"} {
				s.enqueue(body, false)
			}
			s.put("4")
			s.put("5")
		},
		answer: func(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
			if r.Header.Get(wire.HeaderTopic) != "" {
				return commit(s, n, r, body)
			}
			if body == "3" {
				return firstTime(status(503), status(200))(s, n, r, body)
			}
			return 200, nil, nil
		},
		ending: ending{called: []string{"1", "2", "3", `"4"`, `"5"`}, effects: map[string]int{"oven": 2}},
	},
}

func status(code int) answerer {
	return func(*stage, hearth.Name, *http.Request, string) (int, http.Header, error) {
		return code, nil, nil
	}
}

// firstTime answers the first attempt of an entry otherwise than the others.
func firstTime(first, others answerer) answerer {
	return func(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
		if r.Header.Get(wire.HeaderAttempt) == "1" {
			return first(s, n, r, body)
		}
		return others(s, n, r, body)
	}
}

// bake counts a function's effects, and hands on a message with each.
var bake = chain.NewScript("bake", `emit('crash.baked', args)
	return function() redis.call('HINCRBY', keys.baked, args, 1) end`,
	[]chain.Key{{Name: "baked", Key: "{crash}:baked", Type: "hash"}}, "crash.baked")

// commit has a function commit its message: over a connection of its own, for it is another process than the
// dispatcher.
func commit(s *stage, n hearth.Name, r *http.Request, body string) (int, http.Header, error) {
	m := chaintest.Message{Body: []byte(body)}
	m.Delivery, _ = wire.DeliveryOf(r.Header)
	s.mu.Lock()
	s.late = append(s.late, func() { _, _, _ = s.bake(n, m) })
	s.mu.Unlock()
	return s.bake(n, m)
}
