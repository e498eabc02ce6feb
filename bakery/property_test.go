package bakery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// with is a call whose Redis has faults.
func with(t *testing.T, b *bakerytest.Bakery, f *chaintest.Faults) context.Context {
	t.Helper()
	return bakery.WithConfig(chain.WithRedis(t.Context(), f.Client(t, b.Redis)), b.Config)
}

// TestCrashPoints stops each of the four steps after each of its Redis commands, and lets each command fail,
// and then delivers the message again: the bakery ends as if nothing had happened.
func TestCrashPoints(t *testing.T) {
	for step, topic := range inTurn {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			commands := -1 // of the step when nothing fails; known after the first round
			for point := 0; commands < 0 || point < 2*commands; point++ {
				b := bakerytest.New(t)
				b.Stock(2)
				o := order(t, b, "k", bakery.Wanted{Cookie: "scone", Quantity: 5})
				for _, earlier := range inTurn[:step] {
					_, ok := b.Deliver(earlier, roles[earlier])
					require.True(t, ok)
				}
				m, ok := b.Take(topic)
				require.True(t, ok)

				f, hit := &chaintest.Faults{}, false
				if commands >= 0 {
					at := point / 2
					if point%2 == 0 { // an error in this command alone
						f.Before = func(n int) bool { hit = hit || n == at; return n == at }
					} else { // the process dies after this command, and sends nothing more
						f.After = func(n int) bool { hit = hit || n == at; return hit }
						f.Before = func(int) bool { return hit }
					}
				}
				answer, err := roles[topic](m.Request(with(t, b, f)))
				require.NoError(t, err)
				b.Balanced()
				if commands < 0 {
					require.Equal(t, 200, answer.StatusCode, string(answer.Body))
					commands, point = f.Commands(), -1
				} else if hit { // the second round on needs one command less, since Redis knows the scripts
					require.GreaterOrEqual(t, answer.StatusCode, 500, "an error must not look like success")
				}
				again, err := chaintest.Retake(t.Context(), b.Redis, b.Subscription(topic), m.ID)
				if err == nil {
					answer, err = roles[topic](again.Request(b.Context()))
					require.NoError(t, err)
					require.Equal(t, 200, answer.StatusCode, string(answer.Body))
				} else {
					require.ErrorIs(t, err, redis.Nil, "or the message is settled")
				}
				work(t, b)
				require.Equal(t, bakery.Served, find(t, b, o.ID).State)
				require.Equal(t, bakery.PiecesSum{Mixed: 12, OnDisplay: 7, Handed: 5}, b.Balanced().Pieces)
			}
			require.Positive(t, commands)
			t.Logf("%d commands, %d points", commands, 2*commands)
		})
	}
}

// day is one random run of a bakery.
type day struct {
	t     *testing.T
	b     *bakerytest.Bakery
	rnd   *rand.Rand
	calm  context.Context
	cut   context.Context // its commands fail, or lose their answers, now and then
	calls []delivery      // made and not answered yet, or answered and still going on somewhere: zombies
	keys  int
	ids   []string
	log   []string
}

type delivery struct {
	topic string
	m     chaintest.Message
}

// TestAnyInterleaving runs random days of duplicate deliveries, late zombies, lost answers, redriven dead
// letters, deleted and redeployed functions, cancellations, restocks and spoiled trays. The books balance
// after every event, and in the end every order has exactly one end and no message is left.
func TestAnyInterleaving(t *testing.T) {
	for _, seed := range chaintest.Seeds(t, 8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			d := newDay(t, seed)
			defer d.report(seed)
			for range 250 {
				d.event()
				d.b.Balanced()
			}
			d.close()
		})
	}
}

// TestTwoReplicasAtOnce runs such days on several goroutines, so that commits of one message meet in Redis.
func TestTwoReplicasAtOnce(t *testing.T) {
	for _, seed := range chaintest.Seeds(t, 4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			d := newDay(t, seed)
			defer d.report(seed)
			for range 40 {
				for range 6 {
					d.event()
				}
				var replicas sync.WaitGroup
				for _, call := range d.calls {
					for range 2 {
						replicas.Go(func() { _, _ = roles[call.topic](call.m.Request(d.calm)) })
					}
				}
				replicas.Wait()
				d.b.Balanced()
			}
			d.close()
		})
	}
}

func newDay(t *testing.T, seed uint64) *day {
	d := &day{t: t, b: bakerytest.New(t), rnd: rand.New(rand.NewPCG(seed, 1))}
	d.b.Config.Speed = 1e9
	d.calm = d.b.Context()
	var mu sync.Mutex
	coin := func(int) bool { mu.Lock(); defer mu.Unlock(); return d.rnd.IntN(4) == 0 }
	d.cut = with(t, d.b, &chaintest.Faults{Before: coin, After: coin})
	d.b.Stock(2)
	return d
}

func (d *day) report(seed uint64) {
	if d.t.Failed() {
		d.t.Logf("replay with HEARTH_SEED=%d; the last events were %v", seed, d.log[max(0, len(d.log)-12):])
	}
}

func (d *day) note(format string, args ...any) { d.log = append(d.log, fmt.Sprintf(format, args...)) }

// event does one random thing.
func (d *day) event() {
	ctx := d.calm
	if d.rnd.IntN(3) == 0 {
		ctx = d.cut
	}
	topic := inTurn[d.rnd.IntN(len(inTurn))]
	switch n := d.rnd.IntN(100); {
	case n < 15:
		d.place(ctx)
	case n < 45: // a first delivery
		if m, ok := d.b.Take(topic); ok {
			d.note("take %s %s", topic, m.Body)
			d.calls = append(d.calls, delivery{topic, m})
		}
	case n < 55: // a lease ran out, or a dead letter was redriven: the same message once more
		if len(d.calls) > 0 {
			old := d.calls[d.rnd.IntN(len(d.calls))]
			sub := d.b.Subscription(old.topic)
			if m, err := chaintest.Retake(d.t.Context(), d.b.Redis, sub, old.m.ID); err == nil {
				d.note("deliver again %s %s", old.topic, m.Body)
				d.calls = append(d.calls, delivery{old.topic, m})
			}
		}
	case n < 85: // a replica does its work; sometimes it stays in the list, as a zombie that will do it again
		if len(d.calls) > 0 {
			i := d.rnd.IntN(len(d.calls))
			call := d.calls[i]
			if d.rnd.IntN(3) > 0 {
				d.calls = slices.Delete(d.calls, i, i+1)
			}
			answer, err := roles[call.topic](call.m.Request(ctx))
			require.NoError(d.t, err)
			d.note("work %s %s: %d", call.topic, call.m.Body, answer.StatusCode)
		}
	case n < 88:
		if len(d.ids) > 0 {
			_, _, err := bakery.Cancel(ctx, d.ids[d.rnd.IntN(len(d.ids))])
			d.note("cancel: %v", err)
		}
	case n < 92:
		_, err := bakery.Restock(ctx, d.b.Config.Menu.Stock(1), fmt.Sprint("r", d.rnd.IntN(6)))
		d.note("restock: %v", err)
	case n < 95:
		if trays := d.b.Redis.HKeys(d.t.Context(), "{bakery}:trays").Val(); len(trays) > 0 {
			slices.Sort(trays)
			_, err := bakery.Spoil(ctx, trays[d.rnd.IntN(len(trays))])
			d.note("spoil: %v", err)
		}
	case n < 97: // patience ends: the next scripts write trays off
		d.b.Config.Patience = -1
		d.place(ctx)
		d.b.Config.Patience = 1 << 40
		d.note("impatient")
	default: // the function is deleted, its subscription with it, and both are made anew
		sub := d.b.Subscription(topic)
		require.NoError(d.t, d.b.Redis.XGroupDestroy(d.t.Context(), sub.Stream, sub.Group).Err())
		d.b.Redis.Del(d.t.Context(), sub.Keys()[1:]...)
		require.NoError(d.t, d.b.Redis.XGroupCreateMkStream(d.t.Context(), sub.Stream, sub.Group, "0").Err())
		d.note("redeploy %s", topic)
	}
}

func (d *day) place(ctx context.Context) {
	if d.rnd.IntN(4) > 0 {
		d.keys++
	}
	cookies := []string{"scone", "brownie", "truffle"}
	r := rand.New(rand.NewPCG(uint64(d.keys), 2)) // a repeated key repeats the order
	request := bakery.OrderRequest{Customer: "Ada"}
	for _, c := range cookies[:1+r.IntN(3)] {
		request.Items = append(request.Items, bakery.Wanted{Cookie: c, Quantity: 1 + r.IntN(30)})
	}
	o, err := bakery.Place(ctx, request, bakery.Key{Idempotency: fmt.Sprint("k", d.keys)})
	if err == nil && !slices.Contains(d.ids, o.ID) {
		d.ids = append(d.ids, o.ID)
	}
	d.note("order k%d: %v", d.keys, err)
}

// close lets everything that is still under way come to its end.
func (d *day) close() {
	for range 3 {
		for _, topic := range inTurn {
			sub := d.b.Subscription(topic)
			pending, err := d.b.Redis.XPendingExt(d.t.Context(), &redis.XPendingExtArgs{
				Stream: sub.Stream,
				Group:  sub.Group,
				Start:  "-",
				End:    "+",
				Count:  10_000,
			}).Result()
			require.NoError(d.t, err)
			for _, p := range pending {
				m, err := chaintest.Retake(d.t.Context(), d.b.Redis, sub, p.ID)
				require.NoError(d.t, err)
				answer, err := roles[topic](m.Request(d.calm))
				require.NoError(d.t, err)
				require.Equal(d.t, 200, answer.StatusCode, string(answer.Body))
			}
		}
		d.b.Stock(100)
		work(d.t, d.b)
	}
	for _, call := range d.calls { // the zombies wake once more
		_, _ = roles[call.topic](call.m.Request(d.calm))
	}
	a := d.b.Balanced()
	require.Zero(d.t, a.Orders.Open)
	require.Zero(d.t, a.Pieces.Dough+a.Pieces.InOven+a.Pieces.Baked+a.Pieces.Reserved)
	for _, o := range d.ids {
		require.Contains(d.t, []string{bakery.Served, bakery.Cancelled}, find(d.t, d.b, o).State)
	}
	for _, topic := range inTurn {
		require.Empty(d.t, d.b.Waiting(topic))
	}
}
