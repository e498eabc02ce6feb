package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/bakery"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/redis/go-redis/v9"
)

const (
	clients   = 48
	patient   = 6 * time.Second // how long a client waits for a response
	impatient = 80 * ms         // how long some clients wait

	mostRestocked = 10_000 // trays at once
)

// A load is the clients of a world.
type load struct {
	w        *world
	b        *book
	cookies  []string
	http     *http.Client
	callback string       // URL
	server   *http.Server // of callbacks
	clients  sync.WaitGroup
}

func newLoad(ctx context.Context, w *world, b *book) (*load, error) {
	l := &load{w: w, b: b, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
	var menu bakery.Menu
	if err := w.command(ctx, w.hearths[0], &menu, "bakery", "menu"); err != nil {
		return nil, err
	}
	for _, c := range menu.Bakes {
		l.cookies = append(l.cookies, c.Name)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.callback = "http://" + listener.Addr().String()
	l.server = &http.Server{Handler: http.HandlerFunc(l.called), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = l.server.Serve(listener) }()
	return l, nil
}

func (l *load) close() { _ = l.server.Close() }

// called receives a callback.
func (l *load) called(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	status, _ := strconv.Atoi(r.Header.Get("X-Function-Status"))
	if status < 200 || status > 299 {
		return // of the last attempt; another follows after a redrive
	}
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.b.callbacks[r.Header.Get(wire.HeaderCallID)]++
}

// begin lets the clients make calls until asking ends, and finish them until ctx ends.
func (l *load) begin(ctx, asking context.Context) {
	for i := range clients {
		r := rand.New(rand.NewPCG(l.w.cfg.Seed, 1000+uint64(i)))
		l.clients.Go(func() {
			for {
				wait(asking, time.Duration(r.ExpFloat64()*clients/l.w.cfg.Rate*float64(time.Second)))
				if asking.Err() != nil {
					return
				}
				l.ask(ctx, r)
			}
		})
	}
}

// ask makes a random call.
func (l *load) ask(ctx context.Context, r *rand.Rand) {
	switch p := upTo(r, 100); {
	case p < 25:
		l.order(ctx, r, l.b.open(order))
	case p < 45:
		l.order(ctx, r, l.b.open(asyncOrder))
	case p < 65:
		l.probe(ctx, r, l.b.open(once))
	case p < 73:
		l.probe(ctx, r, l.b.open(keyed))
	case p < 79:
		l.probe(ctx, r, l.b.open(identified))
	case p < 84:
		l.probe(ctx, r, l.b.open(delayed))
	case p < 87:
		l.withdraw(ctx, r, l.b.open(withdrawn))
	case p < 97:
		l.message(ctx, l.b.open(message))
	default:
		l.restock(ctx, fmt.Sprint("restock ", r.Uint64()), 1+upTo(r, 3))
	}
}

// order orders cookies until there is a response, and sometimes cancels.
func (l *load) order(ctx context.Context, r *rand.Rand, c *call) {
	type item struct {
		Cookie   string `json:"cookie"`
		Quantity int    `json:"quantity"`
	}
	items := []item{{l.cookies[upTo(r, len(l.cookies))], 1 + upTo(r, 30)}}
	if upTo(r, 3) == 0 {
		items = append(items, item{l.cookies[upTo(r, len(l.cookies))], 1 + upTo(r, 10)})
	}
	body, _ := json.Marshal(map[string]any{"customer": fmt.Sprint("customer ", c.N), "items": items})
	c.body = string(body)
	path := "/function/cashier"
	if c.Kind == asyncOrder {
		path = "/async-function/cashier"
		c.Callback = upTo(r, 2) == 0
	} else if upTo(r, 3) == 0 {
		path += "?wait=500ms"
	}
	wantsCancel := upTo(r, 20) == 0
	answer := l.until(ctx, r, c, path, http.Header{"Idempotency-Key": {l.key(c)}})
	if answer == nil || c.Kind == asyncOrder {
		return
	}
	var o bakery.Order
	if err := json.Unmarshal(answer.body, &o); err != nil || o.ID == "" {
		l.b.fault("%v was answered with %d, and no order: %s", c, answer.status, answer.body)
		return
	}
	l.b.mu.Lock()
	c.Order = o.ID
	l.b.mu.Unlock()
	if wantsCancel {
		l.cancel(ctx, r, c)
	}
}

// key is a call's Idempotency-Key.
func (l *load) key(c *call) string { return fmt.Sprintf("chaos %d", c.N) }

// cancel cancels an order until there is a response.
func (l *load) cancel(ctx context.Context, r *rand.Rand, c *call) {
	c.Cancel = true
	for ctx.Err() == nil {
		a, err := l.send(ctx, patient, http.MethodDelete,
			l.pick(r)+"/function/cashier?order="+c.Order, "", nil)
		switch {
		case err != nil || a.again():
			wait(ctx, 50*ms+upTo(r, 200*ms))
			continue
		case a.status != http.StatusOK && a.status != http.StatusConflict:
			l.b.fault("cancelling %v was answered with %d: %s", c, a.status, a.body)
		}
		return
	}
}

// probe calls the probe, once or until there is a response.
func (l *load) probe(ctx context.Context, r *rand.Rand, c *call) {
	c.body, c.Callback = strconv.Itoa(c.N), upTo(r, 3) == 0
	const path = "/async-function/probe"
	header := http.Header{}
	switch c.Kind {
	case keyed:
		header.Set("Idempotency-Key", l.key(c))
	case delayed, withdrawn:
		header.Set("Idempotency-Key", l.key(c))
		delay := 200*ms + upTo(r, 6*time.Second)
		c.NotUntil = time.Now().Add(delay)
		header.Set("X-Delay", delay.String())
		c.Callback = c.Callback && c.Kind == delayed
	case identified:
		header.Set("Idempotency-Key", l.key(c))
		header.Set(wire.HeaderCallID, fmt.Sprintf("chaos-%d", l.w.cfg.Seed))
		c.Callback = false // the shared call id would not identify the call
	default:
		if c.Callback {
			header.Set("X-Callback-Url", l.callback)
		}
		c.Tries = 1
		a, err := l.send(ctx, patience(r), http.MethodPost, l.pick(r)+path, c.body, header)
		switch {
		case err != nil:
			l.b.close(c, unknown, err.Error())
		case a.status == http.StatusAccepted:
			c.CallID = a.header.Get(wire.HeaderCallID)
			l.b.close(c, accepted, "")
		case a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests ||
			a.status == http.StatusNotFound && a.again():
			l.b.close(c, refused, string(a.body))
		default:
			l.b.close(c, unknown, string(a.body))
			l.b.fault("%v was answered with %d", c, a.status)
		}
		return
	}
	l.until(ctx, r, c, path, header)
}

// withdraw makes a delayed call of the probe and cancels it, as an operator does.
func (l *load) withdraw(ctx context.Context, r *rand.Rand, c *call) {
	l.probe(ctx, r, c)
	if c.Outcome != accepted {
		return
	}
	wait(ctx, upTo(r, time.Second))
	c.Cancel = true
	for ctx.Err() == nil && time.Now().Before(c.NotUntil) {
		var out struct{ Cancelled int }
		n := l.w.hearths[upTo(r, len(l.w.hearths))]
		if err := l.w.system(ctx, n, http.MethodDelete, "/async-function/"+c.CallID+"?function=probe", nil,
			&out); err != nil {
			// or no such call, if a cancellation whose response was lost has worked
			wait(ctx, 50*ms+upTo(r, 200*ms))
			continue
		}
		if time.Now().Before(c.NotUntil) && out.Cancelled == 1 {
			l.b.close(c, taken, "")
		} else if out.Cancelled != 1 {
			l.b.fault("%v was cancelled %d times", c, out.Cancelled)
		}
		return
	}
}

// until repeats a request until there is a response, and returns it. It is nil if none came.
func (l *load) until(ctx context.Context, r *rand.Rand, c *call, path string, header http.Header) *answer {
	if c.Callback {
		header.Set("X-Callback-Url", l.callback)
	}
	for ctx.Err() == nil {
		c.Tries++
		a, err := l.send(ctx, patience(r), http.MethodPost, l.pick(r)+path, c.body, header)
		switch {
		case err != nil:
			l.b.close(c, unknown, err.Error())
		case a.status == http.StatusOK || a.status == http.StatusAccepted:
			if c.Kind != order {
				c.CallID = a.header.Get(wire.HeaderCallID)
			}
			l.b.close(c, accepted, "")
			return a
		case a.again():
			l.b.close(c, unknown, string(a.body))
		default:
			l.b.close(c, refused, string(a.body))
			l.b.fault("%v was answered with %d", c, a.status)
			return nil
		}
		wait(ctx, 20*ms+upTo(r, min(time.Second, 100*ms<<min(c.Tries, 4))))
	}
	return nil
}

// again reports whether a client retries after this response. A missing function is deployed again soon.
func (a *answer) again() bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotFound:
		return bytes.Contains(a.body, []byte("no function"))
	}
	return a.status >= http.StatusInternalServerError
}

func patience(r *rand.Rand) time.Duration {
	if upTo(r, 15) == 0 {
		return impatient
	}
	return patient
}

// message sends a message to a topic once.
func (l *load) message(ctx context.Context, c *call) {
	c.body, c.Tries = strconv.Itoa(c.N), 1
	body, _ := json.Marshal(map[string]string{"n": c.body})
	stream, _ := wire.Stream("chaos.work")
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	id, err := l.w.rdb.XAdd(ctx, &redis.XAddArgs{Stream: stream,
		Values: []any{wire.FieldBody, body}}).Result()
	switch {
	case err == nil:
		c.CallID = id
		l.b.close(c, accepted, "")
	case strings.HasPrefix(err.Error(), "OOM"):
		l.b.close(c, refused, err.Error())
	default:
		l.b.close(c, unknown, err.Error())
	}
}

// restock restocks the fridge for some trays of one cookie, until there is a response.
func (l *load) restock(ctx context.Context, key string, trays int) {
	amounts := map[string]int{}
	menu, _ := bakery.ReadMenu("")
	for name, grams := range menu.Stock(trays) {
		amounts[name] = grams
	}
	body, _ := json.Marshal(map[string]any{"ingredients": amounts})
	r := rand.New(rand.NewPCG(l.w.cfg.Seed, uint64(len(key))))
	for ctx.Err() == nil {
		a, err := l.send(ctx, patient, http.MethodPost, l.pick(r)+"/function/baker?view=fridge", string(body),
			http.Header{"Idempotency-Key": {key}, "Authorization": {"Bearer " + l.w.manager}})
		if err != nil || a.again() {
			wait(ctx, 50*ms+upTo(r, 200*ms))
			continue
		}
		if a.status != http.StatusOK {
			l.b.fault("%s was answered with %d: %s", key, a.status, a.body)
			return
		}
		l.b.mu.Lock()
		for name, grams := range amounts {
			l.b.restocked[name] += grams
		}
		l.b.mu.Unlock()
		return
	}
	l.b.note("%s was never answered", key)
}

// pick returns the URL of a random instance.
func (l *load) pick(r *rand.Rand) string { return l.w.hearths[upTo(r, len(l.w.hearths))].url }

// An answer is a complete response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (l *load) send(ctx context.Context, patience time.Duration, method, url, body string,
	header http.Header) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.GetBody = nil // send it once, whatever happens to the connection
	res, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &answer{res.StatusCode, res.Header, text}, nil
}
