package redis_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// real is the stream of a world in Redis, and the scripts.
type real struct {
	t      *testing.T
	own    bool // it is a function's own calls, which are settled by another path than a topic's messages
	c      *redis.Client
	raw    *goredis.Client
	issued map[step][]redis.Delivery // by group and message: the delivery with token n is the n-th
	ids    []string                  // by message: Redis has chosen some of them
}

const topic = "model.topic"

var (
	instances = [2]string{"me", "me-too"}
	callbacks = hearth.Name{Function: "model", Namespace: "openfaas-fn"}
	keysKey   = redis.CallsOf(callbacks).Stream + ":keys"
	endedKey  = redis.CallsOf(callbacks).Stream + ":ended"
	effect    = chain.NewScript("effect",
		`return function() redis.call('HINCRBY', keys.effects, args, 1) end`,
		[]chain.Key{{Name: "effects", Key: "{model}:effects", Type: "hash"}})
)

func (r *real) sub(g uint8) wire.Subscription {
	if r.own {
		return redis.CallsOf(callbacks)
	}
	return redis.TopicOf(hearth.Name{Function: fmt.Sprint("g", g), Namespace: "openfaas-fn"}, topic)
}

func (r *real) idOf(m uint8) string {
	return r.ids[m]
}

func (r *real) messageOf(id string) uint8 {
	return uint8(slices.Index(r.ids, id))
}

// queue puts a call on the queue.
func (r *real) queue(c redis.Call) (int, error) {
	c.Body, c.CallID = []byte("{}"), "c"
	got, err := r.c.Enqueue(r.t.Context(), callbacks, c, hearth.DefaultQueueLimit)
	if err != nil {
		return 0, err
	}
	if got.Before {
		return told[got.State], nil
	}
	r.ids = append(r.ids, got.ID)
	return count(c.Key != ""), nil
}

var told = map[redis.State]int{
	redis.Queued:   queued,
	redis.InFlight: inFlight,
	redis.Delayed:  delayed,
	redis.Dead:     dead,
	redis.Finished: finished,
}

// of names an entry.
func of(g, m uint8) string { return fmt.Sprintf("%d %d", g, m) }

func (r *real) begin(w world) {
	r.issued, r.ids = map[step][]redis.Delivery{}, nil
	require.NoError(r.t, r.raw.FlushDB(r.t.Context()).Err())
	for g := range w.used {
		_, err := r.c.Subscribe(r.t.Context(), r.sub(g))
		require.NoError(r.t, err)
	}
}

// delivery is the one with a step's token.
func (r *real) delivery(s step) redis.Delivery {
	return r.issued[step{group: s.group, message: s.message}][s.token-1]
}

// run makes a step, and returns what the model's run does.
func (r *real) run(w world, s step) (int, error) {
	ctx, sub, id := r.t.Context(), r.sub(s.group), ""
	if s.kind != add && s.kind != addLater && s.kind != ask && int(s.message) < len(r.ids) {
		id = r.idOf(s.message)
	}
	keys := sub.Keys()
	yes := func(is bool, err error) (int, error) { return count(is), err }
	why := redis.Failure{Reason: "it failed"}
	switch s.kind {
	case add, addLater:
		if r.own {
			var c redis.Call
			if s.kind == addLater {
				c.DeliverAt = time.Now().Add(time.Hour)
			}
			return r.queue(c)
		}
		fields := []string{"body", "{}"}
		if s.kind == addLater {
			fields = append(fields, "deliver-at", fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()))
		}
		r.ids = append(r.ids, fmt.Sprintf("%d-1", w.added+1))
		return 0, r.raw.XAdd(ctx,
			&goredis.XAddArgs{Stream: keys[0], ID: r.idOf(w.added), Values: fields}).Err()
	case take:
		b, err := r.c.Take(ctx, sub, int(s.n),
			redis.Holder{Instance: instances[s.dispatcher], Lease: time.Hour})
		for _, d := range b.Deliveries {
			at := step{group: s.group, message: r.messageOf(d.ID)}
			r.issued[at] = append(r.issued[at], d)
		}
		return len(b.Deliveries), err
	case finish:
		ended, err := r.c.Settle(ctx, sub, r.delivery(s), callback("settled", s))
		if err != nil && strings.Contains(err.Error(), "never issued") {
			return forged, nil
		}
		return yes(ended, err)
	case commit, digest, forge:
		d := wire.Delivery{Topic: topic, Group: sub.Group, ID: id}
		switch s.kind {
		case commit:
			d.Token = r.delivery(s).Token
		case forge:
			d.Token = "me:" + rand.Text()
		}
		return r.commit(d, of(s.group, s.message))
	case retry:
		return yes(r.c.Retry(ctx, sub, r.delivery(s), time.Hour, why))
	case busy:
		return yes(r.c.Busy(ctx, sub, r.delivery(s), time.Hour))
	case breakOff:
		held, err := r.c.BreakOff(ctx, sub, r.delivery(s))
		r.timePasses(keys[2], id, held)
		return yes(held, err)
	case bury:
		return yes(r.c.Bury(ctx, sub, r.delivery(s), why, callback("buried", s)))
	case renew:
		got, err := r.c.Renew(ctx,
			[]redis.Leases{{Of: sub, Length: time.Hour, Deliveries: []redis.Delivery{r.delivery(s)}}})
		if err != nil {
			return 0, err
		}
		return int(got[0][0]), nil
	case untake:
		var known []string
		for at, all := range r.issued {
			for i, d := range all {
				if at.group == s.group && (at.message != s.message || i < len(all)-1) {
					known = append(known, d.Token)
				}
			}
		}
		n, err := r.c.Untake(ctx, sub, instances[s.dispatcher], known)
		r.timePasses(keys[2], id, n > 0)
		return n, err
	case redrive:
		return r.c.Redrive(ctx, sub, []string{id})
	case edit:
		copied, err := r.c.Edit(ctx, sub, id, redis.Edit{Body: []byte("[]")}, hearth.DefaultQueueLimit)
		if errors.Is(err, redis.ErrNotDead) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if !slices.Contains(r.ids, copied) {
			r.ids = append(r.ids, copied)
		}
		return int(r.messageOf(copied)) + 1, nil
	case purge:
		return r.c.Purge(ctx, sub, []string{id})
	case ask:
		return r.queue(redis.Call{Key: "k"})
	case cancel:
		cancelled, _, err := r.c.Cancel(ctx, callbacks, "c", id)
		return len(cancelled), err
	case lapse:
		return 0, r.raw.ZAddXX(ctx, endedKey,
			goredis.Z{Score: 1, Member: r.raw.ZRange(ctx, endedKey, 0, 0).Val()[0]}).Err()
	case expire: // not 0, which says that Reclaim ended it
		return 0, r.raw.ZAddXX(ctx, keys[1], goredis.Z{Score: 1, Member: id}).Err()
	case ripen:
		return 0, r.raw.ZAddXX(ctx, keys[2], goredis.Z{Member: id}).Err()
	case restart:
		sum := 0
		for g := range w.used {
			n, err := r.c.Reclaim(ctx, r.sub(g), instances[s.dispatcher])
			if err != nil {
				return 0, err
			}
			sum += n
			for _, id := range r.raw.ZRangeArgs(ctx,
				goredis.ZRangeArgs{Key: r.sub(g).Keys()[1], Start: "0", Stop: "0", ByScore: true}).Val() {
				// as one that runs out: they are taken in the order of ids
				r.raw.ZAddXX(ctx, r.sub(g).Keys()[1], goredis.Z{Score: 1, Member: id})
			}
		}
		return sum, nil
	case sweep:
		return r.c.Sweep(ctx, sub, time.Hour)
	case pause:
		_, err := r.c.Pause(ctx, sub)
		return 0, err
	case resume:
		return 0, r.c.Resume(ctx, sub)
	case stranger:
		return 0, r.raw.XReadGroup(ctx, &goredis.XReadGroupArgs{
			Group:    sub.Group,
			Consumer: "stranger",
			Streams:  []string{keys[0], ">"},
			Count:    1,
		}).Err()
	}
	return 0, nil
}

// timePasses lets what is due be taken in the order of ids.
func (r *real) timePasses(due, id string, is bool) {
	if is {
		r.raw.ZAddXX(r.t.Context(), due, goredis.Z{Member: id})
	}
}

// callback is one that says what became of an entry.
func callback(what string, s step) *redis.Callback {
	return &redis.Callback{Of: callbacks, Entry: wire.Entry{CallID: what + " " + of(s.group, s.message)}}
}

func (r *real) commit(d wire.Delivery, entry string) (int, error) {
	_, before, err := chain.Commit{Script: effect, Args: entry}.Settle(r.t.Context(), r.raw, d, []byte("{}"))
	switch {
	case err == nil:
		return 1 - count(before), nil
	case strings.Contains(err.Error(), chain.ErrForged.Error()):
		return forged, nil
	case strings.Contains(err.Error(), chain.ErrNotDelivered.Error()):
		return undelivered, nil
	}
	return 0, err
}

// sight is what there is to see of a world, one line for each message of each group.
func (w world) sight() (lines []string) {
	for g := range w.used {
		lines = append(lines, fmt.Sprintf("group %d: paused %v", g, w.groups[g].paused))
	}
	for m := range w.added {
		lines = append(lines, fmt.Sprintf("message %d: on the stream %v, for one group %v", m, w.on[m],
			w.on[m] && w.only[m]))
		for g := range w.used {
			e := w.groups[g].entries[m]
			buried := 0
			for t := range uint8(8) {
				buried += count(e.buried&bit(t) != 0)
			}
			lines = append(lines,
				fmt.Sprintf("group %d: delivered %v, pending %v, lease %d, due %d, dead %v, attempts %d, "+
					"tokens %v, failed %v, effects %d, buried %d, edited to %d",
					g, w.groups[g].delivered(int(m)), e.pending, e.lease, e.due, e.dead, e.attempts, e.tokens,
					e.failed, e.effects, buried, e.copy))
		}
	}
	return append(lines, fmt.Sprintf("the key is of message %d, ended %v", w.key, w.ended))
}

// look is the world as it is in Redis, of which the model's says how large it is.
func (r *real) look(size world) world {
	ctx, pipe := r.t.Context(), r.raw.Pipeline()
	effects, called := pipe.HGetAll(ctx, "{model}:effects"),
		pipe.XRange(ctx, redis.CallbacksOf(callbacks).Stream, "-", "+")
	on := pipe.XRange(ctx, r.sub(0).Stream, "-", "+")
	groups := pipe.XInfoGroups(ctx, r.sub(0).Stream)
	type notes struct {
		pending           *goredis.XPendingExtCmd
		leased, due, dead *goredis.ZSliceCmd
		tokens, failures  *goredis.MapStringStringCmd
		paused            *goredis.IntCmd
		edits             *goredis.MapStringStringCmd
	}
	var all [maxGroups]notes
	for g := range size.used {
		k := r.sub(g).Keys()
		all[g] = notes{
			pipe.XPendingExt(ctx, &goredis.XPendingExtArgs{
				Stream: k[0],
				Group:  r.sub(g).Group,
				Start:  "-",
				End:    "+",
				Count:  10,
			}),
			pipe.ZRangeWithScores(ctx, k[1], 0, -1),
			pipe.ZRangeWithScores(ctx, k[2], 0, -1),
			pipe.ZRangeWithScores(ctx, k[3], 0, -1),
			pipe.HGetAll(ctx, k[4]),
			pipe.HGetAll(ctx, k[5]),
			pipe.Exists(ctx, k[0]+":"+r.sub(g).Group+":paused"),
			pipe.HGetAll(ctx, k[0]+":"+r.sub(g).Group+":edits"),
		}
	}
	_, err := pipe.Exec(ctx)
	require.NoError(r.t, err)

	w := world{added: size.added, used: size.used, own: size.own}
	r.lookAtKey(&w)
	for _, e := range on.Val() {
		m := r.messageOf(e.ID)
		w.on[m], w.only[m] = true, e.Values[wire.FieldOnlyGroup] != nil
	}
	happened := map[string]int{}
	for _, cb := range called.Val() {
		happened[cb.Values["call-id"].(string)]++
	}
	for g := range size.used {
		group, n := &w.groups[g], all[g]
		group.paused = n.paused.Val() > 0
		for _, info := range groups.Val() {
			if info.Name == r.sub(g).Group && info.LastDeliveredID != "0-0" {
				group.read = r.messageOf(info.LastDeliveredID) + 1
			}
		}
		for _, p := range n.pending.Val() {
			group.entries[r.messageOf(p.ID)].pending = true
		}
		for _, z := range n.leased.Val() {
			group.entries[r.messageOf(z.Member.(string))].lease = clockOf(z)
		}
		for _, z := range n.due.Val() {
			group.entries[r.messageOf(z.Member.(string))].due = clockOf(z)
		}
		for _, z := range n.dead.Val() {
			group.entries[r.messageOf(z.Member.(string))].dead = true
		}
		for id, text := range n.edits.Val() {
			group.entries[r.messageOf(id)].copy = r.messageOf(strings.Fields(text)[0]) + 1
		}
		for id := range n.failures.Val() {
			group.entries[r.messageOf(id)].failed = true
		}
		for m := range w.added {
			e := &group.entries[m]
			if text := n.tokens.Val()[r.idOf(m)]; text != "" {
				r.read(text, step{group: g, message: m}, e)
			}
			committed, _ := strconv.Atoi(effects.Val()[of(g, m)])
			e.effects = uint8(committed + happened["settled "+of(g, m)])
			e.buried = bit(uint8(happened["buried "+of(g, m)])) - 1
		}
	}
	return w
}

// lookAtKey finds out whose the key is.
func (r *real) lookAtKey(w *world) {
	ctx := r.t.Context()
	for key, text := range r.raw.HGetAll(ctx, keysKey).Val() {
		ends, err := r.raw.ZScore(ctx, endedKey, key).Result()
		if w.ended = err == nil; w.ended && int64(ends) <= time.Now().UnixMilli() {
			w.ended = false
			continue
		}
		w.key = r.messageOf(strings.Fields(text)[1]) + 1
	}
}

// read reads what is noted of deliveries.
func (r *real) read(text string, at step, e *entry) {
	words := strings.Fields(text)
	attempts, err := strconv.Atoi(words[0])
	require.NoError(r.t, err)
	e.attempts = uint8(attempts)
	for i, token := range words[2:] {
		e.tokens[i] = 1 + uint8(slices.IndexFunc(r.issued[at], func(d redis.Delivery) bool {
			return d.Token == token
		}))
	}
}

func clockOf(z goredis.Z) clock {
	if int64(z.Score) > time.Now().UnixMilli() {
		return running
	}
	return over
}

// check makes a step in Redis, and says how it differs from what it should come to, if it does.
func (r *real) check(was world, s step, answer int, should world) (difference string) {
	got, err := r.run(was, s)
	if err != nil {
		return err.Error()
	}
	if got != answer {
		return fmt.Sprintf("the answer is %d, the model's %d", got, answer)
	}
	is, want := r.look(should).sight(), should.sight()
	for i := range want {
		if is[i] != want[i] {
			return fmt.Sprintf("in Redis  %s\nthe model %s", is[i], want[i])
		}
	}
	return ""
}

func newReal(t *testing.T) *real {
	raw := chaintest.Redis(t)
	c, err := redis.Open(t.Context(), chaintest.URL(raw))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &real{t: t, c: c, raw: raw}
}

// TestScriptsDoWhatTheModelDoes ties the model to the scripts: after each of many random steps, Redis and the
// model have the same.
func TestScriptsDoWhatTheModelDoes(t *testing.T) {
	t.Parallel()
	for _, seed := range chaintest.Seeds(t, 10) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r, rnd := newReal(t), mathrand.New(mathrand.NewPCG(seed, 1))
			b := bounds{
				messages:  maxMessages,
				groups:    maxGroups,
				tokens:    maxTokens,
				strangers: true,
				later:     true,
				pauses:    true,
				edits:     true,
			}
			if r.own = rnd.IntN(3) == 0; r.own {
				b.groups, b.own = 1, true
			}
			var w world
			var so found
			for range 200 {
				if w.used == 0 || w.added == b.messages && !w.waits(0) && !w.waits(1) { // all is settled
					w, so = begin(b), found{}
					r.begin(w)
				}
				byKind := map[kind][]step{} // first the kind, as there are many more of those with tokens
				for _, s := range b.steps(w) {
					byKind[s.kind] = append(byKind[s.kind], s)
				}
				kinds := slices.Sorted(maps.Keys(byKind))
				some := byKind[kinds[rnd.IntN(len(kinds))]]
				s := some[rnd.IntN(len(some))]
				so.trace = append(so.trace, s)
				after, answer := protocol{}.run(w, s)
				require.Empty(t, r.check(w, s, answer, after), "%v", so)
				w = after
			}
		})
	}
}

// TestScriptsHaveNoneOfTheFlaws goes, for each flaw, the shortest way to where it would show: there Redis
// does what the sound model does, and not what the flawed one does.
func TestScriptsHaveNoneOfTheFlaws(t *testing.T) {
	t.Parallel()
	for wrong := range flaws {
		t.Run(string(wrong), func(t *testing.T) {
			t.Parallel()
			same := func(was *world, s step, answer int, is *world) bool {
				other, said := protocol{wrong}.run(*was, s)
				return said == answer && slices.Equal(other.sight(), is.sight())
			}
			f := protocol{}.search(wrong.bounds(), law{rule: "the flaw does not show", keeps: same})
			require.NotEmpty(t, f.broken, "it never shows")
			r, w := newReal(t), begin(wrong.bounds())
			r.own = w.own
			r.begin(w)
			for _, s := range f.trace {
				after, answer := protocol{}.run(w, s)
				require.Empty(t, r.check(w, s, answer, after), "%v", f)
				w = after
			}
			t.Logf("\n%v", f)
		})
	}
}
