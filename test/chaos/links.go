package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// A link is a connection to Redis through Shopify's Toxiproxy, which disturbs it.
// See https://github.com/Shopify/toxiproxy/tree/v2.12.0#toxics.
type link struct {
	api   string // of the toxiproxy-server
	name  string
	port  int
	renew func(ctx context.Context) error // restarts toxiproxy-server without toxics
}

// errHung means that toxiproxy had to be restarted, which cut all links.
var errHung = errors.New("toxiproxy hung and was restarted")

func (l link) do(ctx context.Context, method, path string, in any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, l.api+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if text, _ := io.ReadAll(res.Body); res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("toxiproxy: %s %s: %s: %s", method, path, res.Status, text)
	}
	return nil
}

func (l link) open(ctx context.Context, redis int) error {
	return l.do(ctx, http.MethodPost, "/proxies", map[string]any{"name": l.name, "listen": local(l.port),
		"upstream": local(redis), "enabled": true})
}

func (l link) enable(ctx context.Context, on bool) error {
	return l.do(ctx, http.MethodPost, "/proxies/"+l.name, map[string]any{"enabled": on})
}

// A toxic disturbs a link, or some of its connections.
type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream: requests; downstream: responses
	Toxicity   float64        `json:"toxicity"`
	Attributes map[string]int `json:"attributes"`
}

// spoil adds toxics for a while.
func (l link) spoil(ctx context.Context, d time.Duration, toxics ...toxic) error {
	var failed error
	for _, t := range toxics {
		failed = errors.Join(failed, l.do(ctx, http.MethodPost, "/proxies/"+l.name+"/toxics", struct {
			Name string `json:"name"`
			toxic
		}{t.Type + t.Stream, t}))
	}
	wait(ctx, d)
	ctx = context.WithoutCancel(ctx)
	for _, t := range toxics {
		failed = errors.Join(failed, l.do(ctx, http.MethodDelete,
			"/proxies/"+l.name+"/toxics/"+t.Type+t.Stream, nil))
	}
	if failed != nil { // toxiproxy sometimes hangs when a toxic is removed
		return errors.Join(errHung, failed, l.renew(ctx))
	}
	return nil
}

// cut refuses connections, or resets them.
func (l link) cut(ctx context.Context, d time.Duration, r *rand.Rand) (string, error) {
	if upTo(r, 2) == 0 {
		if err := l.enable(ctx, false); err != nil {
			return "", err
		}
		wait(ctx, d)
		err := l.enable(context.WithoutCancel(ctx), true)
		if err != nil {
			err = errors.Join(errHung, err, l.renew(context.WithoutCancel(ctx)))
		}
		return "closed and refused", err
	}
	after := upTo(r, 50)
	return fmt.Sprintf("reset after %d ms", after), l.spoil(ctx, d,
		toxic{"reset_peer", "downstream", 1, map[string]int{"timeout": after}})
}

// lose forwards requests and drops some responses.
func (l link) lose(ctx context.Context, d time.Duration, r *rand.Rand) (string, error) {
	switch upTo(r, 4) {
	case 0: // they come when it ends
		return "answers held back", l.spoil(ctx, d,
			toxic{"timeout", "downstream", 1, map[string]int{"timeout": 0}})
	case 1:
		bytes := upTo(r, 3000)
		return fmt.Sprintf("closed after %d bytes of answers", bytes), l.spoil(ctx, d,
			toxic{"limit_data", "downstream", 1, map[string]int{"bytes": bytes}})
	}
	after := 1 + upTo(r, 200)
	return fmt.Sprintf("no answers, and closed after %d ms", after), l.spoil(ctx, d,
		toxic{"timeout", "downstream", 0.8, map[string]int{"timeout": after}})
}

// slow delays all traffic.
func (l link) slow(ctx context.Context, d time.Duration, r *rand.Rand) (string, error) {
	latency, jitter := 20+upTo(r, 300), upTo(r, 200)
	return fmt.Sprintf("%d ms later, give or take %d", latency, jitter), l.spoil(ctx, d,
		toxic{"latency", "upstream", 1, map[string]int{"latency": latency / 2, "jitter": jitter / 2}},
		toxic{"latency", "downstream", 0.8, map[string]int{"latency": latency / 2, "jitter": jitter / 2}},
		toxic{"slicer", "downstream", 0.5, map[string]int{"average_size": 64,
			"size_variation": 32, "delay": 100}})
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
