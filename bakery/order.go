package bakery

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/redis/go-redis/v9"
)

// The states of an order.
const (
	Baking    = "baking"
	ReadyTo   = "ready" // filled, and on its way to the customer
	Served    = "served"
	Cancelled = "cancelled"
	Refused   = "refused"
)

// An Order is what a customer is told about an order.
type Order struct {
	ID         string `json:"id"`
	Customer   string `json:"customer"`
	State      string `json:"state"`
	Reason     string `json:"reason,omitempty"` // why it was cancelled or refused
	Items      []Item `json:"items"`
	PriceCents int    `json:"price_cents"`

	// ETASeconds is the estimated time until the order is served. It is null while the order waits for
	// somebody to restock the fridge, and absent once the order has ended.
	ETASeconds *ETA     `json:"eta_seconds,omitempty"`
	Timeline   Timeline `json:"timeline"`
	Trays      []Part   `json:"trays"` // the trays that its cookies came from

	// WaitsFor are the trays that are expected to fill what the order lacks. Only Track sets it.
	WaitsFor []Coming `json:"waits_for,omitempty"`
}

// ETA is a number of seconds, or unknown.
type ETA struct {
	Seconds int
	Unknown bool
}

// MarshalJSON writes the number, or null.
func (e ETA) MarshalJSON() ([]byte, error) {
	if e.Unknown {
		return []byte("null"), nil
	}
	return json.Marshal(e.Seconds)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *ETA) UnmarshalJSON(data []byte) error {
	if e.Unknown = string(data) == "null"; e.Unknown {
		return nil
	}
	return json.Unmarshal(data, &e.Seconds)
}

// An Item is one line of an order.
type Item struct {
	Cookie   string `json:"cookie"`
	Quantity int    `json:"quantity"`
	Filled   int    `json:"filled"` // pieces that are reserved for it, or handed over
}

// A Part of an order came from one tray.
type Part struct {
	Tray   string `json:"tray"`
	Cookie string `json:"cookie"`
	Pieces int    `json:"pieces"`
}

// A Timeline says when an order reached each stage: for a stage of baking, when the last of its trays did.
type Timeline struct {
	Ordered   *time.Time `json:"ordered,omitempty"`
	Mixed     *time.Time `json:"mixed,omitempty"`
	InOven    *time.Time `json:"in_oven,omitempty"`
	Baked     *time.Time `json:"baked,omitempty"`
	OnDisplay *time.Time `json:"on_display,omitempty"`
	Served    *time.Time `json:"served,omitempty"`
	Ended     *time.Time `json:"ended,omitempty"` // cancelled or refused
}

// record is an order in Redis; lua/place.lua makes it. Times are in ms since 1970, 0 for not yet.
type record struct {
	ID       string   `json:"id"`
	Customer string   `json:"customer"`
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	Items    []Item   `json:"items"`
	Price    int      `json:"price"`
	Seq      int64    `json:"seq"`
	Upto     int64    `json:"upto"` // the last tray that was asked for when it was placed
	Asked    []string `json:"asked"`
	Trays    []Part   `json:"trays"`
	stages
	Ordered int64 `json:"ordered"`
	Served  int64 `json:"served"`
	Ended   int64 `json:"ended"`
}

// stages are when a tray, or an order's last one, got there.
type stages struct {
	Mixed     int64 `json:"mixed"`
	InOven    int64 `json:"in_oven"`
	Baked     int64 `json:"baked"`
	OnDisplay int64 `json:"on_display"`
}

// The ways in which an order can be turned away. Nothing was done.
var (
	ErrConflict = errors.New("the Idempotency-Key was used for another order")
	ErrBusy     = errors.New("the bakery owes too many trays already")
	ErrNoOrder  = errors.New("there is no such order")
)

// Place takes an order: what is on display is reserved, what is missing is asked for. If everything is on
// display it is served at once. The same key places the same order, however often; with another content it is
// ErrConflict.
func Place(ctx context.Context, r OrderRequest, key Key) (Order, error) {
	c := config(ctx)
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return Order{}, err
	}
	digest := r.digest()
	id, err := key.orderID(ctx, rdb, digest)
	if err != nil {
		return Order{}, err
	}
	type item struct {
		Item
		Tray int `json:"tray"`
	}
	place := struct {
		args
		ID       string `json:"id"`
		Digest   string `json:"digest"`
		Customer string `json:"customer"`
		Price    int    `json:"price"`
		Items    []item `json:"items"`
		Limit    int    `json:"limit"`
	}{args: common(ctx), ID: id, Digest: digest, Customer: r.Customer, Limit: c.TrayLimit}
	for _, i := range r.Items {
		recipe, _ := c.Menu.Find(i.Cookie)
		place.Price += recipe.PriceCents * i.Quantity
		place.Items = append(place.Items, item{Item{Cookie: i.Cookie, Quantity: i.Quantity}, recipe.Tray})
	}
	var reply struct {
		Conflict, Busy bool
		Order          record
		Line, Racks    int
	}
	if err := apply(ctx, placeScript, place, &reply); err != nil {
		return Order{}, err
	}
	switch {
	case reply.Conflict:
		return Order{}, ErrConflict
	case reply.Busy:
		return Order{}, ErrBusy
	}
	o := reply.Order.view()
	if o.State == Baking {
		o.ETASeconds = c.eta(reply.Order, reply.Line, reply.Racks)
	}
	return o, nil
}

// Find looks orders up by their ids, in the same order. An order that does not exist, or ended longer ago
// than the bakery keeps them, is left out.
func Find(ctx context.Context, ids ...string) ([]Order, error) {
	rdb, err := chain.Redis(ctx)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	found, err := find(ctx, rdb, ids)
	if err != nil {
		return nil, err
	}
	return found.progress(ctx, rdb)
}

// found are the records of orders, and what else their progress depends on.
type found struct {
	records []record
	racks   int       // trays in an oven
	parked  []redis.Z // trays that wait for ingredients, the first ones
	now     int64     // Redis's clock, ms
}

func find(ctx context.Context, rdb redis.UniversalClient, ids []string) (found, error) {
	pipe := rdb.Pipeline()
	open, past := pipe.HMGet(ctx, keyOrders, ids...), pipe.HMGet(ctx, keyPastOrders, ids...)
	racks := pipe.ZCard(ctx, keyRacks)
	parked := pipe.ZRangeWithScores(ctx, keyParked, 0, 99)
	due, clock := pipe.ZRangeWithScores(ctx, keyDeadlines, 0, 0), pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return found{}, fmt.Errorf("find orders: %w", err)
	}
	if late := due.Val(); len(late) > 0 && int64(late[0].Score) <= clock.Val().UnixMilli() {
		if err := tidy(ctx); err != nil {
			return found{}, err
		}
	}
	f := found{racks: int(racks.Val()), parked: parked.Val(), now: clock.Val().UnixMilli()}
	for i := range ids {
		text, ok := open.Val()[i].(string)
		if !ok {
			text, ok = past.Val()[i].(string)
		}
		if !ok {
			continue
		}
		var r record
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return found{}, fmt.Errorf("read order %s: %w", ids[i], err)
		}
		f.records = append(f.records, r)
	}
	return f, nil
}

// tidy writes off trays that are late. Every script does, but where nothing happens none runs, and somebody
// may wait.
func tidy(ctx context.Context) error {
	var nothing struct{}
	return apply(ctx, tidyScript, common(ctx), &nothing)
}

// progress adds to open orders how far their trays are, and when they will be served.
func (f found) progress(ctx context.Context, rdb redis.UniversalClient) ([]Order, error) {
	records, racks, parked := f.records, f.racks, f.parked
	pipe := rdb.Pipeline()
	lines, trays := make([]*redis.IntCmd, len(records)), make([]*redis.SliceCmd, len(records))
	var short *redis.SliceCmd
	for i, r := range records {
		if r.State != Baking {
			continue
		}
		lines[i] = pipe.ZCount(ctx, keyLine, "-inf", fmt.Sprint(r.Upto))
		if len(r.Asked) > 0 {
			trays[i] = pipe.HMGet(ctx, keyTrays, r.Asked...)
		}
	}
	if len(parked) > 0 {
		ids := make([]string, len(parked))
		for i, z := range parked {
			ids[i] = z.Member.(string)
		}
		short = pipe.HMGet(ctx, keyTrays, ids...)
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("find the trays of orders: %w", err)
		}
	}
	waitsForRestock := map[string]bool{}
	if short != nil {
		for _, t := range decodeTrays(short.Val()) {
			waitsForRestock[t.Cookie] = true
		}
	}
	orders := make([]Order, len(records))
	for i, r := range records {
		if trays[i] != nil && len(r.Trays) == 0 {
			r.stages = slowest(decodeTrays(trays[i].Val()), len(r.Asked))
		}
		orders[i] = r.view()
		if lines[i] == nil {
			continue
		}
		orders[i].ETASeconds = config(ctx).eta(r, int(lines[i].Val()), racks)
		for _, item := range r.Items {
			if item.Filled < item.Quantity && waitsForRestock[item.Cookie] {
				orders[i].ETASeconds = &ETA{Unknown: true}
			}
		}
	}
	return orders, nil
}

// slowest is when the last of n trays got to each stage, and 0 for stages that not all have reached.
func slowest(trays []trayRecord, n int) stages {
	var s stages
	if len(trays) < n {
		return s
	}
	for _, stage := range [...]struct {
		at func(*stages) *int64
	}{
		{func(s *stages) *int64 { return &s.Mixed }}, {func(s *stages) *int64 { return &s.InOven }},
		{func(s *stages) *int64 { return &s.Baked }}, {func(s *stages) *int64 { return &s.OnDisplay }},
	} {
		last := int64(0)
		for i := range trays {
			at := *stage.at(&trays[i].stages)
			if at == 0 {
				return s
			}
			last = max(last, at)
		}
		*stage.at(&s) = last
	}
	return s
}

// eta estimates when an order will be served. What is still to bake for it, and the trays that are before it
// in the line, are spread over as many racks as are in use now, and at least the four of one oven; the last
// tray takes its own time.
func (c *Config) eta(r record, line, racks int) *ETA {
	var work, longest time.Duration
	own := 0
	for _, item := range r.Items {
		recipe, ok := c.Menu.Find(item.Cookie)
		if !ok || item.Filled >= item.Quantity {
			continue
		}
		trays := (item.Quantity - item.Filled + recipe.Tray - 1) / recipe.Tray
		own += trays
		work += time.Duration(trays) * c.BakeTime(recipe)
		longest = max(longest, c.BakeTime(recipe))
	}
	const racksOfOneOven = 4
	at := time.Duration(max(racks, racksOfOneOven))
	work += time.Duration(max(0, line-own)) * c.onClock(c.Menu.mean())
	wait := (work + (at-1)*longest) / at
	return &ETA{Seconds: max(1, int((wait+time.Second-1)/time.Second))}
}

// view is the order as its customer sees it.
func (r record) view() Order {
	at := func(ms int64) *time.Time {
		if ms == 0 {
			return nil
		}
		t := time.UnixMilli(ms).UTC()
		return &t
	}
	o := Order{
		ID:         r.ID,
		Customer:   r.Customer,
		State:      r.State,
		Reason:     r.Reason,
		Items:      r.Items,
		PriceCents: r.Price,
		Trays:      r.Trays,
		Timeline: Timeline{
			Ordered:   at(r.Ordered),
			Mixed:     at(r.Mixed),
			InOven:    at(r.InOven),
			Baked:     at(r.Baked),
			OnDisplay: at(r.OnDisplay),
			Served:    at(r.Served),
		},
	}
	if o.Trays == nil {
		o.Trays = []Part{}
	}
	if r.State == Cancelled || r.State == Refused {
		o.Timeline.Ended = at(r.Ended)
	}
	return o
}

// Ready is a message of bakery.ready: an order is filled.
type Ready struct {
	Order string `json:"order"`
}

type orderArgs struct {
	args
	Order  string `json:"order"`
	Reason string `json:"reason,omitempty"`
}

// HandedOver is the commit of the cashier: the customer has the cookies.
func HandedOver(ctx context.Context, r Ready) chain.Commit {
	return chain.Commit{Script: serveScript, Args: orderArgs{args: common(ctx), Order: r.Order}}
}

// Cancel ends an order that is not filled yet; what was reserved for it goes to the next. It returns the
// order's state now, and whether this call cancelled it. It returns ErrNoOrder if there is no such order.
func Cancel(ctx context.Context, id string) (state string, cancelled bool, err error) {
	var reply struct {
		State     string `json:"state"`
		Cancelled bool   `json:"cancelled"`
	}
	args := orderArgs{common(ctx), id, "cancelled by the customer"}
	if err := apply(ctx, cancelScript, args, &reply); err != nil {
		return "", false, err
	}
	if reply.State == "" {
		return "", false, ErrNoOrder
	}
	return reply.State, reply.Cancelled, nil
}

// A Key is what tells one order from another when a call is repeated.
type Key struct {
	Idempotency string // the caller's Idempotency-Key
	CallID      string // else the gateway's X-Call-Id
}

// orderID derives an order's id from its key, so that a repeated call finds the order it placed. A salt that
// only the bakery knows keeps ids from being guessed. A call id counts only together with what is ordered;
// without any key the id is random.
func (k Key) orderID(ctx context.Context, rdb redis.UniversalClient, digest string) (string, error) {
	seed := ""
	switch {
	case k.Idempotency != "":
		seed = "key\x00" + k.Idempotency
	case k.CallID != "":
		seed = "call\x00" + k.CallID + "\x00" + digest
	default:
		seed = "random\x00" + rand.Text()
	}
	salt, err := saltOf(ctx, rdb)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(salt))
	mac.Write([]byte(seed))
	id := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:15])
	return strings.ToLower(id), nil
}

// digest tells the content of one order from another's.
func (r OrderRequest) digest() string {
	text, _ := json.Marshal(r) // strings and numbers always encode
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
