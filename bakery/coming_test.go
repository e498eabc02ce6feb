package bakery_test

import (
	"testing"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/stretchr/testify/require"
)

// track is the order, and the ids and states of the trays that it waits for.
func track(t *testing.T, b *bakerytest.Bakery, id string) (bakery.Order, []string) {
	t.Helper()
	found, err := bakery.Track(b.Context(), id)
	require.NoError(t, err)
	require.Len(t, found, 1)
	var trays []string
	for _, tray := range found[0].WaitsFor {
		require.Positive(t, tray.NeedsMS)
		require.GreaterOrEqual(t, tray.SinceMS, int64(0))
		trays = append(trays, tray.Tray+" "+tray.State)
	}
	return found[0], trays
}

func deliver(t *testing.T, b *bakerytest.Bakery, topic string) {
	t.Helper()
	answer, ok := b.Deliver(topic, roles[topic])
	require.True(t, ok, topic)
	require.Equal(t, 200, answer.StatusCode, string(answer.Body))
}

func TestTrackFollowsTheTraysOfAnOrder(t *testing.T) {
	servers(t, func(t *testing.T, b *bakerytest.Bakery) {
		b.Config.Speed = 6e5 // so that needs_ms is not rounded to 0
		b.Stock(10)
		ada := order(t, b, "1", bakery.Wanted{Cookie: "chocolate-chip", Quantity: 30})
		_, trays := track(t, b, ada.ID)
		require.Equal(t, []string{"T2 asked", "T3 asked"}, trays)
		bob := order(t, b, "2", bakery.Wanted{Cookie: "chocolate-chip", Quantity: 6})
		o, trays := track(t, b, bob.ID)
		require.Equal(t, []string{"T3 asked"}, trays, "it gets what that tray has left")
		require.Nil(t, o.Timeline.Mixed)

		deliver(t, b, bakery.TopicBake)
		deliver(t, b, bakery.TopicBake)
		_, trays = track(t, b, ada.ID)
		require.Equal(t, []string{"T2 mixed", "T3 mixed"}, trays)
		o, _ = track(t, b, bob.ID)
		require.NotNil(t, o.Timeline.Mixed, "the timeline is of the tray that others asked for")
		require.Nil(t, o.Timeline.InOven)

		deliver(t, b, bakery.TopicDough)
		deliver(t, b, bakery.TopicBaked)
		_, trays = track(t, b, ada.ID)
		require.Equal(t, []string{"T3 mixed"}, trays, "the first one is on display")
		found, err := bakery.Find(b.Context(), ada.ID)
		require.NoError(t, err)
		require.Empty(t, found[0].WaitsFor, "only Track looks for trays")

		work(t, b)
		o, trays = track(t, b, bob.ID)
		require.Empty(t, trays)
		require.Equal(t, bakery.Served, o.State)
	})
}

func TestTrackSaysThatAnOrderWaitsForIngredients(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	o := order(t, b, "1", bakery.Wanted{Cookie: "cake", Quantity: 1})
	deliver(t, b, bakery.TopicBake)
	o, trays := track(t, b, o.ID)
	require.Equal(t, []string{"T2 parked"}, trays)
	require.True(t, o.ETASeconds.Unknown)
}

func TestTrackFindsTheTrayThatReplacesASpoiledOne(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(1)
	o := order(t, b, "1", bakery.Wanted{Cookie: "cake", Quantity: 1})
	_, err := bakery.Spoil(b.Context(), "T2")
	require.NoError(t, err)
	_, trays := track(t, b, o.ID)
	require.Equal(t, []string{"T3 asked"}, trays)
}

func TestTrackNamesAtMostTwelveTraysOfACookie(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	o := order(t, b, "1", bakery.Wanted{Cookie: "bread", Quantity: 600})
	_, trays := track(t, b, o.ID)
	require.Len(t, trays, 12)
	require.Equal(t, "T101 asked", trays[11], "the last ones: it is served when those are baked")
}

func TestFloorListsTraysOutsideTheOvens(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(1)
	order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 1}, bakery.Wanted{Cookie: "cake", Quantity: 90})
	deliver(t, b, bakery.TopicBake)
	floor, err := bakery.Look(b.Context())
	require.NoError(t, err)
	states := map[string]int{}
	for _, tray := range floor.Coming {
		states[tray.State]++
	}
	require.Equal(t, "T2", floor.Coming[0].Tray, "oldest first")
	require.Equal(t, map[string]int{"mixed": 1, "asked": 8}, states)
}

func TestTrackTellsTheStageOfTheSlowestTray(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(10)
	order(t, b, "1", bakery.Wanted{Cookie: "scone", Quantity: 1})
	work(t, b)
	o := order(t, b, "2", bakery.Wanted{Cookie: "scone", Quantity: 1}, bakery.Wanted{Cookie: "cake", Quantity: 1})
	seen, trays := track(t, b, o.ID)
	require.Equal(t, []string{"T4 asked"}, trays, "the scone is from the display")
	require.Nil(t, seen.Timeline.Mixed)
	deliver(t, b, bakery.TopicBake)
	seen, _ = track(t, b, o.ID)
	require.False(t, seen.Timeline.Mixed.Before(*seen.Timeline.Ordered))
	require.Nil(t, seen.Timeline.InOven)
}
