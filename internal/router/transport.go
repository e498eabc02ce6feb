package router

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

// transport keeps the connections to one replica. It is the one place that knows how a call reaches a replica.
//
// net/http's own client would do, but for what it costs: two goroutines for each connection, which hand each call to and fro. Here
// a call is sent and its answer read by the goroutine that makes it. It also repeats calls that may have run, if they have
// an Idempotency-Key.
type transport struct {
	network, address string

	mu     sync.Mutex
	idle   []*conn // the last used at the end
	closed bool
	reaper *time.Timer // set while there are idle ones
}

func newTransport(address string) *transport {
	network, addr := "tcp", strings.TrimPrefix(address, "http://")
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, addr = "unix", path
	}
	return &transport{network: network, address: addr}
}

// unsentError is of a call of which nothing was sent.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// conn is a connection to a replica. It has one call at a time.
type conn struct {
	net.Conn
	raw    syscall.RawConn
	reused bool
	since  time.Time // when it was last used

	sent atomic.Bool // something of this call; an upload writes too
	got  bool        // something of its answer
	left int         // how many bytes of the answer's head are still read; below 0, there is no limit
}

var errLongHead = errors.New("the head of the answer is too long")

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

// quiet tells that the replica has neither closed an idle connection nor said what nobody asked for.
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

// get is an idle connection, or a new one, that may be used until a time.
func (t *transport) get(ctx context.Context, until time.Time, fresh bool) (*conn, error) {
	for !fresh {
		c := t.pop()
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
	nc, err := dialer.DialContext(ctx, t.network, t.address)
	if err != nil {
		return nil, &unsentError{err}
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err == nil {
		err = nc.SetDeadline(until)
	}
	if err != nil {
		_ = nc.Close()
		return nil, &unsentError{err}
	}
	return &conn{Conn: nc, raw: raw, left: maxHead}, nil
}

func (t *transport) pop() *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) == 0 {
		return nil
	}
	last := len(t.idle) - 1
	c := t.idle[last]
	t.idle[last] = nil
	t.idle = t.idle[:last]
	return c
}

// put takes back a connection whose call was answered in full.
func (t *transport) put(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.idle) >= maxIdle {
		_ = c.Close()
		return
	}
	c.since = time.Now()
	t.idle = append(t.idle, c)
	if t.reaper == nil {
		t.reaper = time.AfterFunc(idleTimeout, t.reap)
	}
}

// reap closes what has been idle for long.
func (t *transport) reap() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := 0
	for now := time.Now(); old < len(t.idle) && now.Sub(t.idle[old].since) >= idleTimeout; old++ {
		_ = t.idle[old].Close()
	}
	t.idle = append(t.idle[:0:0], t.idle[old:]...)
	if t.reaper = nil; len(t.idle) > 0 && !t.closed {
		t.reaper = time.AfterFunc(idleTimeout, t.reap)
	}
}

// close closes the idle connections. Those that have a call are closed after it.
func (t *transport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, c := range t.idle {
		_ = c.Close()
	}
	t.idle = nil
	if t.reaper != nil {
		t.reaper.Stop()
	}
}

// roundTrip makes one call. It is made again only if it surely did not run: nothing of it was sent; or it is of a method that
// is safe (RFC 9110, 9.2.1), and the replica closed a connection that it had used before, without a byte of an answer. Both need
// a body that can be had again.
func (t *transport) roundTrip(req *http.Request, until time.Time, o Open) (*answer, error) {
	for fresh := false; ; fresh = true {
		c, err := t.get(req.Context(), until, fresh)
		if err != nil {
			return nil, err
		}
		res, err := t.exchange(c, req, until, o)
		if err == nil {
			return res, nil
		}
		sent := c.sent.Load()
		if c.got || errors.Is(err, os.ErrDeadlineExceeded) || req.Context().Err() != nil || hearth.CodeOf(err) == hearth.Invalid {
			return nil, err
		}
		switch {
		case c.reused && (!sent || safe(req.Method)) && rewind(req):
		case !sent:
			return nil, &unsentError{err}
		default:
			return nil, err
		}
	}
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// rewind makes a request ready to be sent again, if that can be.
func rewind(req *http.Request) bool {
	if req.Body == nil {
		return true
	}
	if k, ok := req.Body.(*keptBody); ok {
		var again bool
		req.Body, again = k.again()
		return again
	}
	if req.GetBody == nil {
		return false
	}
	var err error
	req.Body, err = req.GetBody()
	return err == nil
}
