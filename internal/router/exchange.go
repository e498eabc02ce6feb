package router

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

	"github.com/hearthfaas/hearth/internal/backlog"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// maxHead is how many bytes the head of an answer may have, with all 1xx before it.
const maxHead = 256 << 10

// Open says what a caller can take that waits for its answer, and not only for the end of it. Its zero value is for others.
type Open struct {
	// Early is told of each 1xx answer but 100 and 101, before the answer itself, by the goroutine that makes the call. It may be nil.
	Early func(status int, header http.Header)

	// Upgrade lets the replica switch to the protocol of the request's Upgrade header. The answer's body is then the
	// connection, an io.ReadWriteCloser, and has no time limit.
	Upgrade bool

	// Stream has no time limit for an answer that is a stream by its Content-Type, as the request asked for: OpenFaaS's
	// watchdog has none either.
	Stream bool

	// Shed refuses the call if there is no free replica and Config.MaxHeld calls wait for one already.
	Shed bool

	// Queued tells that the call comes from a queue, whose Room it takes.
	Queued bool
}

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 4<<10) }}
)

// answer is a replica's, and the body of it: closing it gives the connection back, if all of it was read.
type answer struct {
	*http.Response
	body  io.ReadCloser
	t     *transport
	c     *conn
	r     *bufio.Reader
	up    *upload     // nil if the body was sent before the answer was read
	stop  func() bool // the watch for the caller's leaving
	whole bool        // it was read to its end

	endless bool // it has no time limit
	once    sync.Once
	done    func()
}

// exchange sends a call and reads the head of its answer.
func (t *transport) exchange(c *conn, req *http.Request, until time.Time, o Open) (_ *answer, err error) {
	stop := context.AfterFunc(req.Context(), func() { _ = c.SetDeadline(past) })
	a := &answer{t: t, c: c, stop: stop}
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
		_ = sendSmall(w, req) // if it was not taken, that may have been answered
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
		a.up.abandon() // if it still waits to be asked for
	}
	if a.endless = a.StatusCode == http.StatusSwitchingProtocols || o.Stream && isStream(a.Header) && wantsStream(req.Header); a.endless {
		_ = c.SetDeadline(time.Time{})
		if req.Context().Err() != nil { // its watch may have come before
			_ = c.SetDeadline(past)
		}
	}
	return a, nil
}

// readHead reads the answer's head, and tells of those with 1xx before it.
func (a *answer) readHead(req *http.Request, o Open) error {
	for {
		res, err := http.ReadResponse(a.r, req)
		if err != nil {
			return fmt.Errorf("read its answer: %w", err)
		}
		if res.ProtoMajor != 1 {
			return fmt.Errorf("its answer is %s, want HTTP/1.1", res.Proto)
		}
		for name, values := range res.Header {
			if !validToken(name) { // net/http lets spaces pass
				return errors.New("the name of a header of its answer has a character that no name has")
			}
			for _, v := range values {
				if !validValue(v) {
					return errors.New("a header of its answer has a control character")
				}
			}
		}
		switch status := res.StatusCode; {
		case status == http.StatusSwitchingProtocols:
			if !o.Upgrade || !strings.EqualFold(res.Header.Get("Upgrade"), req.Header.Get("Upgrade")) {
				return errors.New("it switches to a protocol that was not asked for")
			}
			a.Response, a.body, res.Body = res, http.NoBody, &upgraded{a}
			return nil
		case status == http.StatusContinue:
			if a.up != nil {
				a.up.proceed()
			}
		case status >= 102 && status < 200:
			if o.Early != nil {
				o.Early(status, res.Header)
			}
		case status >= 200 && status < 600:
			a.Response, a.body, res.Body = res, res.Body, a
			a.whole = a.body == http.NoBody
			return nil
		default:
			return fmt.Errorf("its status is %03d", status)
		}
	}
}

// notTaken tells that no process of the replica has accepted the call.
func (a *answer) notTaken() bool { return backlog.NotTaken(a.StatusCode, a.Header) }

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err == io.EOF {
		a.whole = true
	}
	return n, err
}

// Buffered is how many bytes of the body can be read without waiting, or a few more.
func (a *answer) Buffered() int { return a.r.Buffered() }

func (a *answer) Close() error {
	a.once.Do(func() {
		watching := a.stop()
		clean := watching && a.whole && !a.Response.Close && a.r.Buffered() == 0 && (a.up == nil || a.up.complete())
		a.recycle()
		if clean {
			a.t.put(a.c)
		} else {
			_ = a.c.Close()
		}
		a.done()
	})
	return nil
}

func (a *answer) recycle() {
	a.r.Reset(nil)
	readers.Put(a.r)
}

// upgraded is a connection that speaks another protocol now.
type upgraded struct{ *answer }

func (u *upgraded) Read(p []byte) (int, error)  { return u.r.Read(p) }
func (u *upgraded) Write(p []byte) (int, error) { return u.c.Write(p) }

// Close may be called while another goroutine reads, whose buffer is therefore left to it.
func (u *upgraded) Close() error {
	u.once.Do(func() {
		u.stop()
		_ = u.c.Close()
		u.done()
	})
	return nil
}

// isStream tells whether an answer has no end that somebody waits for.
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

// errBadRequest is of a call that cannot be written as HTTP.
func errBadRequest(format string, args ...any) error {
	return hearth.Errorf(hearth.Invalid, format, args...)
}
