package bakery_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/stretchr/testify/require"
)

// drain delivers messages of the topics until none waits, without looking at the books in between.
func drain(t *testing.T, b *bakerytest.Bakery, topics ...string) {
	t.Helper()
	for busy := true; busy; {
		busy = false
		for _, topic := range topics {
			if answer, ok := b.Deliver(topic, roles[topic]); ok {
				require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
				busy = true
			}
		}
	}
}

func TestRestockWakesAllThatItSufficesFor(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	for _, key := range []string{"1", "2", "3", "4"} {
		_, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
			Items: []bakery.Wanted{{Cookie: "bread", Quantity: 1000}}}, bakery.Key{Idempotency: key})
		require.NoError(t, err)
	}
	drain(t, b, bakery.TopicBake)
	parked := b.Balanced().Trays["parked"]
	require.Greater(t, parked, 600, "more than one page of them")
	done, err := bakery.Restock(b.Context(), b.Config.Menu.Stock(parked), "")
	require.NoError(t, err)
	require.Equal(t, parked, done.Woken)
	require.Zero(t, b.Balanced().Trays["parked"])
}

func TestTrayThatWasWokenAndIsNotOwedWakesTheNext(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		first := order(t, b, "1", bakery.Wanted{Cookie: "bread", Quantity: 1})
		second := order(t, b, "2", bakery.Wanted{Cookie: "baguette", Quantity: 1})
		work(t, b)
		require.Equal(t, 2, b.Balanced().Trays["parked"])
		_, cancelled, err := bakery.Cancel(b.Context(), first.ID)
		require.NoError(t, err)
		require.True(t, cancelled)
		bread, _ := b.Config.Menu.Find("bread")
		baguette, _ := b.Config.Menu.Find("baguette")
		amounts := map[string]int{}
		for _, recipe := range []bakery.Recipe{bread, baguette} {
			for ingredient, grams := range recipe.Ingredients {
				amounts[ingredient] = max(amounts[ingredient], grams)
			}
		}
		done, err := bakery.Restock(b.Context(), amounts, "")
		require.NoError(t, err)
		require.Equal(t, 1, done.Woken, "there is enough for one")
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, second.ID).State)
	})
}

func TestTrayThatWasWokenAndIsLostWakesTheNext(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		first := order(t, b, "1", bakery.Wanted{Cookie: "bread", Quantity: 1})
		second := order(t, b, "2", bakery.Wanted{Cookie: "bread", Quantity: 6})
		work(t, b)
		require.Equal(t, 2, b.Balanced().Trays["parked"])
		bread, _ := b.Config.Menu.Find("bread")
		b.Config.Patience = 0
		done, err := bakery.Restock(b.Context(), bread.Ingredients, "")
		require.NoError(t, err)
		require.Equal(t, 1, done.Woken, "there is enough for one")
		_, ok := b.Take(bakery.TopicBake)
		require.True(t, ok, "and it is lost")
		b.Config.Patience = time.Hour
		_, _, err = bakery.Cancel(b.Context(), first.ID)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			find(t, b, second.ID)
			return b.Balanced().Trays["spoiled"] == 1
		}, 5*time.Second, time.Millisecond)
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, second.ID).State)
	})
}

func TestCookieThatLeftTheMenuWhileItsTrayWasParked(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
		work(t, b)
		require.Equal(t, 1, b.Balanced().Trays["parked"])
		menu, err := bakery.ParseMenu([]byte(`{"bakes":[{"name":"brownie","title":"B","tray":16,` +
			`"minutes":1,"price_cents":1,"ingredients":{"flour":1}}]}`))
		require.NoError(t, err)
		b.Config.Menu = menu
		b.Stock(1)
		work(t, b)
		require.Equal(t, bakery.Refused, find(t, b, o.ID).State)
	})
}

func TestLateTrayIsWrittenOffWhenItsCustomerLooks(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		b.Config.Patience = 0
		o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
		_, ok := b.Take(bakery.TopicBake)
		require.True(t, ok, "and it is lost")
		b.Config.Patience = time.Hour
		require.Eventually(t, func() bool {
			return find(t, b, o.ID).State == bakery.Baking &&
				b.Balanced().Trays["spoiled"] == 1
		}, time.Minute, time.Millisecond)
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, o.ID).State)
	})
}

func TestTrayThatIsLateButComesIsNotWrittenOff(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		b.Config.Patience = 0
		o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
		b.Config.Patience = time.Hour
		drain(t, b, inTurn...)
		require.Equal(t, bakery.Served, find(t, b, o.ID).State)
		require.Zero(t, b.Balanced().Trays["spoiled"])
	})
}

func TestMessageOfAnotherCookieIsRefused(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Stock(10)
		o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 2})
		mine, ok := b.Take(bakery.TopicBake)
		require.True(t, ok)
		for _, body := range []string{`{"tray":"T2"}`, `{"tray":"T2","cookie":"bread"}`} {
			b.Put(bakery.TopicBake, body)
			answer, ok := b.Deliver(bakery.TopicBake, roles[bakery.TopicBake])
			require.True(t, ok)
			require.Contains(t, bakerytest.Problem(t, http.StatusUnprocessableEntity, answer).Detail,
				"tray T2 is of scone")
		}
		_, err := roles[bakery.TopicBake](mine.Request(b.Context()))
		require.NoError(t, err)
		b.Put(bakery.TopicDough, `{"tray":"T2","cookie":"bread"}`)
		first, ok := b.Take(bakery.TopicDough)
		require.True(t, ok)
		stranger, ok := b.Take(bakery.TopicDough)
		require.True(t, ok)
		answer, err := roles[bakery.TopicDough](stranger.Request(b.Context()))
		require.NoError(t, err)
		bakerytest.Problem(t, http.StatusUnprocessableEntity, answer)
		_, err = roles[bakery.TopicDough](first.Request(b.Context()))
		require.NoError(t, err)
		work(t, b)
		require.Equal(t, bakery.Served, find(t, b, o.ID).State)
	})
}

// TestFullRedisDrains: what is on the way gets to the customer, and who does not want to wait can cancel.
func TestFullRedisDrains(t *testing.T) {
	t.Parallel()
	full := chaintest.Full(t)
	b := bakerytest.With(t, full.Client)
	b.Stock(10)
	o := order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 12})
	other := order(t, b, "2", bakery.Wanted{Cookie: "brownie", Quantity: 1})
	full.Fill(t)
	_, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
		Items: []bakery.Wanted{{Cookie: "scone", Quantity: 1}}}, bakery.Key{Idempotency: "3"})
	require.ErrorContains(t, err, "OOM", "nothing new")
	_, cancelled, err := bakery.Cancel(b.Context(), other.ID)
	require.NoError(t, err)
	require.True(t, cancelled)
	drain(t, b, inTurn...)
	require.Equal(t, bakery.Served, find(t, b, o.ID).State)
	b.Balanced()
}

func TestPatienceOutlastsTheLongestBake(t *testing.T) {
	t.Setenv("BAKE_SPEED", "1")
	t.Setenv("exec_timeout", "2h")
	c, err := bakery.ConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, 4*c.BakeTime(c.Menu.Longest()), c.Patience)
	t.Setenv("TRAY_PATIENCE", "30m")
	_, err = bakery.ConfigFromEnv()
	require.ErrorContains(t, err, "want at least twice that")
}

func TestETAOfALargeOrderIsHonest(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Config.Speed = 600
	o, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
		Items: []bakery.Wanted{{Cookie: "chocolate-chip", Quantity: 24 * 40}}}, bakery.Key{})
	require.NoError(t, err)
	require.InDelta(t, 40*1.2/4, o.ETASeconds.Seconds, 2, "40 trays of 1.2 s, four at a time")
	one, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Bob",
		Items: []bakery.Wanted{{Cookie: "chocolate-chip", Quantity: 1}}}, bakery.Key{})
	require.NoError(t, err)
	require.Greater(t, one.ETASeconds.Seconds, o.ETASeconds.Seconds, "it is behind those")
}
