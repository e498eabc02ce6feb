/*
Package inbound limits the connections of callers, in all and for each address, and finds requests that say
twice how long they are.

Each connection takes a file, and a process has a limited number. At the limit, an idle connection is closed
in favour of a new one: among the idle ones of the address that has most of them, the one that has been idle
longest. A new connection is refused only if all others serve requests. So an address that opens many
connections and sends nothing shuts out only itself.

The package follows the bytes of requests because net/http does not tell what it has corrected. It does not
parse requests for anybody else, and it does not limit the rate of calls.
*/
package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config has the limits of a listener.
type Config struct {
	// Max limits all connections. Defaults to Most().
	Max int
	// PerAddress limits the connections of one address, or of one IPv6 network. Defaults to a quarter of Max.
	PerAddress int
	// Exempt reports whether PerAddress does not apply to an address, because it is this machine's or has
	// many callers behind it. Defaults to none.
	Exempt func(netip.Addr) bool
	// Plain means that connections are plain HTTP/1, not TLS, so that their framing can be followed.
	Plain bool
	// Log gets a message when connections are refused or cannot be accepted. Required.
	Log *slog.Logger
}

// A Listener has connections of type *Conn.
type Listener struct {
	net.Listener
	cfg Config

	failing, refusing Seldom

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]map[*Conn]struct{}
}

// Listen wraps a listener with limits.
func Listen(l net.Listener, cfg Config) *Listener {
	if cfg.Max == 0 {
		cfg.Max = Most()
	}
	if cfg.PerAddress == 0 {
		cfg.PerAddress = max(cfg.Max/4, 1)
	}
	return &Listener{Listener: l, cfg: cfg, from: map[netip.Prefix]map[*Conn]struct{}{}}
}

// Most returns how many connections this process can have: each may need a second file for its replica, and
// Redis, logs and replicas need files too.
func Most() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 1024
	}
	n := int(min(files.Cur, 1<<20))
	return min(max((n-max(n/4, 64))/2, 16), 50_000)
}

// Accept waits for the next connection that the limits allow.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.failed(err)
			}
			return nil, err
		}
		if c := l.admit(nc); c != nil {
			return c, nil
		}
	}
}

// failed handles a connection that could not be accepted. net/http retries with growing delays; closing an
// idle connection frees a file at once.
func (l *Listener) failed(err error) {
	if missed, due := l.failing.Due(time.Now()); due {
		l.cfg.Log.Error("could not accept connection", "error", err, "before", missed)
	}
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		l.mu.Lock()
		gone := l.evict(nil)
		l.mu.Unlock()
		if gone != nil {
			_ = gone.Conn.Close()
		}
	}
}

const refusal = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: " +
	"1\r\nContent-Length: 0\r\n\r\n"

// admit makes room for a connection, or refuses it.
func (l *Listener) admit(nc net.Conn) *Conn {
	at, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	peer := at.Addr().Unmap().WithZone("")
	c := &Conn{Conn: nc, listener: l, from: NetworkOf(peer)}
	c.idle.Store(time.Now().UnixNano())
	var gone *Conn
	limit := ""
	l.mu.Lock()
	if mine := l.from[c.from]; len(mine) >= l.cfg.PerAddress && !(l.cfg.Exempt != nil && l.cfg.Exempt(peer)) {
		limit, gone = "per_address", l.evict(mine)
	} else if l.all >= l.cfg.Max {
		limit, gone = "max", l.evict(nil)
	}
	refused := limit != "" && gone == nil
	if !refused {
		if l.from[c.from] == nil {
			l.from[c.from] = map[*Conn]struct{}{}
		}
		l.from[c.from][c] = struct{}{}
		l.all++
	}
	l.mu.Unlock()
	if limit != "" {
		if missed, due := l.refusing.Due(time.Now()); due {
			l.cfg.Log.Warn("too many connections", "address", peer.String(), "limit", limit,
				"refused", refused, "max", l.cfg.Max, "per_address", l.cfg.PerAddress, "before", missed)
		}
	}
	if gone != nil {
		_ = gone.Conn.Close()
	}
	if !refused {
		return c
	}
	if l.cfg.Plain {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(nc, refusal)
	}
	_ = nc.Close()
	return nil
}

// evict takes one connection that serves nothing off the list: of these, or of the address that has most of
// them. It is the caller's to close. l.mu is held.
func (l *Listener) evict(of map[*Conn]struct{}) *Conn {
	var found *Conn
	most := 0
	look := func(conns map[*Conn]struct{}) {
		var oldest *Conn
		n := 0
		for c := range conns {
			if c.serving.Load() > 0 {
				continue
			}
			n++
			if oldest == nil || c.idle.Load() < oldest.idle.Load() {
				oldest = c
			}
		}
		if n > most {
			found, most = oldest, n
		}
	}
	if of != nil {
		look(of)
	} else {
		for _, conns := range l.from {
			if len(conns) > most {
				look(conns)
			}
		}
	}
	if found != nil {
		l.forget(found)
	}
	return found
}

// forget takes a connection off the list. l.mu is held.
func (l *Listener) forget(c *Conn) {
	mine := l.from[c.from]
	if _, ok := mine[c]; !ok {
		return
	}
	l.all--
	if delete(mine, c); len(mine) == 0 {
		delete(l.from, c.from)
	}
}

// A Conn is one connection.
type Conn struct {
	net.Conn
	listener *Listener
	from     netip.Prefix
	serving  atomic.Int32 // requests
	idle     atomic.Int64 // since when there are none
	framing  framing
}

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.listener.cfg.Plain {
		c.framing.read(p[:n])
	}
	return n, err
}

// CloseWrite is used by net/http to let a client read the answer to a request that it has not sent
// completely.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and frees its place.
func (c *Conn) Close() error {
	c.listener.mu.Lock()
	c.listener.forget(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

type key struct{}

// Context is http.Server's ConnContext: Serve finds the connection by it.
func Context(ctx context.Context, nc net.Conn) context.Context {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if c, ok := nc.(*Conn); ok {
		return context.WithValue(ctx, key{}, c)
	}
	return ctx
}

// Serve marks a connection as serving a request, and closes it if the request is framed in two ways (RFC
// 9112, 6.1).
func Serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(key{}).(*Conn); ok {
			c.serving.Add(1)
			defer func() { c.idle.Store(time.Now().UnixNano()); c.serving.Add(-1) }()
			if c.framing.old.Load() {
				w.Header().Set("Connection", "close")
				http.Error(w, "HTTP/1.0 has no Transfer-Encoding", http.StatusBadRequest)
				return
			}
			// TLS hides the framing, so assume the worst.
			odd := len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1)
			hidden := r.TLS != nil && r.ProtoMajor == 1 && odd
			if c.framing.twice.Load() || hidden {
				w.Header().Set("Connection", "close")
			}
		}
		next.ServeHTTP(w, r)
	})
}

// NetworkOf returns an IPv4 address itself, and the network of an IPv6 address, since one caller usually has
// all addresses of it.
func NetworkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}
