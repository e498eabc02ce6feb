package bakery_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/stretchr/testify/require"
)

func builtIn(t testing.TB) *bakery.Menu {
	t.Helper()
	menu, err := bakery.ReadMenu("")
	require.NoError(t, err)
	return menu
}

func TestParseOrder(t *testing.T) {
	t.Parallel()
	r, err := bakery.ParseOrder([]byte(`{"customer":" Ada `+
		`","items":[{"cookie":"scone","quantity":6},{"cookie":"brownie","quantity":1},{"cookie":"scone",`+
		`"quantity":2}]}`), builtIn(t))
	require.NoError(t, err)
	require.Equal(t, bakery.OrderRequest{Customer: "Ada",
		Items: []bakery.Wanted{{Cookie: "brownie", Quantity: 1}, {Cookie: "scone", Quantity: 8}}}, r)
	r, err = bakery.ParseOrder([]byte(`{"items":[{"cookie":"scone","quantity":1000}]}`), builtIn(t))
	require.NoError(t, err)
	require.Equal(t, "guest", r.Customer)
}

func TestParseOrderSaysWhatIsWrong(t *testing.T) {
	line := `{"cookie":"scone","quantity":1}`
	tests := map[string]struct{ body, field, says string }{
		"nothing":          {``, "", "not JSON"},
		"not JSON":         {`cookies please`, "", "not JSON"},
		"cut off":          {`{"items":[`, "", "not JSON"},
		"a list":           {`[]`, "", "not a JSON object"},
		"null":             {`null`, "", "not a JSON object"},
		"a number":         {`7`, "", "not a JSON object"},
		"two objects":      {`{"items":[` + line + `]}{}`, "", "behind the JSON object"},
		"an unknown field": {`{"items":[` + line + `],"tip":3}`, "tip", "not a field"},
		"an unknown field in line": {`{"items":[{"cookie":"scone","quantity":1,"icing":true}]}`,
			"items[0].icing", "not a field"},
		"customer is a number": {`{"customer":7,"items":[` + line + `]}`, "customer",
			"is a number, want a string"},
		"customer is empty": {`{"customer":"  ","items":[` + line + `]}`, "customer", "0 characters"},
		"customer is long": {`{"customer":"` + strings.Repeat("ä", 81) + `","items":[` + line + `]}`,
			"customer", "81 characters"},
		"no items":          {`{"customer":"Ada"}`, "items", "missing"},
		"items null":        {`{"items":null}`, "items", "missing"},
		"items is a string": {`{"items":"scone"}`, "items", "is a string, want a list"},
		"empty order":       {`{"items":[]}`, "items", "empty"},
		"51 lines": {`{"items":[` + strings.Repeat(line+",", 50) + line + `]}`, "items",
			"51 lines, want at most 50"},
		"a line that is no object": {`{"items":["scone"]}`, "items[0]", "not a JSON object"},
		"no cookie":                {`{"items":[{"quantity":1}]}`, "items[0].cookie", "missing"},
		"cookie is a list": {`{"items":[{"cookie":[],"quantity":1}]}`, "items[0].cookie",
			"is a array, want a string"},
		"unknown cookie": {`{"items":[` + line + `,{"cookie":"chocolat-chip","quantity":1}]}`,
			"items[1].cookie", "did you mean chocolate-chip?"},
		"cookie by its title": {`{"items":[{"cookie":"Brownies","quantity":1}]}`, "items[0].cookie",
			"did you mean brownie?"},
		"nothing like any": {`{"items":[{"cookie":"xyzzyxyzzyxyzzy","quantity":1}]}`,
			"items[0].cookie", "see GET ?view=menu"},
		"no quantity": {`{"items":[{"cookie":"scone"}]}`, "items[0].quantity", "missing"},
		"quantity 0": {`{"items":[{"cookie":"scone","quantity":0}]}`, "items[0].quantity",
			"is 0, want a whole number from 1 to 1000"},
		"quantity -1": {`{"items":[{"cookie":"scone","quantity":-1}]}`,
			"items[0].quantity", "is -1"},
		"quantity 1001": {`{"items":[{"cookie":"scone","quantity":1001}]}`,
			"items[0].quantity", "is 1001"},
		"quantity 1.5": {`{"items":[{"cookie":"scone","quantity":1.5}]}`,
			"items[0].quantity", "is 1.5"},
		"quantity 1e3": {`{"items":[{"cookie":"scone","quantity":1e3}]}`,
			"items[0].quantity", "is 1e3"},
		"quantity text": {`{"items":[{"cookie":"scone","quantity":"6"}]}`,
			"items[0].quantity", `is "6"`},
		"quantity null": {`{"items":[{"cookie":"scone","quantity":null}]}`, "items[0].quantity",
			"want a whole number"},
		"quantity beyond all": {`{"items":[{"cookie":"scone",` +
			`"quantity":99999999999999999999999999999999999999999999999999}]}`,
			"items[0].quantity", "…, want"},
		"more than 1000 in all": {`{"items":[{"cookie":"scone","quantity":1000},{"cookie":"scone",` +
			`"quantity":1}]}`, "items", "has 1001 scone in all"},
		"names in capitals": {`{"ITEMS":[{"cookie":"scone","quantity":1}],"items":[{"cookie":"scone",` +
			`"quantity":1}]}`, "ITEMS", "is not a field"},
		"control characters": {`{"customer":"\u001b[2JAda","items":[{"cookie":"scone","quantity":1}]}`,
			"customer", "has control characters"},
		"quantity is a nested list": {`{"items":[{"cookie":"scone","quantity":[[[1]]]}]}`,
			"items[0].quantity", "is [[[1]]]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bakery.ParseOrder([]byte(tt.body), builtIn(t))
			var wrong *bakery.InputError
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, tt.field, wrong.Fields[0].Field)
			require.Contains(t, wrong.Fields[0].Detail, tt.says)
		})
	}
	_, err := bakery.ParseOrder([]byte(`{"customer":"","items":[{"cookie":"x","quantity":0},{}]}`),
		builtIn(t))
	var wrong *bakery.InputError
	require.ErrorAs(t, err, &wrong)
	require.Len(t, wrong.Fields, 5, "all that is wrong is said at once")
}

func FuzzParseOrder(f *testing.F) {
	for _, seed := range []string{`{"customer":"Ada","items":[{"cookie":"scone","quantity":6}]}`,
		`{"items":[{"cookie":"scone","quantity":1e3}]}`, `[]`, `{"items":null}`, `{"items":[[]]}`} {
		f.Add(seed)
	}
	menu := builtIn(f)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := bakery.ParseOrder([]byte(body), menu)
		if err != nil {
			var wrong *bakery.InputError
			require.ErrorAs(t, err, &wrong)
			require.NotEmpty(t, wrong.Fields)
			return
		}
		require.NotEmpty(t, r.Customer)
		require.NotEmpty(t, r.Items)
		require.LessOrEqual(t, len(r.Items), bakery.MaxLines)
		for _, item := range r.Items {
			require.GreaterOrEqual(t, item.Quantity, 1)
			require.LessOrEqual(t, item.Quantity, bakery.MaxQuantity)
		}
		again, err := json.Marshal(r)
		require.NoError(t, err)
		same, err := bakery.ParseOrder(again, menu)
		require.NoError(t, err)
		require.Equal(t, r, same)
	})
}

func FuzzParseRestock(f *testing.F) {
	f.Add(`{"ingredients":{"flour":50000}}`)
	f.Add(`{"ingredients":{"gold":1}}`)
	f.Add(`{"ingredients":[]}`)
	f.Fuzz(func(t *testing.T, body string) {
		ctx := bakery.WithConfig(t.Context(), &bakery.Config{Menu: builtIn(t)})
		amounts, err := bakery.ParseRestock(ctx, []byte(body))
		if err != nil {
			return
		}
		require.NotEmpty(t, amounts)
		for name, grams := range amounts {
			require.Contains(t, builtIn(t).Ingredients(), name)
			require.Positive(t, grams)
		}
	})
}

func TestBuiltInMenu(t *testing.T) {
	t.Parallel()
	menu := builtIn(t)
	require.GreaterOrEqual(t, len(menu.Bakes), 12)
	recipe, ok := menu.Find("chocolate-chip")
	require.True(t, ok)
	require.Equal(t, 12, recipe.Minutes)
	require.Equal(t, []string{"chocolate-chip"}, menu.Nearest("choclate-chip"))
	require.Equal(t, []string{"chocolate-chip"}, menu.Nearest("choclate"))
	require.Equal(t, []string{"victoria-sponge"}, menu.Nearest("spunge"))
	require.Empty(t, menu.Nearest("zucchini"))
	require.Empty(t, menu.Nearest(strings.Repeat("x", 1<<16)))
}

func TestMenuIsCheckedWhole(t *testing.T) {
	t.Parallel()
	bad := func(change string) string {
		good := map[string]any{"name": "scone", "title": "Scone", "tray": 12, "minutes": 14,
			"price_cents": 180, "ingredients": map[string]any{"flour": 1}}
		var with map[string]any
		require.NoError(t, json.Unmarshal([]byte(change), &with))
		for k, v := range with {
			good[k] = v
		}
		text, err := json.Marshal(good)
		require.NoError(t, err)
		return fmt.Sprintf(`{"bakes":[%s]}`, text)
	}
	for body, says := range map[string]string{
		`{`:                                "unexpected EOF",
		`{"bakes":[]}`:                     "no bakes",
		`{"cakes":[]}`:                     "unknown field",
		bad(`{"name":"Scone"}`):            "lower-case",
		bad(`{"tray":0}`):                  "tray is 0",
		bad(`{"minutes":0}`):               "minutes is 0",
		bad(`{"price_cents":0}`):           "price_cents is 0",
		bad(`{"ingredients":{}}`):          "no ingredients",
		bad(`{"ingredients":{"flour":0}}`): `"flour" of 0 g`,
		bad(`{"tray":1.5}`):                "cannot unmarshal",
	} {
		_, err := bakery.ParseMenu([]byte(body))
		require.ErrorContains(t, err, says, body)
	}
	_, err := bakery.ParseMenu([]byte(strings.Replace(bad(`{}`), "]",
		","+strings.TrimPrefix(strings.TrimSuffix(bad(`{}`), "]}"), `{"bakes":[`)+"]", 1)))
	require.ErrorContains(t, err, "twice")
}

func TestConfigFromEnv(t *testing.T) {
	c, err := bakery.ConfigFromEnv()
	require.NoError(t, err)
	require.InDelta(t, 600, c.Speed, 0)
	recipe, _ := c.Menu.Find("chocolate-chip")
	require.Equal(t, "1.2s", c.BakeTime(recipe).String())
	for name, tt := range map[string]struct{ name, value, says string }{
		"slow":         {"BAKE_SPEED", "1", "not under exec_timeout"},
		"no number":    {"BAKE_SPEED", "fast", "want a number above 0"},
		"zero":         {"BAKE_SPEED", "0", "want a number above 0"},
		"not a number": {"BAKE_SPEED", "NaN", "want a number above 0"},
		"short":        {"exec_timeout", "2s", "not under exec_timeout"},
		"patience":     {"TRAY_PATIENCE", "soon", "want a duration"},
		"limit":        {"TRAY_LIMIT", "0", "want a whole number"},
		"no menu":      {"MENU_FILE", "/nowhere", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tt.name, tt.value)
			_, err := bakery.ConfigFromEnv()
			require.ErrorContains(t, err, tt.says)
		})
	}
}
