package upstream

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

const (
	// smallBody is how many bytes a body may have that is sent before the answer is read: sockets hold as
	// much.
	smallBody = 64 << 10

	// continueTimeout is how long a body with Expect: 100-continue waits for the replica, which may not know
	// that header (RFC 9110, 10.1.1).
	continueTimeout = time.Second
)

// writeHead writes a request's head. A target in URL.Opaque is sent as it is.
func writeHead(w *bufio.Writer, req *http.Request, upgrade bool) error {
	target := req.URL.Opaque
	if target == "" {
		target = req.URL.RequestURI()
	} else if req.URL.RawQuery != "" || req.URL.ForceQuery {
		target += "?" + req.URL.RawQuery
	}
	if !validToken(req.Method) || !validTarget(target) {
		return invalid("the method or the path has characters that cannot be sent to a function")
	}
	line(w, req.Method, " ", target, " HTTP/1.1\r\nHost: ", req.URL.Host, "\r\n")
	for name, values := range req.Header {
		name = textproto.CanonicalMIMEHeaderKey(name) // names of any case mean the same to a replica
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		case "Connection", "Upgrade":
			if !upgrade {
				continue
			}
		}
		if !validToken(name) {
			return invalid("the name of a header has characters that cannot be sent")
		}
		for _, v := range values {
			if !validValue(v) {
				return invalid("the header %s has characters that cannot be sent", name)
			}
			line(w, name, ": ", v, "\r\n")
		}
	}
	switch {
	case req.Body == nil:
		if req.Method == http.MethodPost || req.Method == http.MethodPut || req.Method == http.MethodPatch {
			line(w, "Content-Length: 0\r\n")
		}
	case req.ContentLength > 0:
		line(w, "Content-Length: ", strconv.FormatInt(req.ContentLength, 10), "\r\n")
	default:
		line(w, "Transfer-Encoding: chunked\r\n")
		for name := range req.Trailer {
			if !validToken(name) {
				return invalid("the name of a trailer has characters that cannot be sent")
			}
			line(w, "Trailer: ", name, "\r\n")
		}
	}
	line(w, "\r\n")
	return nil
}

// line writes to a buffer, which returns an error when it is flushed.
func line(w *bufio.Writer, parts ...string) {
	for _, p := range parts {
		_, _ = w.WriteString(p)
	}
}

// token has the characters of names (RFC 9110, 5.6.2).
var token = func() (is [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		is[c] = true
	}
	return is
}()

func validToken(s string) bool {
	for i := range len(s) {
		if !token[s[i]] {
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func validTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return strings.HasPrefix(s, "/")
}

// small reports whether a body is sent before the answer is read.
func small(req *http.Request) bool {
	return req.GetBody != nil && req.ContentLength > 0 && req.ContentLength <= smallBody
}

// sendSmall sends the head and all of the body.
func sendSmall(w *bufio.Writer, req *http.Request) error {
	defer writers.Put(w)
	if req.Body != nil {
		if _, err := io.Copy(w, req.Body); err != nil {
			return err
		}
	}
	return w.Flush()
}

// upload sends a body in a goroutine of its own, while the answer is read.
type upload struct {
	body      io.Reader     // of this attempt: a later one gives the request another
	asked     chan struct{} // closed when the replica wants the body; nil if it is not held back
	abandoned chan struct{} // closed when the replica has answered without the body
	once      sync.Once     // closes one of them
	read      atomic.Bool   // the body was read to its end
	done      chan struct{} // closed when the upload has ended
	sent      bool          // the whole body was sent; valid once done
	err       error         // why the body could not be read; valid once done
}

var copies = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func newUpload(c *conn, w *bufio.Writer, req *http.Request) *upload {
	u := &upload{done: make(chan struct{}), body: req.Body}
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		u.asked, u.abandoned = make(chan struct{}), make(chan struct{})
	}
	go func() {
		defer close(u.done)
		defer writers.Put(w)
		if err := w.Flush(); err != nil || !u.wait() {
			return
		}
		if u.sent, u.err = u.send(w, req); u.err != nil {
			_ = c.Close() // so that the replica sees a cut, not an end
		}
	}()
	return u
}

// wait returns true when the body is to be sent, and false when it is not.
func (u *upload) wait() bool {
	if u.asked == nil {
		return true
	}
	silence := time.NewTimer(continueTimeout)
	defer silence.Stop()
	select {
	case <-u.asked:
	case <-silence.C:
	case <-u.abandoned:
		return false
	}
	return true
}

// proceed starts a body that is held back: the replica sent 100 Continue.
func (u *upload) proceed() {
	if u.asked != nil {
		u.once.Do(func() { close(u.asked) })
	}
}

// abandon gives up a body that is still held back.
func (u *upload) abandon() {
	if u.asked != nil {
		u.once.Do(func() { close(u.abandoned) })
	}
}

// complete reports whether the whole body was sent. It does not wait for a body that has more to read.
func (u *upload) complete() bool {
	if !u.read.Load() {
		return false
	}
	<-u.done
	return u.sent
}

var errShortBody = invalid("the body is not as long as its Content-Length")

// send sends a body part by part, as it comes. err is an error of the body: a replica
// that takes no more is no error.
func (u *upload) send(w *bufio.Writer, req *http.Request) (whole bool, err error) {
	buffer := copies.Get().(*[]byte)
	defer copies.Put(buffer)
	var out io.Writer = w
	var chunks io.WriteCloser
	if req.ContentLength <= 0 {
		chunks = httputil.NewChunkedWriter(w)
		out = chunks
	}
	for left := req.ContentLength; ; {
		n, err := u.body.Read(*buffer)
		if err == io.EOF {
			u.read.Store(true)
		}
		if n > 0 {
			if left -= int64(n); chunks == nil && left < 0 {
				return false, errShortBody
			}
			if _, err := out.Write((*buffer)[:n]); err != nil {
				return false, nil
			}
			if err := w.Flush(); err != nil {
				return false, nil
			}
		}
		switch {
		case err == io.EOF && chunks == nil && left > 0:
			return false, errShortBody
		case err == io.EOF:
			if chunks != nil {
				_ = chunks.Close()
				if err := writeTrailer(w, req.Trailer); err != nil {
					return false, err
				}
			}
			return w.Flush() == nil, nil
		case err != nil:
			return false, invalid("the body ended early or took too long: %w", err)
		}
	}
}

func writeTrailer(w *bufio.Writer, h http.Header) error {
	for name, values := range h {
		for _, v := range values {
			if !validValue(v) {
				return invalid("the trailer %s has characters that cannot be sent", name)
			}
			line(w, name, ": ", v, "\r\n")
		}
	}
	line(w, "\r\n")
	return nil
}

// invalid returns the error of a call that cannot be written as HTTP.
func invalid(format string, args ...any) error { return hearth.Errorf(hearth.Invalid, format, args...) }
