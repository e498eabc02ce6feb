package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/stretchr/testify/require"
)

var menuOf = map[string]string{"Bread": "bread", "Cookies": "chocolate-chip", "Fudge": "fudge",
	"Caramel bites": "fudge"}

func TestReadSales(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file      string
		day       string
		sales     []sale
		skipped   map[string]int
		malformed []badLine
		err       string
	}{
		"a transaction is an order, a row is a piece": {
			file: "Date,Time,Transaction,Item\n2016-11-05,09:00:00,1,Bread\n2016-11-05,09:00:00,1,Bread\n" +
				"2016-11-05,09:00:00,1,Fudge\n2016-11-05,09:05:00,2,Bread\n",
			sales: []sale{
				{"1", clock("09:00:00"), []bakery.Wanted{{Cookie: "bread", Quantity: 2},
					{Cookie: "fudge", Quantity: 1}}},
				{"2", clock("09:05:00"), []bakery.Wanted{{Cookie: "bread", Quantity: 1}}},
			},
		},
		"two items may be one cookie": {
			file: "Date,Time,Transaction,Item\n2016-11-05,09:00:00,1,Fudge\n" +
				"2016-11-05,09:00:00,1,Caramel bites\n",
			sales: []sale{{"1", clock("09:00:00"), []bakery.Wanted{{Cookie: "fudge", Quantity: 2}}}},
		},
		"items off the menu are skipped and counted": {
			file: "Date,Time,Transaction,Item\n2016-11-05,09:00:00,1,Bread\n" +
				"2016-11-05,09:00:00,1,Coffee\n2016-11-05,09:01:00,2,Coffee\n2016-11-05,09:01:00,2,Tea\n",
			sales:   []sale{{"1", clock("09:00:00"), []bakery.Wanted{{Cookie: "bread", Quantity: 1}}}},
			skipped: map[string]int{"Coffee": 2, "Tea": 1},
		},
		"malformed lines are reported and do not stop the rest": {
			file: "Date,Time,Transaction,Item\n2016-11-05,25:00:00,1,Bread\n2016-11-05,09:00:00\n" +
				"2016-11-05,09:00:00,,Bread\n2016-11-05,09:00:00,3,\"Br\"ead\n2016-11-05,09:00:00,4,Bread\n",
			sales: []sale{{"4", clock("09:00:00"), []bakery.Wanted{{Cookie: "bread", Quantity: 1}}}},
			malformed: []badLine{{2,
				`"2016-11-05 25:00:00" is not a date and time such as 2016-11-05 09:05:30`},
				{3, "2 fields, want 4"},
				{4, "the transaction or the item is missing"},
				{5, `extraneous or missing " in quoted-field`}},
		},
		"columns in any order, after a byte order mark": {
			file:  "\ufeffItem,Till,Transaction,Time,Date\nBread,3,1,09:00:00,2016-11-05\n",
			sales: []sale{{"1", clock("09:00:00"), []bakery.Wanted{{Cookie: "bread", Quantity: 1}}}},
		},
		"one day of several": {
			file: "Date,Time,Transaction,Item\n2016-11-04,09:00:00,1,Bread\n2016-11-05,10:00:00,1,Fudge\n" +
				"2016-11-06,11:00:00,1,Bread\n",
			day:   "2016-11-05",
			sales: []sale{{"1", clock("10:00:00"), []bakery.Wanted{{Cookie: "fudge", Quantity: 1}}}},
		},
		"unknown day": {
			file: "Date,Time,Transaction,Item\n2016-11-05,09:00:00,1,Bread\n2016-11-07,09:00:00,1,Bread\n",
			day:  "2016-11-06",
			err:  "there is no sale on 2016-11-06; the file has 2 days from 2016-11-05 to 2016-11-07",
		},
		"day without items on the menu": {file: "Date,Time,Transaction,Item\n2016-11-05,09:00:00,1,Tea\n",
			err: "no item that was sold on 2016-11-05 is on the menu"},
		"a column is missing": {file: "Date,Time,Item\n",
			err: "there is no column Transaction; want Date, Time, Transaction, Item"},
		"no sales": {file: "Date,Time,Transaction,Item\n",
			err: "there is no sale in the file"},
		"empty": {file: "", err: "read the header: EOF"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readSales(strings.NewReader(test.file), test.day, menuOf)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.sales, got.sales)
			require.Equal(t, test.malformed, got.malformed)
			if test.skipped == nil {
				test.skipped = map[string]int{}
			}
			require.Equal(t, test.skipped, got.skipped)
		})
	}
}

func clock(at string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2016-11-05 "+at)
	if err != nil {
		panic(err)
	}
	return t
}

func TestSampleFileIsReadable(t *testing.T) {
	t.Parallel()
	items, err := readItems("")
	require.NoError(t, err)
	f, err := os.Open("testdata/made-up-days.csv")
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	day, err := readSales(f, "", items)
	require.NoError(t, err)
	require.Equal(t, []string{"2024-03-01", "2024-03-02"}, day.days)
	require.Empty(t, day.malformed)
	require.NotEmpty(t, day.sales)
	require.NotEmpty(t, day.skipped)
	require.NoError(t, onMenu(items, ourMenu(t)))
}

func ourMenu(t *testing.T) bakery.Menu {
	t.Helper()
	m, err := bakery.ReadMenu("")
	require.NoError(t, err)
	return *m
}

// FuzzReadSales requires of any file: each order has a cookie, orders are sorted
// by time, and nothing counts twice.
func FuzzReadSales(f *testing.F) {
	f.Add("Date,Time,Transaction,Item\n2016-11-05,09:00:00,1,Bread\n2016-11-05,09:00:00\n" +
		"2016-11-05,08:00:00,2,Tea\n")
	f.Add("Item,Transaction,Time,Date\n\"Bread\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readSales(strings.NewReader(text), "", menuOf)
		if err != nil {
			return
		}
		pieces := 0
		for i, s := range got.sales {
			require.NotEmpty(t, s.items)
			require.True(t, i == 0 || !s.at.Before(got.sales[i-1].at))
			for _, item := range s.items {
				require.Positive(t, item.Quantity)
				pieces += item.Quantity
			}
		}
		for _, n := range got.skipped {
			pieces += n
		}
		require.LessOrEqual(t, pieces+len(got.malformed),
			strings.Count(text, "\n")+1+strings.Count(text, "\r"))
	})
}

func TestScheduleRepeatsTheDayInEachShop(t *testing.T) {
	t.Parallel()
	list := []sale{{transaction: "1", at: clock("09:00:00")}, {transaction: "2", at: clock("09:30:00")},
		{transaction: "3", at: clock("17:00:00")}}
	one := schedule(list, 1, 600, 1)
	require.Equal(t, []time.Duration{0, 3 * time.Second, 48 * time.Second},
		[]time.Duration{one[0].after, one[1].after, one[2].after}, "the recorded times, sped up")

	many := schedule(list, 20, 600, 1)
	require.Len(t, many, 60)
	times := map[string]int{}
	for i, a := range many {
		times[a.sale.transaction]++
		require.True(t, i == 0 || a.after >= many[i-1].after)
		late := time.Duration(float64(a.after)*600) - a.sale.at.Sub(list[0].at)
		require.GreaterOrEqual(t, late, -time.Microsecond, "not before the recorded time")
		require.Less(t, late, spread)
	}
	require.Equal(t, map[string]int{"1": 20, "2": 20, "3": 20}, times)
	require.Equal(t, many, schedule(list, 20, 600, 1), "the same seed is the same day")
	require.NotEqual(t, many, schedule(list, 20, 600, 2))
}

func TestQuantilesAreByNearestRank(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1)*time.Minute)
	}
	require.Equal(t, quantiles{50, 95, 99, 100}, quantilesOf(hundred, time.Minute))
	require.Equal(t, quantiles{1500, 1500, 1500, 1500},
		quantilesOf([]time.Duration{1500 * time.Millisecond}, time.Millisecond))
	require.Equal(t, quantiles{}, quantilesOf(nil, time.Minute))
}

func TestReadItems(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/items.json"
	require.NoError(t, os.WriteFile(path, []byte(`{"Bread":"brot"}`), 0o600))
	items, err := readItems(path)
	require.NoError(t, err)
	require.EqualError(t, onMenu(items, ourMenu(t)), "items: the bakery does not bake brot (for Bread)")
	require.NoError(t, os.WriteFile(path, []byte(`["Bread"]`), 0o600))
	_, err = readItems(path)
	require.ErrorContains(t, err, "want a JSON object")
}
