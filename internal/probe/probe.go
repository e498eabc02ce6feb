// Package probe checks whether replicas are alive and ready, as configured by the annotations
// com.openfaas.health.http and com.openfaas.ready.http of their function. Providers decide what to do with
// the results.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Client returns an HTTP client for probes, with a new connection for each.
func Client(dial func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	},
		Transport: &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dial(ctx)
			}}}
}

// userAgent is a User-Agent whose requests OpenFaaS's watchdogs and templates do not log.
const userAgent = "kube-probe/hearth"

// ask probes once. It returns why the answer is not a success, or "".
func ask(ctx context.Context, c *http.Client, path string, timeout time.Duration) string {
	asking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(asking, http.MethodGet, "http://function"+path, nil)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("User-Agent", userAgent)
	res, err := c.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", timeout)
	case err != nil:
		return "no answer: " + errors.Unwrap(err).Error()
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 4096)
	if res.StatusCode < http.StatusBadRequest || res.StatusCode == http.StatusTooManyRequests {
		// Busy is ready.
		return ""
	}
	return "answered with " + res.Status
}

// Run probes a replica that is ready, until ctx ends. ready is called when the replica fails its readiness
// probe, and when it succeeds again. dead is called once, when the replica has failed its liveness probe,
// with the reason.
func Run(ctx context.Context, f hearth.Function, c *http.Client, ready func(bool), dead func(why string)) {
	var both sync.WaitGroup
	if p := f.Readiness; p != nil {
		both.Go(func() {
			is := true
			watch(ctx, c, *p, func(ok bool, _ string) bool {
				if ok != is {
					is = ok
					ready(ok)
				}
				return true
			})
		})
	}
	if p := f.Liveness; p != nil {
		both.Go(func() {
			watch(ctx, c, *p, func(ok bool, why string) bool {
				if !ok {
					dead(fmt.Sprintf("it failed its health check, GET %s, %d times: %s", p.Path, p.Failures,
						why))
				}
				return ok
			})
		})
	}
	both.Wait()
}

// watch probes until ctx ends or told returns false. It calls told when enough answers in a row agree.
func watch(ctx context.Context, c *http.Client, p hearth.Probe, told func(ok bool, why string) bool) {
	if !pause(ctx, p.Delay) {
		return
	}
	successes, failures := 0, 0
	for pause(ctx, p.Period) {
		why := ask(ctx, c, p.Path, p.Timeout)
		if ctx.Err() != nil {
			return
		}
		if why == "" {
			successes, failures = successes+1, 0
		} else {
			successes, failures = 0, failures+1
		}
		if successes == p.Successes && !told(true, "") || failures == p.Failures && !told(false, why) {
			return
		}
	}
}

// pause waits, and returns false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
