package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxHead is how many bytes the head of an answer may have, with all interim answers before it.
const maxHead = 256 << 10

// Options say what the caller of Do can take besides one answer with an end. The zero value is for one who
// cannot.
type Options struct {
	// Early is called with each interim answer but 100 and 101, before Do returns, by the goroutine that
	// calls Do. Defaults to nothing.
	Early func(status int, header http.Header)

	// Upgrade lets the replica switch to the protocol of the request's Upgrade header. The answer's Body is
	// then the connection, an io.ReadWriteCloser, and has no time limit.
	Upgrade bool

	// Stream removes the time limit of an answer that is a stream by its Content-Type, if the request's
	// Accept asked for one. OpenFaaS's watchdog has no time limit for it either.
	Stream bool
}

// A Response is the answer of a replica. Closing its Body gives the connection back, if the whole body was
// read.
type Response struct {
	*http.Response

	// Endless means that the answer has no time limit: it is a stream, or the connection of an upgrade.
	Endless bool

	// OnClose is called once, when Body is closed. whole tells whether it was read to its end. It may be set
	// until then. Defaults to nothing.
	OnClose func(whole bool)
}

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}
)

// answer is the body of a Response, and what else is to be closed with it.
type answer struct {
	res   Response
	body  io.ReadCloser
	cl    *Client
	c     *conn
	r     *bufio.Reader
	up    *upload     // nil if the body was sent before the answer was read
	stop  func() bool // ends the watch of the request's context
	whole bool        // it was read to its end
	once  sync.Once
}

// exchange sends a request and reads the head of its answer.
func (cl *Client) exchange(c *conn, req *http.Request, o Options) (_ *Response, err error) {
	stop := context.AfterFunc(req.Context(), func() { _ = c.SetDeadline(past) })
	a := &answer{cl: cl, c: c, stop: stop}
	defer func() {
		if err != nil {
			stop()
			_ = c.Close()
			if a.r != nil {
				a.recycle()
			}
		}
	}()
	w := writers.Get().(*bufio.Writer)
	w.Reset(c)
	if err := writeHead(w, req, o.Upgrade); err != nil {
		writers.Put(w)
		return nil, err
	}
	if req.Body == nil || small(req) {
		_ = sendSmall(w, req) // a replica that did not take all of it may have answered
	} else {
		a.up = newUpload(c, w, req)
	}
	a.r = readers.Get().(*bufio.Reader)
	a.r.Reset(c)
	if err := a.readHead(req, o); err != nil {
		if a.up != nil {
			a.up.abandon()
			if errors.Is(err, net.ErrClosed) { // by the upload
				<-a.up.done
				return nil, a.up.err
			}
		}
		return nil, err
	}
	c.left = -1
	if a.up != nil {
		a.up.abandon()
	}
	upgraded := a.res.StatusCode == http.StatusSwitchingProtocols
	if a.res.Endless = upgraded || o.Stream && isStream(a.res.Header) &&
		wantsStream(req.Header); a.res.Endless {
		_ = c.SetDeadline(time.Time{})
		if req.Context().Err() != nil { // the context may have ended before
			_ = c.SetDeadline(past)
		}
	}
	return &a.res, nil
}

// readHead reads the head of the answer, and the interim answers before it.
func (a *answer) readHead(req *http.Request, o Options) error {
	for {
		res, err := http.ReadResponse(a.r, req)
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if err := check(res); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		switch status := res.StatusCode; {
		case status == http.StatusSwitchingProtocols:
			if !o.Upgrade || !strings.EqualFold(res.Header.Get("Upgrade"), req.Header.Get("Upgrade")) {
				return errors.New("read answer: it switches to a protocol that was not asked for")
			}
			a.res.Response, a.body, res.Body = res, http.NoBody, &upgraded{a}
			return nil
		case status == http.StatusContinue:
			if a.up != nil {
				a.up.proceed()
			}
		case status < 200:
			if o.Early != nil {
				o.Early(status, res.Header)
			}
		default:
			a.res.Response, a.body, res.Body = res, res.Body, a
			a.whole = a.body == http.NoBody
			return nil
		}
	}
}

// check refuses what net/http lets pass in the head of an answer.
func check(res *http.Response) error {
	if res.ProtoMajor != 1 {
		return fmt.Errorf("its version is %s, want HTTP/1.1", res.Proto)
	}
	if res.StatusCode < 100 || res.StatusCode >= 600 {
		return fmt.Errorf("its status is %03d, want 100 to 599", res.StatusCode)
	}
	for name, values := range res.Header {
		if !validToken(name) {
			return errors.New("the name of a header has a character that cannot be in a name")
		}
		for _, v := range values {
			if !validValue(v) {
				return fmt.Errorf("the header %s has a control character", name)
			}
		}
	}
	return nil
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err == io.EOF {
		a.whole = true
	}
	return n, err
}

// Buffered returns how many bytes of the body can be read without waiting, or a few more.
func (a *answer) Buffered() int { return a.r.Buffered() }

// Close gives the connection back if nothing is left on it of this call.
func (a *answer) Close() error {
	a.once.Do(func() {
		watching := a.stop()
		clean := watching && a.whole && !a.res.Close && a.r.Buffered() == 0 &&
			(a.up == nil || a.up.complete())
		a.recycle()
		if clean {
			a.cl.put(a.c)
		} else {
			_ = a.c.Close()
		}
		a.closed()
	})
	return nil
}

func (a *answer) closed() {
	if a.res.OnClose != nil {
		a.res.OnClose(a.whole)
	}
}

func (a *answer) recycle() {
	a.r.Reset(nil)
	readers.Put(a.r)
}

// upgraded is a connection that speaks another protocol now.
type upgraded struct{ *answer }

func (u *upgraded) Read(p []byte) (int, error)  { return u.r.Read(p) }
func (u *upgraded) Write(p []byte) (int, error) { return u.c.Write(p) }

// Close may be called while another goroutine reads, so the buffer is left to that one.
func (u *upgraded) Close() error {
	u.once.Do(func() {
		u.stop()
		_ = u.c.Close()
		u.closed()
	})
	return nil
}

// isStream reports whether an answer has no end that its caller waits for.
func isStream(h http.Header) bool { return streams(h.Get("Content-Type")) }

func wantsStream(h http.Header) bool {
	for _, accept := range h["Accept"] {
		if streams(accept) {
			return true
		}
	}
	return false
}

func streams(types string) bool {
	return strings.Contains(types, "text/event-stream") || strings.Contains(types, "application/x-ndjson")
}
