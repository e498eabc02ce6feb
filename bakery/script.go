package bakery

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"

	"github.com/hearthfaas/hearth/chain"
)

// The bakery's topics.
const (
	TopicBake  = "bakery.bake"  // a tray is asked for; the baker takes it
	TopicDough = "bakery.dough" // it is mixed; the oven takes it
	TopicBaked = "bakery.baked" // it is baked; the server takes it
	TopicReady = "bakery.ready" // an order is filled; the cashier takes it
)

// The bakery's keys. All have one tag, so one script may change any of them; another bakery is another tag.
const (
	keyFridge     = "{bakery}:fridge"      // ingredient -> grams
	keyTrays      = "{bakery}:trays"       // id -> record, of trays that have not ended
	keyOrders     = "{bakery}:orders"      // likewise
	keyPastTrays  = "{bakery}:trays:past"  // id -> record, of those that have ended
	keyPastOrders = "{bakery}:orders:past" // likewise
	keyTotals     = "{bakery}:totals"      // sums over what ended and what came in, and the sequence number
	keyRestocks   = "{bakery}:restocks"    // idempotency key -> digest
	keyWay        = "{bakery}:way"         // COOKIE|SIZE|TRAY of trays on the way to the display
	keyLine       = "{bakery}:line"        // tray -> sequence, of trays on the way to an oven
	keyRacks      = "{bakery}:racks"       // tray -> ms, of trays in an oven
	keyParked     = "{bakery}:parked"      // tray -> sequence, of trays that wait for ingredients
	keyDeadlines  = "{bakery}:deadlines"   // tray -> ms
	keyShelf      = "{bakery}:shelf"       // COOKIE|MS|TRAY of trays with pieces on display
	keyNeed       = "{bakery}:need"        // COOKIE|MISSING|ORDER of open orders
	keyWaiting    = "{bakery}:waiting"     // COOKIE|SEQUENCE|ORDER of open orders
	keyEnded      = "{bakery}:ended"       // o|ORDER, t|TRAY, r|RESTOCK -> ms at which it ended
	keySalt       = "{bakery}:salt"        // what order ids are derived with
	channelEnded  = "{bakery}:events"      // pub/sub: the ids of orders that end
)

//go:embed lua/*.lua
var luaFiles embed.FS

func luaFile(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(text)
}

func script(name string, emits ...string) *chain.Script { return scriptWith("", name, emits...) }

// scriptWith puts Lua before the script, which is how the tests let it fail.
func scriptWith(prefix, name string, emits ...string) *chain.Script {
	return chain.NewScript(name, prefix+luaFile("lib")+luaFile(name), []chain.Key{
		{Name: "fridge", Key: keyFridge, Type: "hash"},
		{Name: "trays", Key: keyTrays, Type: "hash"},
		{Name: "orders", Key: keyOrders, Type: "hash"},
		{Name: "past_trays", Key: keyPastTrays, Type: "hash"},
		{Name: "past_orders", Key: keyPastOrders, Type: "hash"},
		{Name: "totals", Key: keyTotals, Type: "hash"},
		{Name: "restocks", Key: keyRestocks, Type: "hash"},
		{Name: "way", Key: keyWay, Type: "zset"},
		{Name: "line", Key: keyLine, Type: "zset"},
		{Name: "racks", Key: keyRacks, Type: "zset"},
		{Name: "parked", Key: keyParked, Type: "zset"},
		{Name: "deadlines", Key: keyDeadlines, Type: "zset"},
		{Name: "shelf", Key: keyShelf, Type: "zset"},
		{Name: "need", Key: keyNeed, Type: "zset"},
		{Name: "waiting", Key: keyWaiting, Type: "zset"},
		{Name: "ended", Key: keyEnded, Type: "zset"},
		{Name: "events", Key: channelEnded, Type: "string"},
	}, emits...)
}

// All scripts but bake may write off a late tray and order another one, hence TopicBake. Scripts that may put
// pieces on display can complete orders, hence TopicReady.
var (
	placeScript   = script("place", TopicBake)
	cancelScript  = script("cancel", TopicBake, TopicReady).Drains()
	serveScript   = script("serve", TopicBake)
	mixScript     = script("mix", TopicBake, TopicDough, TopicReady)
	bakeScript    = script("bake").Drains()
	bakedScript   = script("baked", TopicBake, TopicBaked)
	displayScript = script("display", TopicBake, TopicReady)
	restockScript = script("restock", TopicBake)
	spoilScript   = script("spoil", TopicBake).Drains()
	tidyScript    = script("tidy", TopicBake).Drains()
)

// args are what every script is given besides its own.
type args struct {
	Patience int64 `json:"patience"` // ms
	Keep     int64 `json:"keep"`     // ms
}

func common(ctx context.Context) args {
	c := config(ctx)
	return args{Patience: c.Patience.Milliseconds(), Keep: c.Keep.Milliseconds()}
}

// apply runs a script that brings no message, and reads its reply.
func apply(ctx context.Context, s *chain.Script, args, reply any) error {
	rdb, err := chain.Redis(ctx)
	if err != nil {
		return err
	}
	got, err := chain.Commit{Script: s, Args: args}.Apply(ctx, rdb)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(got, reply); err != nil {
		return fmt.Errorf("read the reply of a script: %w", err)
	}
	return nil
}
