package function

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/stretchr/testify/require"
)

// dough is a bakery in which one tray of scones is mixed, and waits for the oven.
func dough(t *testing.T) *bakerytest.Bakery {
	t.Helper()
	b := bakerytest.New(t)
	b.Stock(1)
	_, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
		Items: []bakery.Wanted{{Cookie: "scone", Quantity: 1}}}, bakery.Key{})
	require.NoError(t, err)
	m, ok := b.Take(bakery.TopicBake)
	require.True(t, ok)
	_, _, err = bakery.Mixed(b.Context(), bakery.Asked{Tray: "T2", Cookie: "scone"}).Settle(b.Context(),
		b.Redis, m.Delivery, m.Body)
	require.NoError(t, err)
	return b
}

func TestBakesAndTellsTheServer(t *testing.T) {
	t.Parallel()
	b := dough(t)
	answer, ok := b.Deliver(bakery.TopicDough, Handle)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	waiting := b.Waiting(bakery.TopicBaked)
	require.Len(t, waiting, 1)
	require.JSONEq(t, `{"tray":"T2","cookie":"scone"}`, waiting[0])
	require.Equal(t, 12, b.Balanced().Pieces.Baked)
}

func TestInterruptedBakeHappensNotAndGoesOnLater(t *testing.T) {
	t.Parallel()
	b := dough(t)
	b.Config.Speed = 14 * 60 // scones bake a second
	m, ok := b.Take(bakery.TopicDough)
	require.True(t, ok)
	short, cancel := context.WithTimeout(b.Context(), 900*time.Millisecond)
	defer cancel()
	answer, err := Handle(m.Request(short))
	require.NoError(t, err)
	require.GreaterOrEqual(t, answer.StatusCode, 500, "interrupted: delivered again")
	require.Empty(t, b.Waiting(bakery.TopicBaked))

	answer, err = Handle(m.Request(b.Context()))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	var tray struct {
		InOven int64 `json:"in_oven"`
		Baked  int64 `json:"baked"`
	}
	require.NoError(t, json.Unmarshal([]byte(b.Redis.HGet(t.Context(), "{bakery}:trays", "T2").Val()), &tray))
	require.GreaterOrEqual(t, tray.Baked-tray.InOven, int64(1000), "it bakes its full time")
	require.Less(t, tray.Baked-tray.InOven, int64(1800), "and only the rest of it the second time")
	b.Balanced()
}

func TestSpoiledDoughIsNotBaked(t *testing.T) {
	t.Parallel()
	b := dough(t)
	_, err := bakery.Spoil(b.Context(), "T2")
	require.NoError(t, err)
	b.Config.Speed = 1e-3
	answer, ok := b.Deliver(bakery.TopicDough, Handle)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Empty(t, b.Waiting(bakery.TopicBaked))
	b.Balanced()
}

func TestTakesNothingButDough(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	p := bakerytest.Problem(t, http.StatusBadRequest,
		b.Call(Handle, http.MethodPost, "", `{"tray":"T1","cookie":"scone"}`))
	require.Contains(t, p.Detail, bakery.TopicDough)
	b.Put(bakery.TopicDough, `{"tray":"T1","cookie":"gold"}`)
	answer, ok := b.Deliver(bakery.TopicDough, Handle)
	require.True(t, ok)
	bakerytest.Problem(t, http.StatusUnprocessableEntity, answer)
}
