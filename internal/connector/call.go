package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// Room implements dispatch.Target.
func (c *Connector) Room(n hearth.Name) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.functions[n].room
}

// RoundTrip implements dispatch.Target: it calls the function through the gateway.
func (c *Connector) RoundTrip(n hearth.Name, r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	f, known := c.functions[n]
	c.mu.Unlock()
	if !known {
		return nil, hearth.Errorf(hearth.Unavailable, "function %s is not deployed", n)
	}
	// The gateway may have to wake the function first.
	ctx, cancel := context.WithTimeout(r.Context(), 2*f.spec.Timeout)
	res, err := c.client.InvokeFunction(n.Function, n.Namespace, c.cfg.Async, false, r.WithContext(ctx))
	if err != nil {
		late := errors.Is(ctx.Err(), context.DeadlineExceeded)
		cancel()
		return nil, c.broke(r.Context(), n, late, err)
	}
	if fromGateway(res) {
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
		_ = res.Body.Close()
		cancel()
		c.unreached(n, res.StatusCode)
		return nil, hearth.Errorf(hearth.Unavailable,
			"the gateway answered %d %s without the function's %s: function %s was not reached, "+
				"or does not set that header",
			res.StatusCode, http.StatusText(res.StatusCode), wire.HeaderAnswer, n)
	}
	res.Body = &body{res.Body, cancel}
	return res, nil
}

// fromGateway reports whether an answer is from the gateway, as far as that can be known: it has a status
// that a gateway gives while a function is missing, starts or is replaced, and no mark of the function or its
// watchdog. Listing the functions again would not help: a stock gateway lists a function that it cannot
// reach.
func fromGateway(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return res.Header.Get(wire.HeaderAnswer) == "" &&
			res.Header.Get(wire.HeaderInternal) != "of-watchdog"
	}
	return false
}

// unreached logs that a function was not reached, at most once per warnEvery.
func (c *Connector) unreached(n hearth.Name, status int) {
	c.mu.Lock()
	quiet := time.Since(c.warned[n]) < warnEvery
	if !quiet {
		c.warned[n] = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		c.cfg.Log.Warn("function not reached; retrying its messages", "function", n.String(), "status",
			status)
	}
}

// broke returns the error of a call that got no answer.
func (c *Connector) broke(ctx context.Context, n hearth.Name, late bool, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case late:
		return &hearth.Error{
			Code:    hearth.Timeout,
			Message: fmt.Sprintf("function %s did not answer in time", n),
			Err:     err,
		}
	case errors.As(err, &op) && op.Op == "dial":
		return &hearth.Error{Code: hearth.Unavailable, Message: "the gateway cannot be reached", Err: err}
	}
	return &hearth.Error{
		Code:    hearth.BadGateway,
		Message: "the gateway closed the connection: the call may have run",
		Err:     err,
	}
}

// body is an answer's, and ends the context of its call when it is closed.
type body struct {
	io.ReadCloser
	cancel func()
}

func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
