package bakery

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/hearthfaas/hearth/chain"
)

// A Shelf is what is on display of one cookie.
type Shelf struct {
	Cookie string   `json:"cookie"`
	Pieces int      `json:"pieces"`
	Trays  []string `json:"trays"` // oldest first
}

// Display is what is on display, by cookie, in the order of their names.
func Display(ctx context.Context) ([]Shelf, error) {
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return nil, err
	}
	members, err := rdb.ZRange(ctx, keyShelf, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("look at the display: %w", err)
	}
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = m[strings.LastIndex(m, "|")+1:]
	}
	if len(ids) == 0 {
		return []Shelf{}, nil
	}
	trays, err := rdb.HMGet(ctx, keyTrays, ids...).Result()
	if err != nil {
		return nil, fmt.Errorf("look at the display: %w", err)
	}
	return shelvesOf(decodeTrays(trays)), nil
}

// shelvesOf sorts what trays have on display by cookie. The trays are given oldest first.
func shelvesOf(trays []trayRecord) []Shelf {
	shelves := map[string]*Shelf{}
	for _, t := range trays {
		if t.Left == 0 {
			continue
		}
		shelf, ok := shelves[t.Cookie]
		if !ok {
			shelf = &Shelf{Cookie: t.Cookie}
			shelves[t.Cookie] = shelf
		}
		shelf.Pieces += t.Left
		shelf.Trays = append(shelf.Trays, t.ID)
	}
	list := []Shelf{}
	for _, cookie := range slices.Sorted(maps.Keys(shelves)) {
		list = append(list, *shelves[cookie])
	}
	return list
}

// A Floor is the whole bakery at one moment.
type Floor struct {
	Orders  map[string]int `json:"orders"` // by state; those that ended, since the bakery first opened
	Trays   map[string]int `json:"trays"`  // likewise
	Coming  []Coming       `json:"coming"` // trays before and after the ovens, oldest first, at most 60
	Racks   []Rack         `json:"racks"`  // what is in the ovens, the longest there first
	Ovens   int            `json:"ovens"`  // that have something in a rack
	Fridge  map[string]int `json:"fridge"` // grams by ingredient
	Display []Shelf        `json:"display"`
	Missing map[string]int `json:"missing"` // pieces that open orders lack, by cookie
	Now     int64          `json:"now"`     // Redis's clock, ms
	Speed   float64        `json:"speed"`   // BAKE_SPEED
}

// A Rack holds one tray in an oven.
type Rack struct {
	Tray    string `json:"tray"`
	Cookie  string `json:"cookie"`
	Oven    string `json:"oven"` // which, by the host and process that it is
	SinceMS int64  `json:"since_ms"`
	NeedsMS int64  `json:"needs_ms"`
}

// trayRecord is a tray in Redis; lua/lib.lua makes it. Times are in ms since 1970, 0 for not yet.
type trayRecord struct {
	ID     string `json:"id"`
	Seq    int64  `json:"seq"`
	Cookie string `json:"cookie"`
	Size   int    `json:"size"`
	State  string `json:"state"`
	Oven   string `json:"oven"` // that it is or was in
	Asked  int64  `json:"asked"`
	Parked int64  `json:"parked"`
	stages
	Deadline int64          `json:"deadline"`
	Used     map[string]int `json:"used"` // grams, once it is mixed
	Left     int            `json:"left"` // pieces on display
	Reserved int            `json:"reserved"`
	Handed   int            `json:"handed"`
	Spoiled  int            `json:"spoiled"`
}

// decodeTrays reads trays out of HMGET's reply, and leaves out those that are not there.
func decodeTrays(values []any) []trayRecord {
	var trays []trayRecord
	for _, v := range values {
		var t trayRecord
		if text, ok := v.(string); ok && json.Unmarshal([]byte(text), &t) == nil {
			trays = append(trays, t)
		}
	}
	return trays
}

// Look is the whole bakery now.
func Look(ctx context.Context) (Floor, error) {
	s, err := snapshot(ctx)
	if err != nil {
		return Floor{}, fmt.Errorf("look at the bakery: %w", err)
	}
	c := config(ctx)
	f := Floor{
		Fridge:  s.fridge,
		Now:     s.now,
		Speed:   c.Speed,
		Orders:  map[string]int{Baking: 0, ReadyTo: 0},
		Trays:   map[string]int{},
		Missing: map[string]int{},
		Racks:   []Rack{},
		Coming:  []Coming{},
	}
	for _, state := range []string{Served, Cancelled, Refused} {
		f.Orders[state] = s.totals["orders_"+state]
	}
	for _, state := range []string{"sold", "withdrawn", "spoiled"} {
		f.Trays[state] = s.totals["trays_"+state]
	}
	for _, o := range s.orders {
		f.Orders[o.State]++
		for _, item := range o.Items {
			if item.Quantity > item.Filled {
				f.Missing[item.Cookie] += item.Quantity - item.Filled
			}
		}
	}
	sort.Slice(s.trays, func(i, j int) bool { return s.trays[i].Seq < s.trays[j].Seq })
	for _, t := range s.trays {
		f.Trays[t.State]++
		if t.State == "in_oven" {
			recipe, _ := c.Menu.Find(t.Cookie)
			f.Racks = append(f.Racks,
				Rack{t.ID, t.Cookie, t.Oven, s.now - t.InOven, c.BakeTime(recipe).Milliseconds()})
		} else if t.isComing() && len(f.Coming) < maxComing {
			f.Coming = append(f.Coming, c.coming(t, s.now))
		}
	}
	ovens := map[string]bool{}
	for _, r := range f.Racks {
		ovens[r.Oven] = true
	}
	f.Ovens = len(ovens)
	f.Display = shelvesOf(s.trays)
	sort.SliceStable(f.Racks, func(i, j int) bool { return f.Racks[i].SinceMS > f.Racks[j].SinceMS })
	return f, nil
}

// Orders returns up to limit open orders, oldest first. With ended, the rest of the limit is filled with
// ended orders that are still kept, newest first.
func Orders(ctx context.Context, limit int, ended bool) ([]Order, error) {
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := rdb.HKeys(ctx, keyOrders).Result()
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	open, err := Find(ctx, ids...)
	if err != nil {
		return nil, err
	}
	sort.Slice(open, func(i, j int) bool {
		return open[i].Timeline.Ordered.Before(*open[j].Timeline.Ordered)
	})
	if len(open) >= limit || !ended {
		return open[:min(limit, len(open))], nil
	}
	past, err := endedOrders(ctx, limit-len(open))
	return append(open, past...), err
}

func endedOrders(ctx context.Context, limit int) ([]Order, error) {
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for start, batch := 0, 256; len(ids) < limit; start += batch {
		members, err := rdb.ZRevRange(ctx, keyEnded, int64(start), int64(start+batch-1)).Result()
		if err != nil {
			return nil, fmt.Errorf("list ended orders: %w", err)
		}
		if len(members) == 0 {
			break
		}
		for _, m := range members {
			if m[:2] == "o|" && len(ids) < limit {
				ids = append(ids, m[2:])
			}
		}
	}
	return Find(ctx, ids...)
}
