package function

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/stretchr/testify/require"
)

// baked is a bakery with an order for scones, whose tray has come out of the oven.
func baked(t *testing.T, scones int) (*bakerytest.Bakery, bakery.Order) {
	t.Helper()
	b := bakerytest.New(t)
	b.Stock(1)
	o, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
		Items: []bakery.Wanted{{Cookie: "scone", Quantity: scones}}}, bakery.Key{})
	require.NoError(t, err)
	m, ok := b.Take(bakery.TopicBake)
	require.True(t, ok)
	_, _, err = bakery.Mixed(b.Context(), bakery.Asked{Tray: "T2", Cookie: "scone"}).Settle(b.Context(),
		b.Redis, m.Delivery, m.Body)
	require.NoError(t, err)
	dough := bakery.Dough{Tray: "T2", Cookie: "scone"}
	m, ok = b.Take(bakery.TopicDough)
	require.True(t, ok)
	require.NoError(t, bakery.Bake(b.Context(), dough))
	_, _, err = bakery.Baked(b.Context(), dough).Settle(b.Context(), b.Redis, m.Delivery, m.Body)
	require.NoError(t, err)
	return b, o
}

func onDisplay(t *testing.T, b *bakerytest.Bakery) []bakery.Shelf {
	t.Helper()
	answer := b.Call(Handle, http.MethodGet, "view=display", "")
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	var seen struct{ Display []bakery.Shelf }
	require.NoError(t, json.Unmarshal(answer.Body, &seen))
	return seen.Display
}

func TestDisplaysAndFillsTheOrderThatWaits(t *testing.T) {
	t.Parallel()
	b, o := baked(t, 5)
	require.Empty(t, onDisplay(t, b))
	answer, ok := b.Deliver(bakery.TopicBaked, Handle)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	require.Equal(t, []bakery.Shelf{{Cookie: "scone", Pieces: 7, Trays: []string{"T2"}}}, onDisplay(t, b))
	require.Equal(t, []string{`{"order":"` + o.ID + `"}`}, b.Waiting(bakery.TopicReady))
	b.Balanced()
}

func TestOrderThatLacksMoreWaitsOn(t *testing.T) {
	t.Parallel()
	b, _ := baked(t, 13)
	_, ok := b.Deliver(bakery.TopicBaked, Handle)
	require.True(t, ok)
	require.Empty(t, onDisplay(t, b))
	require.Empty(t, b.Waiting(bakery.TopicReady))
	require.Equal(t, 12, b.Balanced().Pieces.Reserved)
}

func TestNothingElseHere(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	for _, query := range []string{"", "view=fridge", "%zz"} {
		bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodGet, query, ""))
	}
	bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodPost, "view=display", "{}"))
}
