package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/probe"
	"github.com/moby/moby/client"
)

// probe checks whether a serving container is still ready and alive, if its function has probes.
func (r *replica) probe(alive context.Context, address string, unhealthy chan<- string) {
	client := probe.Client(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(address, "http://"))
	})
	probe.Run(alive, r.spec, client, func(ready bool) {
		r.slog.Info("replica readiness changed", "replica", r.State().ID, "ready", ready)
		if ready {
			r.up()
			return
		}
		r.down()
		r.changed()
	}, func(why string) { unhealthy <- why })
}

// freeze freezes a container that is ready and not to serve yet. It returns whether it did.
func (r *replica) freeze(alive context.Context, containerID string) bool {
	select {
	case <-r.woken:
		return false
	default:
	}
	if alive.Err() != nil {
		return false
	}
	if _, err := r.p.api.ContainerPause(alive, containerID, client.ContainerPauseOptions{}); err != nil {
		r.slog.Warn("could not freeze container", "replica", r.State().ID, "error", err)
		return false
	}
	return true
}

// thaw waits until a frozen container is to serve, and thaws it.
func (r *replica) thaw(alive context.Context, containerID string) error {
	r.mu.Lock()
	r.ready, r.proven = true, true
	r.mu.Unlock()
	select {
	case <-r.woken:
	case <-alive.Done():
		return nil
	}
	if _, err := r.p.api.ContainerUnpause(alive, containerID, client.ContainerUnpauseOptions{}); err != nil {
		if alive.Err() != nil {
			return nil
		}
		return fmt.Errorf("it could not be thawed: %w", err)
	}
	r.up()
	return nil
}

// awaitReady probes a container until it is ready. A container that takes too long makes its replica failing,
// and is still probed.
func (r *replica) awaitReady(alive context.Context, address string) {
	path, chosen := readyPath(r.spec)
	// A packet that is lost while the container's network starts would be sent again after a second. A new
	// attempt is sooner.
	dialer := &net.Dialer{Timeout: 250 * time.Millisecond}
	httpClient := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(alive, network, address)
		}}}
	began := time.Now()
	wait := 2 * time.Millisecond
	for alive.Err() == nil {
		why := ask(alive, httpClient, address+path, chosen)
		if why == "" {
			r.up()
			return
		}
		if time.Since(began) > r.p.cfg.ReadyWithin && alive.Err() == nil {
			r.fail(fmt.Sprintf("it is not ready after %v: %s", r.p.cfg.ReadyWithin, why))
			wait = time.Second
		}
		pause(alive, wait)
		wait = min(wait*5/4, time.Second)
	}
}

// ask probes once, and returns why a container is not ready, or "".
func ask(ctx context.Context, c *http.Client, url string, chosen bool) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	res, err := c.Do(req)
	if err != nil {
		return "nothing answers on port 8080: " + errors.Unwrap(err).Error()
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 4096)
	switch {
	case chosen && res.StatusCode < http.StatusBadRequest,
		res.StatusCode < 300,
		res.StatusCode == http.StatusTooManyRequests:
		// Busy is ready.
		return ""
	case !chosen && (res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed):
		return "" // it serves HTTP without a watchdog
	}
	return "its ready check is answered with " + res.Status
}
