package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

const (
	dialTimeout = 5 * time.Second
	idleTimeout = time.Minute // shorter than the watchdog's, so that it is we who hang up
	maxIdle     = 256         // connections to one replica
)

// A Client keeps the connections to one replica. It may be used by several goroutines at once.
type Client struct {
	network, address string

	mu     sync.Mutex
	idle   []*conn // the last used at the end
	closed bool
	reaper *time.Timer // set while there are idle connections
}

// New makes a client for a replica at an address: http://HOST:PORT or unix://PATH. It does not connect yet.
func New(address string) *Client {
	network, addr := "tcp", strings.TrimPrefix(address, "http://")
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, addr = "unix", path
	}
	return &Client{network: network, address: addr}
}

// notSentError is of a call of which nothing was sent.
type notSentError struct{ error }

func (e *notSentError) Unwrap() error { return e.error }

// NotSent reports whether an error of Do says that nothing of the call was sent, so that it surely did not
// run.
func NotSent(err error) bool {
	var notSent *notSentError
	return errors.As(err, &notSent)
}

// conn is a connection to a replica. It has one call at a time.
type conn struct {
	net.Conn
	raw    syscall.RawConn
	reused bool
	since  time.Time // when it was last used

	sent atomic.Bool // something of this call was sent; an upload sets it too
	got  bool        // something of its answer was read
	left int         // how many bytes the rest of the answer's head may have; no limit below 0
}

var errLongHead = errors.New("its head is too long")

func (c *conn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errLongHead
	}
	if c.left > 0 && len(p) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.got = c.got || n > 0
	if c.left > 0 {
		c.left -= n
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.sent.Store(true)
	}
	return n, err
}

// quiet reports whether an idle connection is open, and the replica has sent nothing on it.
func (c *conn) quiet() bool {
	var n int
	var err error
	failed := c.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, err = syscall.Read(int(fd), b[:])
		return true
	})
	return failed == nil && n < 0 && errors.Is(err, syscall.EAGAIN)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// get returns an idle connection, or a new one if there is none or fresh is set. It may be used until a time.
func (cl *Client) get(ctx context.Context, until time.Time, fresh bool) (*conn, error) {
	for !fresh {
		c := cl.pop()
		if c == nil {
			break
		}
		if c.SetDeadline(until) == nil && c.quiet() {
			c.reused, c.got, c.left = true, false, maxHead
			c.sent.Store(false)
			return c, nil
		}
		_ = c.Close()
	}
	dialer := net.Dialer{Timeout: dialTimeout, Deadline: until}
	nc, err := dialer.DialContext(ctx, cl.network, cl.address)
	if err != nil {
		return nil, &notSentError{err}
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err == nil {
		err = nc.SetDeadline(until)
	}
	if err != nil {
		_ = nc.Close()
		return nil, &notSentError{err}
	}
	return &conn{Conn: nc, raw: raw, left: maxHead}, nil
}

func (cl *Client) pop() *conn {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if len(cl.idle) == 0 {
		return nil
	}
	last := len(cl.idle) - 1
	c := cl.idle[last]
	cl.idle[last] = nil
	cl.idle = cl.idle[:last]
	return c
}

// put takes back a connection whose call was answered in full.
func (cl *Client) put(c *conn) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.closed || len(cl.idle) >= maxIdle {
		_ = c.Close()
		return
	}
	c.since = time.Now()
	cl.idle = append(cl.idle, c)
	if cl.reaper == nil {
		cl.reaper = time.AfterFunc(idleTimeout, cl.reap)
	}
}

// reap closes what has been idle for long.
func (cl *Client) reap() {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	old := 0
	for now := time.Now(); old < len(cl.idle) && now.Sub(cl.idle[old].since) >= idleTimeout; old++ {
		_ = cl.idle[old].Close()
	}
	cl.idle = append(cl.idle[:0:0], cl.idle[old:]...)
	if cl.reaper = nil; len(cl.idle) > 0 && !cl.closed {
		cl.reaper = time.AfterFunc(idleTimeout, cl.reap)
	}
}

// Close closes the idle connections. Those that have a call are closed after it.
func (cl *Client) Close() {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.closed = true
	for _, c := range cl.idle {
		_ = c.Close()
	}
	cl.idle = nil
	if cl.reaper != nil {
		cl.reaper.Stop()
	}
}

// Do sends a request and reads the head of its answer. The answer's Body must be closed. The whole call may
// take until a time, and the request's context ends it too. The request's host is the Host header only: the
// call goes to the client's replica.
//
// It returns an error of code hearth.Invalid for a request that cannot be written as HTTP. NotSent tells
// whether a call with another error surely did not run. A body that cannot be had again may be read until its
// next Read returns, even after the call has ended.
func (cl *Client) Do(req *http.Request, until time.Time, o Options) (*Response, error) {
	for fresh := false; ; fresh = true {
		c, err := cl.get(req.Context(), until, fresh)
		if err != nil {
			return nil, err
		}
		res, err := cl.exchange(c, req, o)
		if err == nil {
			return res, nil
		}
		sent := c.sent.Load()
		if c.got || errors.Is(err, os.ErrDeadlineExceeded) || req.Context().Err() != nil ||
			hearth.CodeOf(err) == hearth.Invalid {
			return nil, err
		}
		switch {
		case c.reused && (!sent || Safe(req.Method)) && Rewind(req):
		case !sent:
			return nil, &notSentError{err}
		default:
			return nil, err
		}
	}
}

// Safe reports whether a method changes nothing, so that a call may be repeated (RFC 9110, 9.2.1).
func Safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
