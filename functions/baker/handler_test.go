package function

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/bakery/bakerytest"
	"github.com/stretchr/testify/require"
)

func asked(t *testing.T, b *bakerytest.Bakery, scones int) {
	t.Helper()
	_, err := bakery.Place(b.Context(), bakery.OrderRequest{Customer: "Ada",
		Items: []bakery.Wanted{{Cookie: "scone", Quantity: scones}}}, bakery.Key{})
	require.NoError(t, err)
}

func fridgeOf(t *testing.T, b *bakerytest.Bakery) bakery.Fridge {
	t.Helper()
	answer := b.Call(Handle, http.MethodGet, "view=fridge", "")
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	var f bakery.Fridge
	require.NoError(t, json.Unmarshal(answer.Body, &f))
	return f
}

func TestTakesFromTheFridgeAndHandsDoughToTheOven(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	b.Stock(2)
	asked(t, b, 1)
	before := fridgeOf(t, b)
	answer, ok := b.Deliver(bakery.TopicBake, Handle)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	waiting := b.Waiting(bakery.TopicDough)
	require.Len(t, waiting, 1)
	require.JSONEq(t, `{"tray":"T2","cookie":"scone"}`, waiting[0])
	scone, _ := b.Config.Menu.Find("scone")
	require.Equal(t, before.Ingredients["flour"]-scone.Ingredients["flour"],
		fridgeOf(t, b).Ingredients["flour"])
	b.Balanced()
}

func TestShortFridgeParksTheTray(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	asked(t, b, 1)
	answer, ok := b.Deliver(bakery.TopicBake, Handle)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(answer.Body))
	require.Empty(t, b.Waiting(bakery.TopicDough))
	require.Equal(t, 1, fridgeOf(t, b).Parked)
	b.Balanced()
}

func TestRestockIsForTheManagerAndOnce(t *testing.T) {
	bakerytest.GiveManagerKey(t)
	b := bakerytest.New(t)
	const body = `{"ingredients":{"flour":5000,"butter":1000}}`
	restock := func(body string, headers ...string) int {
		return b.Call(Handle, http.MethodPost, "view=fridge", body, headers...).StatusCode
	}
	require.Equal(t, http.StatusUnauthorized, restock(body))
	require.Equal(t, http.StatusUnauthorized, restock(body, "Authorization", "Bearer guess"))
	require.Equal(t, http.StatusUnauthorized, restock(body, "Authorization", bakerytest.ManagerKey))
	require.Zero(t, fridgeOf(t, b).Ingredients["flour"])

	manager := []string{"Authorization", "Bearer " + bakerytest.ManagerKey, "Idempotency-Key", "monday"}
	require.Equal(t, http.StatusOK, restock(body, manager...))
	require.Equal(t, http.StatusOK, restock(body, manager...))
	f := fridgeOf(t, b)
	require.Equal(t, 5000, f.Ingredients["flour"])
	require.Equal(t, map[string]int{"flour": 5000, "butter": 1000}, f.Restocked)
	require.Equal(t, http.StatusConflict, restock(`{"ingredients":{"flour":1}}`, manager...))

	for body, field := range map[string]string{
		`{`: "", `{"ingredients":{}}`: "ingredients", `{"ingredients":{"gold":1}}`: "ingredients.gold",
		`{"ingredients":{"flour":0}}`:   "ingredients.flour",
		`{"ingredients":{"flour":1.5}}`: "ingredients.flour",
		`{"ingredients":{"flour":"1"}}`: "ingredients.flour", `{"flour":1}`: "flour",
		`{"ingredients":[]}`: "ingredients",
	} {
		p := bakerytest.Problem(t, http.StatusBadRequest,
			b.Call(Handle, http.MethodPost, "view=fridge", body, manager[:2]...))
		require.Equal(t, field, p.Errors[0].Field, body)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge,
		restock(strings.Repeat(" ", bakery.MaxBody+1), manager...))
	b.Balanced()
}

func TestManagerThrowsATrayAway(t *testing.T) {
	bakerytest.GiveManagerKey(t)
	b := bakerytest.New(t)
	b.Stock(2)
	asked(t, b, 1)
	manager := []string{"Authorization", "Bearer " + bakerytest.ManagerKey}
	require.Equal(t, http.StatusUnauthorized, b.Call(Handle, http.MethodDelete, "tray=T2", "").StatusCode)
	require.Equal(t, http.StatusOK, b.Call(Handle, http.MethodDelete, "tray=T2", "", manager...).StatusCode)
	require.Equal(t, http.StatusConflict, b.Call(Handle, http.MethodDelete, "tray=T2", "",
		manager...).StatusCode)
	require.Equal(t, http.StatusNotFound, b.Call(Handle, http.MethodDelete, "tray=T99", "",
		manager...).StatusCode)
	require.Equal(t, 1, b.Balanced().Trays["asked"], "another is asked for")
}

func TestWithoutTheSecretNobodyIsTheManager(t *testing.T) {
	t.Setenv("secret_mount_path", t.TempDir())
	b := bakerytest.New(t)
	p := bakerytest.Problem(t, http.StatusServiceUnavailable,
		b.Call(Handle, http.MethodPost, "view=fridge", `{}`, "Authorization", "Bearer "))
	require.Contains(t, p.Detail, "manager-key")
}

func TestNothingElseHere(t *testing.T) {
	t.Parallel()
	b := bakerytest.New(t)
	for _, query := range []string{"", "view=display", "%zz"} {
		bakerytest.Problem(t, http.StatusNotFound, b.Call(Handle, http.MethodGet, query, ""))
	}
}
