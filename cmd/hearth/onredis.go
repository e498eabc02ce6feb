package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/internal/gateway"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/spf13/cobra"
)

// redisFlag adds --redis: the command then uses a Redis directly, such as a connector's.
func (c *client) redisFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.redis, "redis", "",
		"use the Redis of a hearth connector instead of a gateway; its password may be in $REDISCLI_AUTH")
}

// withPassword adds the password of $REDISCLI_AUTH to a Redis URL without one, since
// the command line is visible to other users.
func withPassword(address string) string {
	password := os.Getenv("REDISCLI_AUTH")
	u, err := url.Parse(address)
	if err != nil || password == "" {
		return address
	}
	if _, has := u.User.Password(); has {
		return address
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// onRedis handles a request as a gateway on that Redis would.
func (c *client) onRedis(req *http.Request) (*http.Response, error) {
	rdb, err := openRedis(req.Context(), withPassword(c.redis), 5*time.Second,
		slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	served := &onlyConn{conn: theirs, closed: make(chan struct{})}
	go func() {
		defer func() { _ = rdb.Close() }()
		log := slog.New(slog.DiscardHandler) // the response has the error
		api := gateway.QueueAPI(queue.New(queue.Config{Redis: rdb}), log)
		server := &http.Server{Handler: api, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
		_ = server.Serve(served)
	}()
	transport := &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}
	req.URL.Scheme, req.URL.Host = "http", "redis"
	return transport.RoundTrip(req)
}

// onlyConn is a listener with one connection. Accept fails once that is closed.
type onlyConn struct {
	conn   net.Conn
	given  bool
	once   sync.Once
	closed chan struct{}
}

func (l *onlyConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return &watchedConn{l.conn, l}, nil
	}
	<-l.closed
	return nil, io.EOF
}

func (l *onlyConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.conn.Close()
}

func (l *onlyConn) Addr() net.Addr { return l.conn.LocalAddr() }

type watchedConn struct {
	net.Conn
	l *onlyConn
}

func (c *watchedConn) Close() error { return c.l.Close() }
