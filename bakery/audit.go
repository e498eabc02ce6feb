package bakery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
)

// An Audit says whether the bakery's books balance, and where they do not.
type Audit struct {
	Balanced    bool           `json:"balanced"`
	Differences []string       `json:"differences"` // one sentence each
	Ingredients []Balance      `json:"ingredients"` // grams
	Pieces      PiecesSum      `json:"pieces"`
	Orders      OrdersSum      `json:"orders"`
	Trays       map[string]int `json:"trays"` // open ones by state, ended ones since the bakery first opened
}

// A Balance is of one ingredient: what came in must be what is there and what was used.
type Balance struct {
	Ingredient string `json:"ingredient"`
	Restocked  int    `json:"restocked"`
	Fridge     int    `json:"fridge"`
	Used       int    `json:"used"`
}

// PiecesSum is where the pieces are that were ever mixed.
type PiecesSum struct {
	Mixed     int `json:"mixed"`
	Dough     int `json:"dough"`
	InOven    int `json:"in_oven"`
	Baked     int `json:"baked"`
	OnDisplay int `json:"on_display"`
	Reserved  int `json:"reserved"`
	Handed    int `json:"handed_over"`
	Spoiled   int `json:"spoiled"`
}

// OrdersSum is where the orders are that were ever placed.
type OrdersSum struct {
	Placed    int `json:"placed"`
	Open      int `json:"open"`
	Served    int `json:"served"`
	Cancelled int `json:"cancelled"`
	Refused   int `json:"refused"`
}

// books are all that an audit needs, as they were at one moment.
type books struct {
	now     int64
	fridge  map[string]int
	totals  map[string]int
	trays   []trayRecord
	orders  []record
	indexes map[string]map[string]float64 // by key: member -> score
}

var indexKeys = []string{keyWay, keyLine, keyRacks, keyParked, keyDeadlines, keyShelf, keyNeed, keyWaiting}

// snapshot reads the books in one transaction.
func snapshot(ctx context.Context) (books, error) {
	b := books{indexes: map[string]map[string]float64{}}
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return b, err
	}
	keys := append([]string{keyFridge, keyTotals, keyTrays, keyOrders}, indexKeys...)
	got, err := booksLua.Run(ctx, rdb, keys).Slice()
	if err != nil {
		return b, err
	}
	list := func(i int) []any { return got[i].([]any) }
	b.now, b.fridge, b.totals = got[0].(int64), numbers(list(1)), numbers(list(2))
	for _, text := range list(3) {
		var t trayRecord
		if err := json.Unmarshal([]byte(text.(string)), &t); err != nil {
			return b, fmt.Errorf("read a tray: %w", err)
		}
		b.trays = append(b.trays, t)
	}
	for _, text := range list(4) {
		var o record
		if err := json.Unmarshal([]byte(text.(string)), &o); err != nil {
			return b, fmt.Errorf("read an order: %w", err)
		}
		b.orders = append(b.orders, o)
	}
	for i, key := range indexKeys {
		b.indexes[key] = map[string]float64{}
		members := list(5 + i)
		for j := 0; j < len(members); j += 2 {
			b.indexes[key][members[j].(string)], err = strconv.ParseFloat(members[j+1].(string), 64)
			if err != nil {
				return b, fmt.Errorf("read the index %s: %w", key, err)
			}
		}
	}
	return b, nil
}

var booksLua = wire.NewLua(luaFile("books"), true)

// numbers reads a flat list of names and whole numbers.
func numbers(list []any) map[string]int {
	n := make(map[string]int, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		n[list[i].(string)], _ = strconv.Atoi(list[i+1].(string))
	}
	return n
}

// TakeAudit checks the bakery's invariants on one snapshot of its books. An error means that they could not
// be read.
func TakeAudit(ctx context.Context) (Audit, error) {
	b, err := snapshot(ctx)
	if err != nil {
		return Audit{}, fmt.Errorf("audit: %w", err)
	}
	return b.audit(), nil
}

// audit is the check itself: pure.
func (b books) audit() Audit {
	a := Audit{Trays: map[string]int{}, Differences: []string{}}
	differ := func(format string, args ...any) {
		a.Differences = append(a.Differences, fmt.Sprintf(format, args...))
	}

	used := map[string]int{}
	a.Pieces = PiecesSum{
		Mixed:   b.totals["pieces_mixed"],
		Handed:  b.totals["pieces_handed"],
		Spoiled: b.totals["pieces_spoiled"],
	}
	reservedOnTrays := 0
	for _, t := range b.trays {
		a.Trays[t.State]++
		if t.Mixed > 0 {
			a.Pieces.Mixed += t.Size
		}
		for ingredient, grams := range t.Used {
			used[ingredient] += grams
		}
		switch t.State {
		case "mixed":
			a.Pieces.Dough += t.Size
		case "in_oven":
			a.Pieces.InOven += t.Size
		case "baked":
			a.Pieces.Baked += t.Size
		}
		a.Pieces.OnDisplay += t.Left
		a.Pieces.Handed += t.Handed
		a.Pieces.Spoiled += t.Spoiled
		reservedOnTrays += t.Reserved
	}
	for _, state := range []string{"sold", "withdrawn", "spoiled"} {
		a.Trays[state] += b.totals["trays_"+state]
	}

	a.Orders = OrdersSum{
		Placed:    b.totals["orders_placed"],
		Open:      len(b.orders),
		Served:    b.totals["orders_served"],
		Cancelled: b.totals["orders_cancelled"],
		Refused:   b.totals["orders_refused"],
	}
	for _, o := range b.orders {
		parts, filled := 0, 0
		for _, item := range o.Items {
			filled += item.Filled
			if item.Filled > item.Quantity {
				differ("order %s has %d of %s and wants %d", o.ID, item.Filled, item.Cookie, item.Quantity)
			}
		}
		for _, part := range o.Trays {
			parts += part.Pieces
		}
		if parts != filled {
			differ("order %s has %d pieces and its trays gave %d", o.ID, filled, parts)
		}
		a.Pieces.Reserved += filled
	}
	if a.Pieces.Reserved != reservedOnTrays {
		differ("orders have %d pieces reserved, trays %d", a.Pieces.Reserved, reservedOnTrays)
	}
	if served := b.totals["pieces_served"]; served != a.Pieces.Handed {
		differ("served orders had %d pieces, trays handed over %d", served, a.Pieces.Handed)
	}
	p := a.Pieces
	if sum := p.Dough + p.InOven + p.Baked + p.OnDisplay + p.Reserved + p.Handed + p.Spoiled; sum != p.Mixed {
		differ("%d pieces were mixed, %d are accounted for", p.Mixed, sum)
	}
	o := a.Orders
	if sum := o.Open + o.Served + o.Cancelled + o.Refused; sum != o.Placed {
		differ("%d orders were placed, %d are accounted for", o.Placed, sum)
	}

	a.Ingredients = b.balances(used)
	for _, i := range a.Ingredients {
		if i.Fridge < 0 {
			differ("there are %d g of %s in the fridge", i.Fridge, i.Ingredient)
		}
		if i.Restocked != i.Fridge+i.Used {
			differ("%s: %d g were restocked, %d g are in the fridge and %d g were used",
				i.Ingredient, i.Restocked, i.Fridge, i.Used)
		}
	}
	a.Differences = append(a.Differences, b.wrongIndexes()...)
	a.Differences = append(a.Differences, b.unfilled()...)
	a.Balanced = len(a.Differences) == 0
	return a
}

func (b books) balances(used map[string]int) []Balance {
	sums := map[string]*Balance{}
	of := func(ingredient string) *Balance {
		if sums[ingredient] == nil {
			sums[ingredient] = &Balance{Ingredient: ingredient}
		}
		return sums[ingredient]
	}
	for name, n := range b.totals {
		if ingredient, ok := strings.CutPrefix(name, "restocked:"); ok {
			of(ingredient).Restocked += n
		}
		if ingredient, ok := strings.CutPrefix(name, "used:"); ok {
			of(ingredient).Used += n
		}
	}
	for ingredient, n := range used {
		of(ingredient).Used += n
	}
	for ingredient, n := range b.fridge {
		of(ingredient).Fridge += n
	}
	list := []Balance{}
	for _, s := range sums {
		list = append(list, *s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Ingredient < list[j].Ingredient })
	return list
}

// unfilled finds orders that lack a cookie which is on display.
func (b books) unfilled() []string {
	onDisplay := map[string]int{}
	for _, t := range b.trays {
		onDisplay[t.Cookie] += t.Left
	}
	var found []string
	for _, o := range b.orders {
		for _, item := range o.Items {
			if item.Filled < item.Quantity && onDisplay[item.Cookie] > 0 {
				found = append(found, fmt.Sprintf("order %s lacks %d of %s, and %d are on display",
					o.ID, item.Quantity-item.Filled, item.Cookie, onDisplay[item.Cookie]))
			}
		}
	}
	return found
}

// wrongIndexes compares the indexes with what the records say. It is lua/lib.lua's rule, written a second
// time on purpose.
func (b books) wrongIndexes() []string {
	want := map[string]map[string]float64{}
	put := func(key, member string, score float64) {
		if want[key] == nil {
			want[key] = map[string]float64{}
		}
		want[key][member] = score
	}
	for _, t := range b.trays {
		switch t.State {
		case "asked", "mixed":
			put(keyLine, t.ID, float64(t.Seq))
		case "parked":
			put(keyParked, t.ID, float64(t.Seq))
		case "in_oven":
			put(keyRacks, t.ID, float64(t.InOven))
		}
		if slices.Contains([]string{"asked", "parked", "mixed", "in_oven", "baked"}, t.State) {
			put(keyWay, fmt.Sprintf("%s|%05d|%s", t.Cookie, t.Size, t.ID), 0)
			if t.State != "parked" {
				put(keyDeadlines, t.ID, float64(t.Deadline))
			}
		}
		if t.Left > 0 {
			put(keyShelf, fmt.Sprintf("%s|%015d|%s", t.Cookie, t.OnDisplay, t.ID), 0)
		}
	}
	for _, o := range b.orders {
		for _, item := range o.Items {
			if missing := item.Quantity - item.Filled; missing > 0 {
				put(keyNeed, fmt.Sprintf("%s|%05d|%s", item.Cookie, missing, o.ID), 0)
				put(keyWaiting, fmt.Sprintf("%s|%012d|%s", item.Cookie, o.Seq, o.ID), 0)
			}
		}
	}
	var found []string
	for _, key := range indexKeys {
		for member, score := range want[key] {
			if got, ok := b.indexes[key][member]; !ok || got != score {
				found = append(found, fmt.Sprintf("%s lacks %s with the score %.0f", key, member, score))
			}
		}
		for member := range b.indexes[key] {
			if _, ok := want[key][member]; !ok {
				found = append(found, fmt.Sprintf("%s has %s, and no record says so", key, member))
			}
		}
	}
	slices.Sort(found)
	return found
}
