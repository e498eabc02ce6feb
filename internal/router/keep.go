package router

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxKept is how much is kept of a body that cannot be had again. A Unix socket that nobody reads takes no more than this.
const maxKept = 256 << 10

// keepBody keeps the beginning of a body that cannot be had again, so that a call which no process has accepted can be sent
// again. Only a Unix socket can tell that (see package backlog); for others the body can be sent again until some of it was read.
func (t *transport) keepBody(req *http.Request) {
	if _, kept := req.Body.(*keptBody); kept || req.Body == nil || req.GetBody != nil {
		return
	}
	k := &keeper{from: req.Body}
	if t.network == "unix" {
		k.limit = maxKept
	}
	req.Body = &keptBody{k: k}
}

// keeper has a body, and its beginning.
type keeper struct {
	limit int
	from  io.ReadCloser
	gone  atomic.Bool // the beginning is not kept any more

	mu   sync.Mutex // held while the body is read: who reads it again waits until an earlier reader has its part
	kept []byte
	read int   // bytes, so far
	err  error // what the body ended with
}

var errNotKept = errors.New("its beginning is too long to be sent again")

// keptBody is a body as one attempt to send it reads it.
type keptBody struct {
	k    *keeper
	next int // how many bytes were read
}

// again is the body from its beginning, if that is still kept.
func (b *keptBody) again() (io.ReadCloser, bool) {
	return &keptBody{k: b.k}, !b.k.gone.Load()
}

func (b *keptBody) Read(p []byte) (int, error) {
	k := b.k
	k.mu.Lock()
	defer k.mu.Unlock()
	if b.next < len(k.kept) {
		n := copy(p, k.kept[b.next:])
		b.next += n
		return n, nil
	}
	switch {
	case b.next < k.read:
		return 0, errNotKept
	case k.err != nil:
		return 0, k.err
	}
	n, err := k.from.Read(p)
	k.read += n
	b.next, k.err = k.read, err
	switch {
	case k.gone.Load() || n == 0:
	case len(k.kept)+n > k.limit:
		k.gone.Store(true)
		k.kept = nil
	default:
		k.kept = append(k.kept, p[:n]...)
	}
	return n, err
}

func (b *keptBody) Close() error { return b.k.from.Close() }
