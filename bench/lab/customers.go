package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A crowd are customers at the counter, who come whether the bakery keeps up or not. Each makes one call, on
// a connection of its own, and never tries again: what fails, they notice.
type crowd struct {
	Orders float64 // a second: one tray each, and they wait for it
	Looks  float64 // a second: at the menu, the fridge or the display
}

// patience is how long a customer waits for an order.
const patience = 20 * time.Second

// A visit is one customer's call.
type visit struct {
	order   bool
	came    time.Time
	took    time.Duration
	failure string // why it failed; "" if it did not
}

// oneTray is an order of exactly one tray.
const oneTray = `{"customer":"lab","items":[{"cookie":"chocolate-chip","quantity":24}]}`

// come lets customers come until stop, which waits for those that are there and returns all visits.
func (c crowd) come(ctx context.Context, h *house, seed uint64) (stop func() []visit) {
	client := newClient()
	coming, end := context.WithCancel(ctx)
	var (
		mu     sync.Mutex
		visits []visit
		here   sync.WaitGroup
	)
	open := func(rate float64, seed uint64, call func(i int) (method, path, body string)) {
		here.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 1))
			next := time.Now()
			for i := 0; rate > 0; i++ {
				next = next.Add(time.Duration(rnd.ExpFloat64() / rate * float64(time.Second)))
				select {
				case <-time.After(time.Until(next)):
				case <-coming.Done():
					return
				}
				here.Go(func() {
					method, path, body := call(i)
					v := visit{order: body != "", came: time.Now()}
					v.failure = visitOne(ctx, client, method, h.url+path, body)
					v.took = time.Since(v.came)
					mu.Lock()
					defer mu.Unlock()
					visits = append(visits, v)
				})
			}
		})
	}
	open(c.Orders, seed, func(int) (string, string, string) {
		return "POST", "/function/cashier?wait=" + patience.String(), oneTray
	})
	open(c.Looks, seed+1, func(i int) (string, string, string) {
		return "GET", "/function/" + [...]string{"cashier?view=menu", "baker?view=fridge",
			"server?view=display"}[i%3], ""
	})
	return func() []visit {
		end()
		here.Wait()
		return visits
	}
}

// newClient is one whose every call has a connection of its own.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		Timeout: patience + 5*time.Second}
}

// visitOne makes one call, and returns why it failed.
func visitOne(ctx context.Context, client *http.Client, method, url, body string) string {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err.Error()
	case res.StatusCode == http.StatusOK:
		return ""
	case res.StatusCode == http.StatusAccepted:
		return fmt.Sprintf("not served within %v", patience)
	}
	return fmt.Sprintf("%s: %.200s", res.Status, text)
}

// A crowdResult sums up visits.
type crowdResult struct {
	Calls, Failed int
	P50, P99      float64 // ms, of orders that were served
	Reasons       map[string]int
}

func sumUp(visits []visit) crowdResult {
	r := crowdResult{Calls: len(visits), Reasons: map[string]int{}}
	var took []time.Duration
	for _, v := range visits {
		switch {
		case v.failure != "":
			r.Failed++
			r.Reasons[v.failure]++
		case v.order:
			took = append(took, v.took)
		}
	}
	slices.Sort(took)
	if len(took) > 0 {
		r.P50, r.P99 = ms(took, 50), ms(took, 99)
	}
	return r
}
