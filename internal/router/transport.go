package router

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// newTransport makes the connections to one replica. It is the one place that knows how a call reaches a replica.
func newTransport(address string) *http.Transport {
	network, addr := "tcp", strings.TrimPrefix(address, "http://")
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, addr = "unix", path
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, &dialError{err}
			}
			return c, nil
		},
		DisableCompression:    true, // what the function says is what the caller gets
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       time.Minute, // shorter than the watchdog's, so that it is we who hang up
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        8 << 10,
		WriteBufferSize:       8 << 10,
	}
}

// dialError: nothing was sent.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// body is an answer's body, which tells when the call has ended.
type body struct {
	io.ReadCloser
	once sync.Once
	done func()
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.done)
	return err
}
