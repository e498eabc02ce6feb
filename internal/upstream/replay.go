package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxKept is how many bytes are kept of a body that cannot be had again. A Unix socket that nobody reads
// takes no more.
const maxKept = 256 << 10

// KeepBody makes Rewind work for a body that cannot be had again, as long as its beginning is short: a call
// that no process accepted can then be sent again. Only a Unix socket can tell that (see package backlog).
// For other addresses, the body can be sent again until some of it was read.
func (cl *Client) KeepBody(req *http.Request) {
	if _, kept := req.Body.(*keptBody); kept || req.Body == nil || req.GetBody != nil {
		return
	}
	k := &keeper{from: req.Body}
	if cl.network == "unix" {
		k.limit = maxKept
	}
	req.Body = &keptBody{k: k}
}

// keeper reads a body and keeps its beginning.
type keeper struct {
	limit int
	from  io.ReadCloser
	gone  atomic.Bool // the beginning is no longer kept

	mu   sync.Mutex // held while the body is read: a later attempt waits for the read of an earlier one
	kept []byte
	read int   // bytes, so far
	err  error // what the body ended with
}

var errNotKept = errors.New("its beginning is too long to be sent again")

// keptBody is what one attempt to send a body reads.
type keptBody struct {
	k    *keeper
	next int // how many bytes were read
}

// again returns the body from its beginning. It returns false if that is no longer kept.
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

// Rewind makes a request ready to be sent again. It returns false if its body cannot be had again.
func Rewind(req *http.Request) bool {
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
