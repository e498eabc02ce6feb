package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain/wire"
)

// A depth is a queue in the output of hearth queues.
type depth struct {
	Queue                               string
	Waiting, Leased, Due, Delayed, Dead int
}

// ownCrash matches the Go runtime's message of a crash. In the middle of a line it is a function's crash,
// which Hearth logs as the reason for a restart.
var ownCrash = regexp.MustCompile(`(?m)^(panic:|fatal error:|WARNING: DATA RACE)`)

// untilSettled waits until nothing is in flight, and redrives dead letters.
// Everything else must settle by itself.
func (w *world) untilSettled(ctx context.Context, say func(string)) error {
	var err error
	for ctx.Err() == nil {
		var busy string
		if busy, err = w.underWay(ctx); err == nil && busy == "" {
			return nil
		}
		if err != nil {
			busy = err.Error()
		}
		say(busy)
		wait(ctx, 200*ms)
		err = errors.New(busy)
	}
	return fmt.Errorf("it does not settle: %w", err)
}

// underWay describes what is unfinished, or is "".
func (w *world) underWay(ctx context.Context) (string, error) {
	n := w.hearths[0]
	var queues []depth
	if err := w.command(ctx, n, &queues, "hearth", "queues"); err != nil {
		return "", err
	}
	var busy []string
	for _, q := range queues {
		if q.Dead > 0 {
			if err := w.redrive(ctx, n); err != nil {
				return "", err
			}
		}
		if q.Waiting+q.Leased+q.Due+q.Delayed+q.Dead > 0 {
			busy = append(busy, fmt.Sprintf("%s: %d queued, %d in flight, %d retrying, %d dead",
				q.Queue, q.Waiting,
				q.Leased, q.Due, q.Dead))
		}
	}
	if len(busy) > 0 {
		return strings.Join(busy, "; "), nil
	}
	var a bakery.Audit
	// it fails if the books do not balance, which is checked later
	_ = w.command(ctx, n, &a, "bakery", "audit")
	if a.Orders.Placed == 0 {
		return "the cashier does not answer", nil
	}
	if a.Orders.Open > 0 {
		return fmt.Sprintf("%d orders are open although the queues are empty; trays: %v",
			a.Orders.Open, a.Trays), nil
	}
	return "", nil
}

// check checks everything after it has settled, and records violations in the book.
func (w *world) check(ctx context.Context, l *load) {
	w.readProbe()
	w.readEffects(ctx)
	w.readBakery(ctx, l)
	w.readRemains(ctx)
	for _, c := range w.b.calls {
		w.b.check(c)
	}
	for _, s := range append([]*server{w.redis, w.proxy}, w.hearthServers()...) {
		text := s.output()
		if at := ownCrash.FindStringIndex(text); at != nil {
			w.b.fault("%s said: %s", s.name, text[at[0]:min(len(text), at[0]+4000)])
		}
		for _, f := range s.failures {
			w.b.note("%s ended unexpectedly and was restarted: %s", s.name, f)
		}
	}
}

func (w *world) hearthServers() (all []*server) {
	for _, n := range w.hearths {
		all = append(all, n.server)
	}
	return all
}

// readProbe reads the probe's records of calls.
func (w *world) readProbe() {
	f, err := os.Open(filepath.Join(w.funcDir(), "executions"))
	if err != nil {
		w.b.fault("the probe has no records: %v", err)
		return
	}
	defer func() { _ = f.Close() }()
	byMessage := map[string]*call{} // by the entry's id
	for _, c := range w.b.calls {
		if c.Kind == message && c.CallID != "" {
			byMessage[c.CallID] = c
		}
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// event, time, "call" or the topic, n or the entry, attempt, call id
		v := strings.Fields(lines.Text())
		if len(v) < 5 {
			w.b.fault("the probe wrote %q", lines.Text())
			continue
		}
		at, _ := strconv.ParseInt(v[1], 10, 64)
		var c *call
		if v[2] == "call" {
			n, err := strconv.Atoi(v[3])
			if err != nil || n >= len(w.b.calls) || len(v) != 6 {
				w.b.fault("the probe wrote %q", lines.Text())
				continue
			}
			c = w.b.calls[n]
			if c.CallIDs == nil {
				c.CallIDs = map[string]bool{}
			}
			c.CallIDs[v[5]] = true
			if v[0] == "done" {
				c.Doings++
				if c.Done.IsZero() {
					c.Done = time.UnixMilli(at)
				}
			}
		} else if c = byMessage[v[3]]; c == nil || v[2] != "chaos.work" {
			continue
		}
		if v[0] == "begin" {
			c.Begun++
			if c.First.IsZero() {
				c.First = time.UnixMilli(at)
			}
		}
	}
}

// readEffects counts the effects of each message.
func (w *world) readEffects(ctx context.Context) {
	read := func(name string) map[string]string {
		all, err := w.rdb.HGetAll(ctx, "{chaos}:"+name).Result()
		if err != nil {
			w.b.fault("cannot read the effects: %v", err)
		}
		return all
	}
	worked, done, when := read("worked"), read("done"), read("when")
	for _, c := range w.b.calls {
		if c.Kind != message {
			continue
		}
		first, _ := strconv.Atoi(worked[c.body])
		c.Doings, _ = strconv.Atoi(done[c.body])
		if first != c.Doings {
			w.b.fault("%v had its first effect %d times and its second %d times", c, first, c.Doings)
		}
		if at, _ := strconv.ParseInt(when[c.body], 10, 64); at > 0 {
			c.Done = time.UnixMilli(at)
		}
	}
}

// readBakery repeats each order, which must return the same order, ended. There must be no more orders than
// were accepted, and the books must balance with what was restocked.
func (w *world) readBakery(ctx context.Context, l *load) {
	var before, after bakery.Audit
	if err := w.command(ctx, w.hearths[0], &before, "bakery", "audit"); err != nil {
		w.b.fault("the audit: %v; %v", err, before.Differences)
	}
	asked, ids := 0, map[string]int{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	work := make(chan *call)
	for i := range 16 {
		r := rand.New(rand.NewPCG(uint64(i), 0))
		asking.Go(func() {
			for c := range work {
				was := c.Order
				a := l.again(ctx, r, c)
				if a == nil {
					w.b.fault("%v got no response when repeated", c)
					continue
				}
				var o bakery.Order
				_ = json.Unmarshal(a.body, &o)
				mu.Lock()
				other, twice := ids[o.ID]
				ids[o.ID] = c.N
				mu.Unlock()
				switch {
				case a.status != http.StatusOK || (o.State != bakery.Served && o.State != bakery.Cancelled):
					w.b.fault("%v, repeated, got %d: %s", c, a.status, a.body)
				case was != "" && was != o.ID:
					w.b.fault("%v, repeated, is another order: %s", c, o.ID)
				case twice:
					w.b.fault("%v is the same order as %d", c, other)
				case o.State == bakery.Cancelled && !c.Cancel:
					w.b.fault("%v is cancelled, but nobody cancelled it: %s", c, a.body)
				case o.Customer != fmt.Sprint("customer ", c.N):
					w.b.fault("%v is the order of %q", c, o.Customer)
				}
				c.Order, c.Doings = o.ID, 1
				if at := o.Timeline.Served; at != nil {
					c.Done = *at
				} else if at := o.Timeline.Ended; at != nil {
					c.Done = *at
				}
			}
		})
	}
	for _, c := range w.b.calls {
		if (c.Kind == order || c.Kind == asyncOrder) && c.Outcome == accepted {
			asked++
			work <- c
		}
	}
	close(work)
	asking.Wait()
	if err := w.command(ctx, w.hearths[0], &after, "bakery", "audit"); err != nil {
		w.b.fault("audit after repeating all orders: %v; %v", err, after.Differences)
	}
	unanswered := 0
	for _, c := range w.b.calls {
		if (c.Kind == order || c.Kind == asyncOrder) && c.Outcome == unknown {
			unanswered++
		}
	}
	if after.Orders.Placed != before.Orders.Placed {
		w.b.fault("%d orders were accepted and not there: there were %d, and %d once they were asked for "+
			"again",
			after.Orders.Placed-before.Orders.Placed, before.Orders.Placed, after.Orders.Placed)
	}
	if extra := after.Orders.Placed - asked; extra < 0 || extra > unanswered {
		w.b.fault("there are %d orders, and %d were accepted (%d got no answer)", after.Orders.Placed,
			asked, unanswered)
	}
	for _, balance := range after.Ingredients {
		if want := w.b.restocked[balance.Ingredient]; balance.Restocked != want {
			w.b.fault("%d g of %s were restocked, but the books have %d", want, balance.Ingredient,
				balance.Restocked)
		}
	}
}

// again repeats an order with its key.
func (l *load) again(ctx context.Context, r *rand.Rand, c *call) *answer {
	for ctx.Err() == nil {
		a, err := l.send(ctx, patient, http.MethodPost, l.pick(r)+"/function/cashier", c.body,
			http.Header{"Idempotency-Key": {l.key(c)}})
		if err == nil && !a.again() {
			return a
		}
		wait(ctx, 50*ms)
	}
	return nil
}

// readRemains checks what the queues left in Redis: only empty streams are allowed.
func (w *world) readRemains(ctx context.Context) {
	subs, err := w.rdb.HKeys(ctx, "{hearth}:subscriptions").Result()
	if err != nil || len(subs) == 0 {
		w.b.fault("cannot read the subscriptions: %v", err)
	}
	for _, text := range subs {
		stream, group, _ := strings.Cut(text, " ")
		keys := wire.Subscription{Stream: stream, Group: group}.Keys()
		n, err := w.rdb.XLen(ctx, keys[0]).Result()
		left, e := w.rdb.Exists(ctx, keys[1:]...).Result()
		if strings.HasSuffix(stream, ".calls") {
			bytes, _ := w.rdb.Exists(ctx, stream+":bytes").Result()
			left += bytes
		}
		if n != 0 || left != 0 || errors.Join(err, e) != nil {
			w.b.fault("the idle queue %s left %d entries and %d keys: %v", text,
				n, left, errors.Join(err, e))
		}
	}
}

// check checks one call.
func (b *book) check(c *call) {
	c.Callbacks = b.callbacks[c.CallID]
	isOrder := c.Kind == order || c.Kind == asyncOrder
	if len(c.CallIDs) > 1 {
		b.fault("%v was queued %d times: %v", c, len(c.CallIDs), slices.Sorted(maps.Keys(c.CallIDs)))
	}
	switch {
	// perhaps cancelled, and the response was lost
	case c.Outcome == accepted && c.Doings == 0 && !(c.Kind == withdrawn && c.Cancel):
		b.fault("LOST: %v", c)
	case !c.First.IsZero() && c.First.Before(c.NotUntil.Truncate(ms)):
		b.fault("%v ran too early: due at %s, ran at %s", c, c.NotUntil.Format("15:04:05.000"),
			c.First.Format("15:04:05.000"))
	case c.Outcome == taken && c.Begun > 0:
		b.fault("%v was cancelled before it was due, but ran at %s", c,
			c.First.Format("15:04:05.000"))
	case c.Kind == message && c.Doings > 1:
		b.fault("DOUBLED: %v had its effect %d times", c, c.Doings)
	case c.Outcome == refused && c.Begun+c.Doings > 0 && !broken(b.happened, c.Asked, c.Answered):
		b.fault("%v was refused, but ran", c)
	}
	if c.Outcome == accepted && c.Callback && c.Callbacks == 0 && (c.Doings > 0 || isOrder) {
		b.fault("NO CALLBACK: %v", c)
	}
}
