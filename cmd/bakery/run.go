package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/bakery"
)

const (
	lookEvery    = 200 * time.Millisecond // how often open orders are read
	lookAt       = 90                     // orders in one request; the cashier allows 100
	restockBelow = 40                     // trays of every cookie; restock if the fridge has less
	restockFor   = 200
	senders      = 256 // concurrent requests
)

// run is a replay in progress.
type run struct {
	c        *counter
	cfg      replayConfig
	menu     bakery.Menu
	id       string
	arrivals []arrival
	callback string
	stop     func()
	before   bakery.Audit
	skew     time.Duration // Redis's clock minus ours
	heard    atomic.Bool   // a callback arrived

	mu      sync.Mutex
	placed  []*placed          // by arrival
	byOrder map[string]*placed // those with a known id
	began   time.Time
}

// placed is an order of the replay.
type placed struct {
	index   int
	due     time.Time // arrival
	order   string
	state   string
	refusal string
	wait    time.Duration // from arrival to served
}

func newRun(ctx context.Context, c *counter, cfg replayConfig, arrivals []arrival,
	menu bakery.Menu) (*run, error) {
	r := &run{
		c:        c,
		cfg:      cfg,
		menu:     menu,
		id:       rand.Text()[:8],
		arrivals: arrivals,
		byOrder:  map[string]*placed{},
	}
	for i := range arrivals {
		r.placed = append(r.placed, &placed{index: i})
	}
	var err error
	if r.before, err = c.audit(ctx); err != nil {
		return nil, err
	}
	sent := time.Now()
	floor, err := c.floor(ctx)
	if err != nil {
		return nil, err
	}
	r.skew = time.UnixMilli(floor.Now).Sub(sent.Add(time.Since(sent) / 2))
	r.callback, r.stop, err = listenForCallbacks(cfg, r.calledBack)
	return r, err
}

func (r *run) close() { r.stop() }

// play sends the orders at their times and waits until they end.
func (r *run) play(ctx context.Context, say func(string)) error {
	looking, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	background.Go(func() { r.look(looking, say) })
	if !r.cfg.noRestock {
		if err := r.restock(ctx); err != nil {
			return err
		}
		background.Go(func() { r.keepStocked(looking) })
	}
	r.mu.Lock()
	r.began = time.Now()
	r.mu.Unlock()
	var sending sync.WaitGroup
	room := make(chan struct{}, senders)
	for i, a := range r.arrivals {
		if err := sleepUntil(ctx, r.began.Add(a.after)); err != nil {
			return err
		}
		r.mu.Lock()
		r.placed[i].due = time.Now()
		r.mu.Unlock()
		room <- struct{}{}
		sending.Go(func() {
			defer func() { <-room }()
			r.send(ctx, i)
		})
	}
	sending.Wait()
	deadline := time.Now().Add(r.cfg.patience)
	for open := r.open(); open > 0 && time.Now().Before(deadline); {
		if err := sleepUntil(ctx, time.Now().Add(lookEvery)); err != nil {
			return err
		}
		if now := r.open(); now < open {
			open, deadline = now, time.Now().Add(r.cfg.patience)
		}
	}
	stop()
	background.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.open() > 0 && !r.heard.Load() {
		return noCallback(r.callback)
	}
	return nil
}

// noCallback returns an error that says what to do if no callbacks arrive.
func noCallback(callback string) error {
	if u, err := url.Parse(callback); err == nil {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return fmt.Errorf("no callback arrived at %s, which containers cannot reach; if the gateway's "+
				"queue runs in a container, listen on the address of its bridge (on faasd, --listen "+
				"10.62.0.1:9001), and if the gateway is Hearth on this machine, start it with "+
				"--callback-allow %s", callback, u.Host)
		}
	}
	return fmt.Errorf("no callback arrived at %s; the gateway's queue must be able to reach that address, "+
		"and Hearth calls private addresses only with --callback-allow", callback)
}

func sleepUntil(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send queues one order. It retries a call without a response under the same key, which makes one order.
func (r *run) send(ctx context.Context, i int) {
	a := r.arrivals[i]
	header := http.Header{"Idempotency-Key": {fmt.Sprintf("replay-%s-%d", r.id, i)},
		"X-Callback-Url": {fmt.Sprintf("%s/%d", r.callback, i)}}
	body := map[string]any{"customer": fmt.Sprintf("shop %d, order %s", a.shop, a.sale.transaction),
		"items": a.sale.items}
	var status int
	var err error
	for try := range 5 {
		if status, err = r.c.do(ctx, call{
			function: "cashier",
			method:   http.MethodPost,
			body:     body,
			header:   header,
			async:    true,
		}, nil); err == nil {
			return
		}
		if sleepUntil(ctx, time.Now().Add(time.Duration(100<<try)*time.Millisecond)) != nil {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.placed[i].state, r.placed[i].refusal = outcome(status), err.Error()
}

// failed is the state of an order whose call got no response, or a 5xx.
const failed = "failed"

// outcome returns the state of an order whose call failed. status is 0 if there was no response.
func outcome(status int) string {
	if status == 0 || status >= http.StatusInternalServerError {
		return failed
	}
	return bakery.Refused
}

// calledBack handles a callback: the cashier's response has the order, or why there is none.
func (r *run) calledBack(w http.ResponseWriter, req *http.Request) {
	var i int
	if _, err := fmt.Sscanf(req.URL.Path, "/%d", &i); err != nil || i < 0 || i >= len(r.placed) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	r.heard.Store(true)
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var o bakery.Order
	status := req.Header.Get("X-Function-Status")
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.placed[i]
	if !strings.HasPrefix(status, "2") {
		p.state, p.refusal = outcome(atoi(status)), said(atoi(status), body)
		return
	}
	if json.Unmarshal(body, &o) != nil || o.ID == "" {
		p.state, p.refusal = failed, "the callback has no order"
		return
	}
	p.order = o.ID
	r.byOrder[o.ID] = p
	r.note(p, o)
}

func atoi(s string) (n int) { _, _ = fmt.Sscan(s, &n); return n }

// note records the state of an order. The caller holds r.mu.
func (r *run) note(p *placed, o bakery.Order) {
	p.state = o.State
	switch o.State {
	case bakery.Served:
		p.wait = max(0, o.Timeline.Served.Add(-r.skew).Sub(p.due))
	case bakery.Refused:
		p.refusal = o.Reason
	}
}

func (p *placed) ended() bool {
	return p.state == bakery.Served || p.state == bakery.Refused ||
		p.state == bakery.Cancelled || p.state == failed
}

// open counts the orders that arrived and have not ended.
func (r *run) open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, p := range r.placed {
		if !p.due.IsZero() && !p.ended() {
			n++
		}
	}
	return n
}

// look reads the state of open orders until ctx ends.
func (r *run) look(ctx context.Context, say func(string)) {
	for ctx.Err() == nil {
		var ids []string
		r.mu.Lock()
		for id, p := range r.byOrder {
			if !p.ended() {
				ids = append(ids, id)
			}
		}
		r.mu.Unlock()
		for len(ids) > 0 && ctx.Err() == nil {
			n := min(lookAt, len(ids))
			r.lookAt(ctx, ids[:n])
			ids = ids[n:]
		}
		say(r.progress())
		_ = sleepUntil(ctx, time.Now().Add(lookEvery))
	}
}

func (r *run) lookAt(ctx context.Context, ids []string) {
	var list struct {
		Orders []bakery.Order `json:"orders"`
	}
	// the comma asks for a list
	ask := call{function: "cashier", method: http.MethodGet,
		query: url.Values{"order": {strings.Join(ids, ",") + ","}}}
	if _, err := r.c.do(ctx, ask, &list); err != nil {
		return // it is read again soon
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range list.Orders {
		if p := r.byOrder[o.ID]; p != nil {
			r.note(p, o)
		}
	}
}

func (r *run) progress() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	came, served, refused, unmade := 0, 0, 0, 0
	for _, p := range r.placed {
		if !p.due.IsZero() {
			came++
		}
		switch p.state {
		case bakery.Served:
			served++
		case bakery.Refused:
			refused++
		case failed:
			unmade++
		}
	}
	clock := r.arrivals[0].sale.at
	if !r.began.IsZero() {
		clock = clock.Add(time.Duration(float64(time.Since(r.began)) * r.cfg.speed))
	}
	return fmt.Sprintf("%s  %d of %d orders, %d open, %d served, %d refused, %d failed",
		clock.Format("2006-01-02 15:04"), came, len(r.placed), came-served-refused-unmade,
		served, refused, unmade)
}

// keepStocked restocks the fridge when it runs low.
func (r *run) keepStocked(ctx context.Context) {
	for sleepUntil(ctx, time.Now().Add(time.Second)) == nil {
		_ = r.restock(ctx) // it is tried again soon
	}
}

func (r *run) restock(ctx context.Context) error {
	f, err := r.c.fridge(ctx)
	if err != nil {
		return err
	}
	need, full := r.menu.Stock(restockBelow), r.menu.Stock(restockFor)
	amounts := map[string]int{}
	for ingredient, grams := range need {
		if have := f.Ingredients[ingredient]; have < grams {
			amounts[ingredient] = full[ingredient] - have
		}
	}
	if len(amounts) == 0 {
		return nil
	}
	_, err = r.c.restock(ctx, amounts, fmt.Sprintf("replay-%s-%s", r.id, rand.Text()))
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
