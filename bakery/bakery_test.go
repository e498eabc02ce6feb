package bakery_test

import (
	"context"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// The four roles, as the functions have them: the domain alone must be enough to run a bakery.
var roles = map[string]bakerytest.Handle{
	bakery.TopicBake: chain.Handle(bakery.TopicBake,
		func(ctx context.Context, a bakery.Asked) (chain.Commit, error) { return bakery.Mixed(ctx, a), nil }),
	bakery.TopicDough: chain.Handle(bakery.TopicDough,
		func(ctx context.Context, d bakery.Dough) (chain.Commit, error) {
			if err := bakery.Bake(ctx, d); err != nil {
				return chain.Commit{}, err
			}
			return bakery.Baked(ctx, d), nil
		}),
	bakery.TopicBaked: chain.Handle(bakery.TopicBaked,
		func(ctx context.Context, t bakery.Tray) (chain.Commit,
			error) {
			return bakery.Displayed(ctx, t), nil
		}),
	bakery.TopicReady: chain.Handle(bakery.TopicReady,
		func(ctx context.Context, r bakery.Ready) (chain.Commit,
			error) {
			return bakery.HandedOver(ctx, r), nil
		}),
}

var inTurn = []string{bakery.TopicBake, bakery.TopicDough, bakery.TopicBaked, bakery.TopicReady}

// work delivers messages until none waits, and checks the books after each.
func work(t *testing.T, b *bakerytest.Bakery) {
	t.Helper()
	for busy := true; busy; {
		busy = false
		for _, topic := range inTurn {
			answer, ok := b.Deliver(topic, roles[topic])
			if ok {
				require.Equal(t, 200, answer.StatusCode, string(answer.Body))
				b.Balanced()
				busy = true
			}
		}
	}
}

func order(t *testing.T, b *bakerytest.Bakery, key string, items ...bakery.Wanted) bakery.Order {
	t.Helper()
	o, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada", Items: items},
		bakery.Key{Idempotency: key})
	require.NoError(t, err)
	b.Balanced()
	return o
}

func find(t *testing.T, b *bakerytest.Bakery, id string) bakery.Order {
	t.Helper()
	found, err := bakery.Find(b.Context(), id)
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func servers(t *testing.T, test func(t *testing.T, b *bakerytest.Bakery)) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, bakerytest.With(t, chaintest.Redis(t))) })
	t.Run("miniredis", func(t *testing.T) { t.Parallel(); test(t, bakerytest.With(t, chaintest.Mini(t))) })
}

func TestOrderGoesThroughAllFour(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		o := order(t, b, "k", bakery.Wanted{Cookie: "chocolate-chip", Quantity: 30},
			bakery.Wanted{Cookie: "brownie", Quantity: 2})
		require.Equal(t, bakery.Baking, o.State)
		require.GreaterOrEqual(t, o.ETASeconds.Seconds, 1)
		require.Len(t, b.Waiting(bakery.TopicBake), 3,
			"30 chocolate chip cookies are two trays, 2 brownies one")
		work(t, b)

		o = find(t, b, o.ID)
		require.Equal(t, bakery.Served, o.State)
		require.Nil(t, o.ETASeconds)
		require.Equal(t, 30*120+2*220, o.PriceCents)
		require.Len(t, o.Trays, 3)
		times := []*time.Time{o.Timeline.Ordered, o.Timeline.Mixed, o.Timeline.InOven, o.Timeline.Baked,
			o.Timeline.OnDisplay, o.Timeline.Served}
		for i, at := range times {
			require.NotNil(t, at, i)
			require.True(t, i == 0 || !at.Before(*times[i-1]), "the timeline is in order")
		}
		a := b.Balanced()
		require.Equal(t, bakery.PiecesSum{Mixed: 64, OnDisplay: 64 - 32, Handed: 32}, a.Pieces)
		require.Equal(t, bakery.OrdersSum{Placed: 1, Served: 1}, a.Orders)
	})
}

func TestWhatIsOnDisplayIsServedAtOnce(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		order(t, b, "a", bakery.Wanted{Cookie: "scone", Quantity: 5})
		work(t, b)
		o := order(t, b, "b", bakery.Wanted{Cookie: "scone", Quantity: 7})
		require.Equal(t, bakery.Served, o.State, "a tray has 12 scones")
		require.NotNil(t, o.Timeline.Served)
		require.Empty(t, b.Waiting(bakery.TopicBake))
		a := b.Balanced()
		require.Equal(t, 1, a.Trays["sold"], "the tray is empty, and has ended")
		require.Zero(t, a.Pieces.OnDisplay)
	})
}

func TestNeverMoreTraysThanAreOwed(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		for i, want := range []int{1, 1, 1, 2, 2, 3} { // trays of 12 for 4, 8, 12, 16, 20, 28 scones
			order(t, b, string(rune('a'+i)), bakery.Wanted{Cookie: "scone", Quantity: 4 + i/5*4})
			require.Len(t, b.Waiting(bakery.TopicBake), want)
		}
		work(t, b)
		require.Equal(t, 6, b.Balanced().Orders.Served)
	})
}

func TestOldestOrderIsFilledFirstAlsoInPart(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		old := order(t, b, "old", bakery.Wanted{Cookie: "scone", Quantity: 20})
		young := order(t, b, "young", bakery.Wanted{Cookie: "scone", Quantity: 3})
		for _, topic := range inTurn[:3] {
			_, ok := b.Deliver(topic, roles[topic])
			require.True(t, ok)
		}
		b.Balanced()
		require.Equal(t, 12, find(t, b, old.ID).Items[0].Filled)
		require.Zero(t, find(t, b, young.ID).Items[0].Filled)
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, young.ID).State)
	})
}

func TestRepeatedOrderIsTheSameOrder(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		first := order(t, b, "k", bakery.Wanted{Cookie: "scone", Quantity: 2})
		require.Equal(t, first.ID, order(t, b, "k", bakery.Wanted{Cookie: "scone", Quantity: 2}).ID)
		_, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
			Items: []bakery.Wanted{{Cookie: "scone", Quantity: 3}}}, bakery.Key{Idempotency: "k"})
		require.ErrorIs(t, err, bakery.ErrConflict)
		work(t, b)
		again := order(t, b, "k", bakery.Wanted{Cookie: "scone", Quantity: 2})
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, bakery.Served, again.State, "also after it has ended")
		require.Equal(t, 1, b.Balanced().Orders.Placed)

		byCall := func(id string, n int) string {
			o, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
				Items: []bakery.Wanted{{Cookie: "scone", Quantity: n}}}, bakery.Key{CallID: id})
			require.NoError(t, err)
			return o.ID
		}
		require.Equal(t, byCall("c1", 1), byCall("c1", 1))
		require.NotEqual(t, byCall("c1", 1), byCall("c1", 2),
			"a call id counts only together with the content")
		require.NotEqual(t, byCall("c1", 1), byCall("c2", 1))
		require.NotEqual(t, byCall("", 1), byCall("", 1))
	})
}

func TestCancelGivesBackAndFillsTheNext(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		first := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 12},
			bakery.Wanted{Cookie: "brownie", Quantity: 1})
		next := order(t, b, "2", bakery.Wanted{Cookie: "scone", Quantity: 5})
		for _, topic := range inTurn[:3] { // the first tray is of scones
			_, ok := b.Deliver(topic, roles[topic])
			require.True(t, ok)
		}
		require.Equal(t, 12, find(t, b, first.ID).Items[0].Filled)
		state, cancelled, err := bakery.Cancel(b.Context(), first.ID)
		require.NoError(t, err)
		require.True(t, cancelled)
		require.Equal(t, bakery.Cancelled, state)
		b.Balanced()
		require.Equal(t, bakery.ReadyTo, find(t, b, next.ID).State,
			"what was reserved went to the next order in the same step")
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, next.ID).State)

		state, cancelled, err = bakery.Cancel(b.Context(), next.ID)
		require.NoError(t, err)
		require.False(t, cancelled)
		require.Equal(t, bakery.Served, state)
		_, _, err = bakery.Cancel(b.Context(), "nothing")
		require.ErrorIs(t, err, bakery.ErrNoOrder)
		o := find(t, b, first.ID)
		require.NotNil(t, o.Timeline.Ended)
		require.NotEmpty(t, o.Reason)
	})
}

func TestTrayThatIsNotOwedIsWithdrawn(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
		_, _, err := bakery.Cancel(b.Context(), o.ID)
		require.NoError(t, err)
		work(t, b)
		a := b.Balanced()
		require.Equal(t, 1, a.Trays["withdrawn"])
		require.Zero(t, a.Pieces.Mixed)
	})
}

func TestShortFridgeParksUntilARestock(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		first := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 12})
		second := order(t, b, "2", bakery.Wanted{Cookie: "scone", Quantity: 12})
		work(t, b)
		require.Equal(t, 2, b.Balanced().Trays["parked"])
		require.Empty(t, b.Waiting(bakery.TopicBake), "a parked tray is a commit, not a failed call")
		require.True(t, find(t, b, first.ID).ETASeconds.Unknown)

		recipe, _ := b.Config.Menu.Find("scone")
		done, err := bakery.Restock(b.Context(), recipe.Ingredients, "r1")
		require.NoError(t, err)
		require.Equal(t, 1, done.Woken, "there is enough for the oldest")
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, first.ID).State)
		require.Equal(t, bakery.Baking, find(t, b, second.ID).State)

		done, err = bakery.Restock(b.Context(), recipe.Ingredients, "r1")
		require.NoError(t, err)
		require.True(t, done.Repeated)
		_, err = bakery.Restock(b.Context(), b.Config.Menu.Stock(1), "r1")
		require.ErrorIs(t, err, bakery.ErrRestockConflict)
		b.Stock(1)
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, second.ID).State)
	})
}

func TestLateTrayIsWrittenOffAndAskedForAgain(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		b.Config.Patience = 0
		o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
		lost, ok := b.Take(bakery.TopicBake)
		require.True(t, ok)
		b.Config.Patience = time.Hour
		for b.Balanced().Trays["spoiled"] == 0 { // the next script that looks, once the clock has moved on
			_, err := bakery.Restock(b.Context(), map[string]int{"flour": 1}, "")
			require.NoError(t, err)
		}
		require.Equal(t, 1, b.Balanced().Trays["asked"])
		answer, err := roles[bakery.TopicBake](lost.Request(b.Context()))
		require.NoError(t, err)
		require.Equal(t, 200, answer.StatusCode, "the lost message comes late, and changes nothing")
		require.Zero(t, b.Balanced().Pieces.Mixed)
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, o.ID).State)
		require.Equal(t, 12, b.Balanced().Pieces.Mixed)
	})
}

func TestSpoilByHandInEveryState(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(100)
		for steps := 0; steps <= 3; steps++ {
			o := order(t, b, string(rune('a'+steps)), bakery.Wanted{Cookie: "scone", Quantity: 2})
			for _, topic := range inTurn[:steps] {
				_, ok := b.Deliver(topic, roles[topic])
				require.True(t, ok)
			}
			tray := b.Redis.HKeys(t.Context(), "{bakery}:trays").Val()[0]
			thrown, err := bakery.Spoil(b.Context(), tray)
			require.NoError(t, err)
			require.True(t, thrown.Changed)
			b.Balanced()
			work(t, b)
			require.Equal(t, bakery.Served, find(t, b, o.ID).State)
			for _, left := range b.Redis.HKeys(t.Context(), "{bakery}:trays").Val() {
				_, err := bakery.Spoil(b.Context(), left)
				require.NoError(t, err)
			}
			b.Balanced()
		}
		nothing, err := bakery.Spoil(b.Context(), "T999")
		require.NoError(t, err)
		require.Equal(t, bakery.Thrown{Tray: "T999"}, nothing)
	})
}

func TestCookieThatLeftTheMenuRefusesItsOrders(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		both := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2},
			bakery.Wanted{Cookie: "brownie", Quantity: 2})
		other := order(t, b, "2", bakery.Wanted{Cookie: "brownie", Quantity: 15})
		menu, err := bakery.ParseMenu([]byte(`{"bakes":[{"name":"brownie","title":"B","tray":16,` +
			`"minutes":1,"price_cents":1,"ingredients":{"flour":1}}]}`))
		require.NoError(t, err)
		b.Config.Menu = menu
		work(t, b)
		o := find(t, b, both.ID)
		require.Equal(t, bakery.Refused, o.State)
		require.Contains(t, o.Reason, "scone")
		require.Equal(t, bakery.Served, find(t, b, other.ID).State)
		require.Equal(t, 1, b.Balanced().Orders.Refused)
	})
}

func TestMessagesOfStrangersChangeNothing(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
		for topic, body := range map[string]string{
			bakery.TopicBake:  `{"tray":"T77","cookie":"scone"}`,
			bakery.TopicDough: `{"tray":"T2","cookie":"scone"}`,
			bakery.TopicBaked: `{"tray":"T2","cookie":"scone"}`,
			bakery.TopicReady: `{"order":"` + o.ID + `"}`,
		} {
			b.Put(topic, body)
			b.Put(topic, body)
		}
		work(t, b)
		a := b.Balanced()
		require.Equal(t, 12, a.Pieces.Mixed, "one tray, once")
		require.Equal(t, bakery.Served, find(t, b, o.ID).State)
	})
}

func TestEndedRecordsAreForgotten(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Config.Keep = time.Millisecond
		for i := range 40 {
			b.Stock(1)
			order(t, b, string(rune('a'+i)), bakery.Wanted{Cookie: "scone", Quantity: 12})
			work(t, b)
		}
		past := b.Redis.HLen(t.Context(), "{bakery}:orders:past").Val() +
			b.Redis.HLen(t.Context(), "{bakery}:trays:past").Val() +
			b.Redis.HLen(t.Context(), "{bakery}:restocks").Val()
		require.Less(t, past, int64(10))
		require.Equal(t, 40, b.Balanced().Orders.Served, "the totals stay")
	})
}

func TestTooManyTraysOnTheWayPutOrdersOff(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Config.TrayLimit = 2
		order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 24})
		_, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Bob",
			Items: []bakery.Wanted{{Cookie: "scone", Quantity: 1}}}, bakery.Key{Idempotency: "2"})
		require.ErrorIs(t, err, bakery.ErrBusy)
		order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 24}) // a repeated order is still found
	})
}

func TestLargestOrder(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		var items []bakery.Wanted
		for _, recipe := range b.Config.Menu.Bakes {
			items = append(items, bakery.Wanted{Cookie: recipe.Name, Quantity: bakery.MaxQuantity})
		}
		o := order(t, b, "1", items...)
		require.Equal(t, bakery.Baking, o.State)
		want := 0
		for _, recipe := range b.Config.Menu.Bakes {
			want += (bakery.MaxQuantity + recipe.Tray - 1) / recipe.Tray
		}
		require.Len(t, b.Waiting(bakery.TopicBake), want)
	})
}

func TestWaitersShareOneSubscription(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(10)
	o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
	served := make(chan bakery.Order)
	for range 10 {
		go func() {
			o, err := bakery.AwaitEnd(b.Context(), o, time.Minute)
			if err != nil {
				t.Error(err)
			}
			served <- o
		}()
	}
	require.Eventually(t, func() bool {
		return b.Redis.PubSubNumSub(t.Context(),
			"{bakery}:events").Val()["{bakery}:events"] == 1
	},
		5*time.Second, time.Millisecond)
	work(t, b)
	for range 10 {
		require.Equal(t, bakery.Served, (<-served).State)
	}
	require.Eventually(t, func() bool {
		return b.Redis.PubSubNumSub(t.Context(),
			"{bakery}:events").Val()["{bakery}:events"] == 0
	},
		5*time.Second, time.Millisecond, "the last one out turns off the light")
}

func TestFullRoomAnswersAtOnce(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Config.WaiterLimit = 0
	o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
	o, err := bakery.AwaitEnd(b.Context(), o, time.Hour)
	require.NoError(t, err)
	require.Equal(t, bakery.Baking, o.State)
}

func TestWaitIsCutBelowTheTimeout(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Config.ExecTimeout = 80 * time.Millisecond
	o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
	o, err := bakery.AwaitEnd(b.Context(), o, time.Hour)
	require.NoError(t, err)
	require.Equal(t, bakery.Baking, o.State)
}

func TestAuditFindsEachDifference(t *testing.T) {
	for name, spoil := range map[string]func(ctx context.Context, rdb redis.UniversalClient){
		"flour that nobody brought": func(ctx context.Context,
			rdb redis.UniversalClient) {
			rdb.HIncrBy(ctx, "{bakery}:fridge", "flour", 1)
		},
		"flour that went": func(ctx context.Context,
			rdb redis.UniversalClient) {
			rdb.HIncrBy(ctx, "{bakery}:fridge", "flour", -1)
		},
		"an order that went": func(ctx context.Context, rdb redis.UniversalClient) {
			rdb.HDel(ctx, "{bakery}:orders", rdb.HKeys(ctx, "{bakery}:orders").Val()...)
		},
		"a tray that went": func(ctx context.Context, rdb redis.UniversalClient) {
			rdb.HDel(ctx, "{bakery}:trays", rdb.HKeys(ctx, "{bakery}:trays").Val()...)
		},
		"an index that lacks": func(ctx context.Context,
			rdb redis.UniversalClient) {
			rdb.Del(ctx, "{bakery}:need")
		},
		"an index that has": func(ctx context.Context, rdb redis.UniversalClient) {
			rdb.ZAdd(ctx, "{bakery}:shelf", redis.Z{Member: "scone|1|T9"})
		},
		"pieces that went": func(ctx context.Context, rdb redis.UniversalClient) {
			rdb.HIncrBy(ctx, "{bakery}:totals", "pieces_handed", -1)
		},
		"an order served twice": func(ctx context.Context, rdb redis.UniversalClient) {
			rdb.HIncrBy(ctx, "{bakery}:totals", "orders_served", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bakerytest.New(t)
			b.Stock(10)
			order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
			work(t, b)
			order(t, b, "2", bakery.Wanted{Cookie: "scone", Quantity: 15})
			spoil(t.Context(), b.Redis)
			a, err := bakery.TakeAudit(b.Context())
			require.NoError(t, err)
			require.False(t, a.Balanced)
			require.NotEmpty(t, a.Differences)
		})
	}
}
