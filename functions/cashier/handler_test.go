package function

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/stretchr/testify/require"
)

const ada = `{"customer":"Ada","items":[{"cookie":"chocolate-chip","quantity":6}]}`

// others play the other three roles until their topics are empty.
func others(t *testing.T, b *bakerytest.Bakery) {
	t.Helper()
	settle := func(c chain.Commit, m chaintest.Message) {
		_, _, err := c.Settle(b.Context(), b.Redis, m.Delivery, m.Body)
		require.NoError(t, err)
	}
	for {
		if m, ok := b.Take(bakery.TopicBake); ok {
			settle(bakery.Mixed(b.Context(), read[bakery.Asked](t, m)), m)
		} else if m, ok := b.Take(bakery.TopicDough); ok {
			require.NoError(t, bakery.Bake(b.Context(), read[bakery.Dough](t, m)))
			settle(bakery.Baked(b.Context(), read[bakery.Dough](t, m)), m)
		} else if m, ok := b.Take(bakery.TopicBaked); ok {
			settle(bakery.Displayed(b.Context(), read[bakery.Tray](t, m)), m)
		} else {
			return
		}
	}
}

func read[M any](t *testing.T, m chaintest.Message) M {
	t.Helper()
	var v M
	require.NoError(t, json.Unmarshal(m.Body, &v))
	return v
}

func TestOrderIsBakedAndServed(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(2)
	answer := b.Call(Handle, http.MethodPost, "", ada)
	require.Equal(t, http.StatusAccepted, answer.StatusCode, string(answer.Body))
	o := bakerytest.Order(t, answer)
	require.Equal(t, bakery.Baking, o.State)
	require.Positive(t, o.ETASeconds.Seconds)
	require.Equal(t, "/function/cashier?order="+o.ID, answer.Header.Get("Location"))
	waiting := b.Waiting(bakery.TopicBake)
	require.Len(t, waiting, 1)
	require.JSONEq(t, `{"tray":"T2","cookie":"chocolate-chip"}`, waiting[0])

	others(t, b)
	require.Equal(t, bakery.ReadyTo, bakerytest.Order(t,
		b.Call(Handle, http.MethodGet, bakerytest.IDQuery(o), "")).State)
	done, ok := b.Deliver(bakery.TopicReady, Handle)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, done.StatusCode, string(done.Body))

	answer = b.Call(Handle, http.MethodGet, bakerytest.IDQuery(o), "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	o = bakerytest.Order(t, answer)
	require.Equal(t, bakery.Served, o.State)
	require.NotNil(t, o.Timeline.Served)
	require.Equal(t, []bakery.Part{{Tray: "T2", Cookie: "chocolate-chip", Pieces: 6}}, o.Trays)

	answer = b.Call(Handle, http.MethodPost, "", ada)
	require.Equal(t, http.StatusOK, answer.StatusCode, "the display has it all")
	require.Equal(t, bakery.Served, bakerytest.Order(t, answer).State)
	b.Balanced()
}

func TestWaitHoldsTheAnswerUntilItIsServed(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(2)
	go func() {
		for b.Redis.XLen(context.Background(), "{bakery}.bake").Val() == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		others(t, b)
		_, _ = b.Deliver(bakery.TopicReady, Handle)
	}()
	answer := b.Call(Handle, http.MethodPost, "wait=20s", ada)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	require.Equal(t, bakery.Served, bakerytest.Order(t, answer).State)

	answer = b.Call(Handle, http.MethodPost, "wait=10ms", `{"items":[{"cookie":"scone","quantity":6}]}`)
	require.Equal(t, http.StatusAccepted, answer.StatusCode, "and no longer than it says")
}

func TestRepeatedKey(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	first := b.Call(Handle, http.MethodPost, "", ada, "Idempotency-Key", "k1")
	again := b.Call(Handle, http.MethodPost, "", strings.ReplaceAll(ada, `,`, `, `), "Idempotency-Key", "k1",
		"X-Call-Id", "other")
	require.Equal(t, http.StatusAccepted, again.StatusCode)
	require.Equal(t, bakerytest.Order(t, first).ID, bakerytest.Order(t, again).ID)
	bakerytest.Problem(t, http.StatusConflict, b.Call(Handle, http.MethodPost, "",
		strings.Replace(ada, "6", "7", 1), "Idempotency-Key", "k1"))
	require.Equal(t, 1, b.Balanced().Orders.Placed)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(2)
	o := bakerytest.Order(t, b.Call(Handle, http.MethodPost, "", ada))
	answer := b.Call(Handle, http.MethodDelete, bakerytest.IDQuery(o), "")
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	require.Equal(t, bakery.Cancelled, bakerytest.Order(t, answer).State)
	require.Equal(t, http.StatusOK, b.Call(Handle, http.MethodDelete, bakerytest.IDQuery(o),
		"").StatusCode, "twice is once")

	o = bakerytest.Order(t, b.Call(Handle, http.MethodPost, "", ada))
	others(t, b)
	bakerytest.Problem(t, http.StatusConflict, b.Call(Handle, http.MethodDelete, bakerytest.IDQuery(o), ""))
	bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodDelete, "order=nothing", ""))
	b.Balanced()
}

func TestLooksAtSeveralOrders(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	one := bakerytest.Order(t, b.Call(Handle, http.MethodPost, "", ada))
	two := bakerytest.Order(t, b.Call(Handle, http.MethodPost, "", ada))
	answer := b.Call(Handle, http.MethodGet, "order="+one.ID+",nothing,"+two.ID, "")
	var list struct{ Orders []bakery.Order }
	require.NoError(t, json.Unmarshal(answer.Body, &list))
	require.Len(t, list.Orders, 2)
	bakerytest.Problem(t, http.StatusBadRequest, b.Call(Handle, http.MethodGet,
		"order="+strings.Repeat("a,", 100)+"a", ""))
	bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodGet, "order=nothing", ""))
}

func TestTraysOfAnOrderOnRequest(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(2)
	o := bakerytest.Order(t, b.Call(Handle, http.MethodPost, "", ada))
	seen := bakerytest.Order(t, b.Call(Handle, http.MethodGet, bakerytest.IDQuery(o), ""))
	require.Empty(t, seen.WaitsFor)
	for _, more := range []string{"&trays=true", "&trays=true&wait=1ms"} {
		seen = bakerytest.Order(t, b.Call(Handle, http.MethodGet, bakerytest.IDQuery(o)+more, ""))
		require.Len(t, seen.WaitsFor, 1, more)
		require.Equal(t, "asked", seen.WaitsFor[0].State)
	}
	others(t, b)
	seen = bakerytest.Order(t, b.Call(Handle, http.MethodGet, bakerytest.IDQuery(o)+"&trays=true", ""))
	require.Equal(t, bakery.ReadyTo, seen.State)
	require.Empty(t, seen.WaitsFor)
}

func TestMenu(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	answer := b.Call(Handle, http.MethodGet, "view=menu", "")
	var menu bakery.Posted
	require.NoError(t, json.Unmarshal(answer.Body, &menu))
	require.GreaterOrEqual(t, len(menu.Bakes), 12)
	require.InDelta(t, b.Config.Speed, menu.Speed, 0)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	p := bakerytest.Problem(t, http.StatusBadRequest,
		b.Call(Handle, http.MethodPost, "", `{"items":[{"cookie":"choclate-chip","quantity":6.5}]}`))
	require.Len(t, p.Errors, 2)
	require.Equal(t, "items[0].cookie", p.Errors[0].Field)
	for _, wait := range []string{"soon", "-1s", "30"} {
		p = bakerytest.Problem(t, http.StatusBadRequest, b.Call(Handle, http.MethodPost, "wait="+wait, ada))
		require.Equal(t, "?wait", p.Errors[0].Field)
	}
	bakerytest.Problem(t, http.StatusRequestEntityTooLarge,
		b.Call(Handle, http.MethodPost, "", ada+strings.Repeat(" ", bakery.MaxBody)))
	bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodGet, "", ""))
	bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodPut, "order=x", ""))
	bakerytest.Problem(t, http.StatusBadRequest, b.Call(Handle, http.MethodGet, "%zz", ""))
	require.Zero(t, b.Balanced().Orders.Placed)
}

func TestManagersViews(t *testing.T) {
	bakerytest.GiveManagerKey(t)
	b := bakerytest.New(t)
	b.Stock(1)
	b.Call(Handle, http.MethodPost, "", ada)
	o := bakerytest.Order(t, b.Call(Handle, http.MethodPost, "", ada))
	b.Call(Handle, http.MethodDelete, bakerytest.IDQuery(o), "")
	manager := []string{"Authorization", "Bearer " + bakerytest.ManagerKey}
	for query, want := range map[string]string{
		"view=orders": `"state":"baking"`, "view=orders&ended=true": `"state":"cancelled"`,
		"view=floor": `"missing":{"chocolate-chip":6}`, "view=audit": `"balanced":true`,
	} {
		require.Equal(t, http.StatusUnauthorized, b.Call(Handle, http.MethodGet, query, "").StatusCode)
		answer := b.Call(Handle, http.MethodGet, query, "", manager...)
		require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
		require.Contains(t, string(answer.Body), want)
	}
	bakerytest.Problem(t, http.StatusBadRequest, b.Call(Handle, http.MethodGet,
		"view=orders&limit=0", "", manager...))
	bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodGet, "view=cellar", "", manager...))
}
