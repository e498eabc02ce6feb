package bakery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/chain"
	"github.com/redis/go-redis/v9"
)

const (
	maxComing   = 60   // trays that Look lists outside the ovens
	maxExpected = 12   // trays that Track names for one item of an order
	maxOnTheWay = 1000 // trays of one cookie that Track looks through
)

// Coming is a tray that is not on display yet.
type Coming struct {
	Tray    string `json:"tray"`
	Cookie  string `json:"cookie"`
	State   string `json:"state"`    // asked, parked, mixed, in_oven or baked
	SinceMS int64  `json:"since_ms"` // time in this state
	NeedsMS int64  `json:"needs_ms"` // time that it spends in the oven, at BAKE_SPEED
}

func (t trayRecord) isComing() bool {
	switch t.State {
	case "asked", "parked", "mixed", "in_oven", "baked":
		return true
	}
	return false
}

func (c *Config) coming(t trayRecord, now int64) Coming {
	since := map[string]int64{
		"asked":   t.Asked,
		"parked":  t.Parked,
		"mixed":   t.Mixed,
		"in_oven": t.InOven,
		"baked":   t.Baked,
	}[t.State]
	recipe, _ := c.Menu.Find(t.Cookie)
	return Coming{
		Tray:    t.ID,
		Cookie:  t.Cookie,
		State:   t.State,
		SinceMS: max(0, now-since),
		NeedsMS: c.BakeTime(recipe).Milliseconds(),
	}
}

// Track is Find, and adds to each open order the trays that are expected to fill it; its timeline is theirs,
// too. That is an estimate: a tray that is thrown away, or overtaken, leaves its place to another.
func Track(ctx context.Context, ids ...string) ([]Order, error) {
	rdb, err := chain.Redis(ctx)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	f, err := find(ctx, rdb, ids)
	if err != nil {
		return nil, err
	}
	orders, err := f.progress(ctx, rdb)
	if err != nil {
		return nil, err
	}
	expected, err := expect(ctx, rdb, f.records)
	if err != nil {
		return nil, err
	}
	for i, r := range f.records {
		trays := expected[r.ID]
		for _, t := range trays {
			if t.isComing() {
				orders[i].WaitsFor = append(orders[i].WaitsFor, config(ctx).coming(t, f.now))
			}
		}
		if len(trays) > 0 {
			r.stages = slowest(trays, len(trays)).orLater(r.stages)
			orders[i].Timeline = r.view().Timeline
		}
	}
	return orders, nil
}

// orLater moves each stage that was reached to when other stages were reached, if that is later.
func (s stages) orLater(other stages) stages {
	later := func(at, than int64) int64 {
		if at == 0 {
			return 0
		}
		return max(at, than)
	}
	return stages{
		Mixed:     later(s.Mixed, other.Mixed),
		InOven:    later(s.InOven, other.InOven),
		Baked:     later(s.Baked, other.Baked),
		OnDisplay: later(s.OnDisplay, other.OnDisplay),
	}
}

// expect returns, by order, the trays that are expected to fill what it lacks.
func expect(
	ctx context.Context, rdb redis.UniversalClient, records []record,
) (map[string][]trayRecord, error) {
	pipe := rdb.Pipeline()
	onTheWay := map[string]*redis.StringSliceCmd{}
	for _, r := range records {
		for _, item := range r.lacks() {
			if onTheWay[item.Cookie] == nil {
				onTheWay[item.Cookie] = pipe.ZRangeByLex(ctx, keyWay, &redis.ZRangeBy{
					Min:   "[" + item.Cookie + "|",
					Max:   "(" + item.Cookie + "}",
					Count: maxOnTheWay,
				})
			}
		}
	}
	if len(onTheWay) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("find the trays on the way: %w", err)
	}
	trays := map[string]*redis.SliceCmd{}
	for _, r := range records {
		var ids []string
		for _, item := range r.lacks() {
			members := onTheWay[item.Cookie].Val()
			ids = append(ids, expectedTrays(members, r.Upto, item.Quantity-item.Filled)...)
		}
		if len(ids) > 0 {
			trays[r.ID] = pipe.HMGet(ctx, keyTrays, ids...)
		}
	}
	if len(trays) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read the trays on the way: %w", err)
	}
	expected := map[string][]trayRecord{}
	for id, values := range trays {
		expected[id] = decodeTrays(values.Val())
	}
	return expected, nil
}

// lacks are the items of an open order that are not filled.
func (r record) lacks() []Item {
	if r.State != Baking {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Items), func(i Item) bool { return i.Filled >= i.Quantity })
}

// expectedTrays chooses from members of the index `way`, all of one cookie, the trays that fill an order.
// Orders are filled oldest first, so those are the last trays that were asked for when the order was placed:
// those up to the sequence number upto. Then come later ones, which replace trays that failed.
func expectedTrays(members []string, upto int64, missing int) []string {
	type tray struct {
		id   string
		seq  int64
		size int
	}
	var all []tray
	for _, m := range members {
		fields := strings.Split(m, "|")
		if len(fields) != 3 {
			continue
		}
		size, _ := strconv.Atoi(fields[1])
		seq, _ := strconv.ParseInt(strings.TrimPrefix(fields[2], "T"), 10, 64)
		all = append(all, tray{fields[2], seq, size})
	}
	slices.SortFunc(all, func(a, b tray) int { return cmp.Compare(a.seq, b.seq) })
	own := 0 // how many were asked for by then
	for own < len(all) && all[own].seq <= upto {
		own++
	}
	var ids []string
	for i := own - 1; i >= 0 && missing > 0 && len(ids) < maxExpected; i-- {
		ids, missing = append(ids, all[i].id), missing-all[i].size
	}
	slices.Reverse(ids)
	for i := own; i < len(all) && missing > 0 && len(ids) < maxExpected; i++ {
		ids, missing = append(ids, all[i].id), missing-all[i].size
	}
	return ids
}
