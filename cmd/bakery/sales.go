package main

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/bakery"
)

//go:embed items.json
var defaultItems []byte

// readItems reads the map from the till's items to cookies, a JSON object.
func readItems(path string) (map[string]string, error) {
	data := defaultItems
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	items := map[string]string{}
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, fmt.Errorf("items: want a JSON object of a cookie for each item: %w", err)
	}
	return items, nil
}

// A sale is one order of a customer: a transaction of the till, with one row per piece.
type sale struct {
	transaction string
	at          time.Time
	items       []bakery.Wanted
}

// A badLine is an unreadable line of the file. It does not stop the rest.
type badLine struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// sales are the orders of one day.
type sales struct {
	sales     []sale
	skipped   map[string]int // pieces that are not on the menu, by item
	malformed []badLine
	days      []string // all days of the file, sorted
}

var salesColumns = []string{"Date", "Time", "Transaction", "Item"}

// readSales reads one day of a till's file: CSV with the columns Date, Time, Transaction and Item in
// any order. An empty day is the first one.
func readSales(r io.Reader, day string, menuOf map[string]string) (sales, error) {
	s := sales{skipped: map[string]int{}}
	in := csv.NewReader(r)
	in.FieldsPerRecord, in.ReuseRecord = -1, true
	header, err := in.Read()
	if err != nil {
		return s, fmt.Errorf("read the header: %w", err)
	}
	at := map[string]int{}
	for i, name := range header {
		at[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))] = i
	}
	for _, name := range salesColumns {
		if _, ok := at[name]; !ok {
			return s, fmt.Errorf("there is no column %s; want %s", name, strings.Join(salesColumns, ", "))
		}
	}
	type row struct {
		at                time.Time
		transaction, item string
	}
	byDay := map[string][]row{}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			s.malformed = append(s.malformed, badLine{syntax.StartLine, syntax.Err.Error()})
			continue
		}
		if err != nil {
			return s, err
		}
		line, _ := in.FieldPos(0)
		if len(record) < len(header) {
			s.malformed = append(s.malformed, badLine{line,
				fmt.Sprintf("%d fields, want %d", len(record), len(header))})
			continue
		}
		date, clock := strings.TrimSpace(record[at["Date"]]), strings.TrimSpace(record[at["Time"]])
		when, err := time.Parse("2006-01-02 15:04:05", date+" "+clock)
		transaction := strings.TrimSpace(record[at["Transaction"]])
		item := strings.TrimSpace(record[at["Item"]])
		switch {
		case err != nil:
			s.malformed = append(s.malformed, badLine{line,
				fmt.Sprintf("%q is not a date and time such as 2016-11-05 09:05:30", date+" "+clock)})
		case transaction == "" || item == "":
			s.malformed = append(s.malformed, badLine{line, "the transaction or the item is missing"})
		default:
			byDay[date] = append(byDay[date], row{when, strings.Clone(transaction), strings.Clone(item)})
		}
	}
	for d := range byDay {
		s.days = append(s.days, d)
	}
	slices.Sort(s.days)
	if len(s.days) == 0 {
		return s, errors.New("there is no sale in the file")
	}
	if day == "" {
		day = s.days[0]
	}
	if byDay[day] == nil {
		return s, fmt.Errorf("there is no sale on %s; the file has %d days from %s to %s", day, len(s.days),
			s.days[0], s.days[len(s.days)-1])
	}
	orders := map[string]*sale{}
	for _, row := range byDay[day] {
		cookie, ok := menuOf[row.item]
		if !ok {
			s.skipped[row.item]++
			continue
		}
		o := orders[row.transaction]
		if o == nil {
			o = &sale{transaction: row.transaction, at: row.at}
			orders[row.transaction] = o
		}
		i := slices.IndexFunc(o.items, func(w bakery.Wanted) bool { return w.Cookie == cookie })
		if i < 0 {
			o.items = append(o.items, bakery.Wanted{Cookie: cookie})
			i = len(o.items) - 1
		}
		o.items[i].Quantity++
	}
	for _, o := range orders {
		s.sales = append(s.sales, *o)
	}
	sort.Slice(s.sales, func(i, j int) bool {
		a, b := s.sales[i], s.sales[j]
		return a.at.Before(b.at) || a.at.Equal(b.at) && a.transaction < b.transaction
	})
	if len(s.sales) == 0 {
		return s, fmt.Errorf("no item that was sold on %s is on the menu", day)
	}
	return s, nil
}

// An arrival is an order of the replay and its time after the first one.
type arrival struct {
	after time.Duration // real time
	shop  int
	sale  sale
}

// spread is the maximum random delay of a shop's order, in bakery time.
const spread = 10 * time.Minute

// schedule repeats each sale in each shop with a random delay, and accelerates
// time. The same seed gives the same day.
func schedule(list []sale, shops int, speed float64, seed uint64) []arrival {
	rnd := rand.New(rand.NewPCG(seed, 0))
	var all []arrival
	for _, s := range list {
		for shop := range shops {
			offset := time.Duration(0)
			if shop > 0 {
				offset = time.Duration(rnd.Int64N(int64(spread)))
			}
			all = append(all, arrival{after: time.Duration(float64(s.at.Sub(list[0].at)+offset) / speed),
				shop: shop + 1, sale: s})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].after < all[j].after })
	return all
}
