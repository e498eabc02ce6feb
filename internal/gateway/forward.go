package gateway

import (
	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/headers"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

const methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" // of functions

// call is a sync call.
func (g *Gateway) call(w http.ResponseWriter, r *http.Request) error {
	target, query, asked := targetOf(r)
	n, path, err := functionOf(target, "/function/")
	if err != nil {
		return err
	}
	cors := g.corsOf(r, n)
	if cors.preflight(w, r, methods) {
		return nil
	}
	cors.apply(w.Header())
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
	default:
		w.Header().Set("Allow", methods)
		chain.Problem{
			Status: http.StatusMethodNotAllowed,
			Title:  "Method Not Allowed",
			Detail: "a function is called with one of " + methods,
		}.Write(w)
		return nil
	}
	if wideWorker(r, target, "/function/") {
		return hearth.Errorf(hearth.Invalid,
			"a service worker at /function/NAME would have the scope of all functions: serve its script "+
				"below /function/NAME/")
	}
	if !g.withinRate(w, r, n) {
		return nil
	}
	callID := callIDOf(r)
	now := time.Now()
	out := (&http.Request{
		Method:        r.Method,
		URL:           &url.URL{Opaque: path, RawQuery: query, ForceQuery: asked},
		Header:        g.headersOf(r, callID, now),
		ContentLength: r.ContentLength,
	}).WithContext(r.Context())
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{"hearth/" + g.cfg.Version}
	}
	if lists(r.Header, "Te", "trailers") {
		out.Header["Te"] = []string{"trailers"}
	}
	protocols := upgradesOf(r)
	open := router.Open{Stream: true, Shed: true, Upgrade: protocols != ""}
	if open.Upgrade {
		out.Header["Connection"], out.Header["Upgrade"] = []string{"Upgrade"}, []string{protocols}
	}
	if r.ProtoAtLeast(1, 1) {
		open.Early = func(status int, h http.Header) { early(w, status, h) }
	}
	body, err := g.giveBody(w, out, r)
	if err != nil {
		return err
	}
	// Before the answer is closed, which ends the connection that the body may still be sent on.
	defer body.end(w)
	res, err := g.cfg.Router.Forward(n, out, open)
	if err != nil {
		body.closing(w)
		w.Header().Set(wire.HeaderCallID, callID)
		return err
	}
	defer func() { _ = res.Body.Close() }()
	noteServed(r, res.Header)
	header := w.Header()
	if res.StatusCode == http.StatusSwitchingProtocols {
		g.switched(w, r, res, callID, out.Header[headerStartTime])
		return nil
	}
	headers.DropHops(res.Header)
	dropClaims(res.Header)
	for name, values := range res.Header {
		header[name] = values
	}
	cors.apply(header)
	for _, name := range internalHeaders {
		delete(header, name)
	}
	header[wire.HeaderCallID] = []string{callID}
	header[headerStartTime] = out.Header[headerStartTime]
	if _, ok := header["Content-Type"]; !ok && res.ContentLength != 0 {
		header["Content-Type"] = contentTypeOf(r)
	}
	headers.DropHops(res.Trailer)
	for name := range res.Trailer {
		header.Add("Trailer", name)
	}
	announced := header["Trailer"]
	body.closing(w)
	w.WriteHeader(res.StatusCode)
	copyBody(w, res)
	headers.DropHops(res.Trailer)
	dropClaims(res.Trailer)
	for name, values := range res.Trailer {
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name // as net/http wants trailers that were not announced
		}
		header[name] = values
	}
	return nil
}

// internalHeaders are of answers, and not for callers.
var internalHeaders = []string{
	router.HeaderReplica,
	router.HeaderColdStart,
	wire.HeaderSettled,
	wire.HeaderCommitTime,
}

// early passes an interim answer (1xx) on. Its headers are not part of the final answer.
func early(w http.ResponseWriter, status int, h http.Header) {
	header := w.Header()
	headers.DropHops(h)
	dropClaims(h)
	kept := maps.Clone(header)
	for name, values := range h {
		header[name] = values
	}
	w.WriteHeader(status)
	clear(header)
	maps.Copy(header, kept)
}

// upgradesOf returns the protocols that a caller offers to switch to, from which a function may choose. It
// leaves out versions of HTTP, because their requests would pass through unchecked: a server may ignore the
// offer (RFC 9110, 7.8), and RFC 9113 has withdrawn h2c. It also leaves out TLS, which ends here.
func upgradesOf(r *http.Request) string {
	if r.ContentLength != 0 || !lists(r.Header, "Connection", "upgrade") {
		return ""
	}
	var kept []string
	for protocol := range strings.SplitSeq(strings.Join(r.Header["Upgrade"], ","), ",") {
		protocol = strings.TrimSpace(protocol)
		name, _, _ := strings.Cut(strings.ToLower(protocol), "/")
		if name != "" && name != "http" && name != "tls" && !strings.HasPrefix(name, "h2") &&
			!strings.HasPrefix(name, "h3") {
			kept = append(kept, protocol)
		}
	}
	return strings.Join(kept, ", ")
}

// sent is the body of a call while it is sent.
type sent struct {
	io.ReadCloser // nil if it was read before
	from, to      *http.Request
	clean         func(http.Header) // removes what is not for functions

	mu  sync.Mutex
	all bool
}

func (b *sent) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.to.Trailer { // those that were announced
			b.to.Trailer[name] = b.from.Trailer[name]
		}
		b.clean(b.to.Trailer)
		b.mu.Lock()
		b.all = true
		b.mu.Unlock()
	}
	return n, err
}

func (b *sent) over() bool {
	if b.ReadCloser == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all
}

// closing says in the answer that the connection ends with it, if the body has not come to its end: it is
// unknown where the next request would begin.
func (b *sent) closing(w http.ResponseWriter) {
	if !b.over() {
		w.Header().Set("Connection", "close")
	}
}

// end ends a read that still waits for more of the body.
func (b *sent) end(w http.ResponseWriter) {
	if !b.over() {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
}

// giveBody gives the call its body. A small body is read first, so that it can be sent again; a longer one is
// sent as it comes, and may take as long as the call may. A body with Expect: 100-continue is not read until
// the replica asks for it.
func (g *Gateway) giveBody(w http.ResponseWriter, out, r *http.Request) (*sent, error) {
	body := &sent{}
	control := http.NewResponseController(w)
	if r.ContentLength == 0 {
		_ = control.SetReadDeadline(time.Time{})
		return body, nil
	}
	if r.ContentLength > 0 && r.ContentLength <= maxReplay && r.Header["Expect"] == nil {
		small := make([]byte, r.ContentLength)
		_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
		if _, err := io.ReadFull(r.Body, small); err != nil {
			return nil, hearth.Errorf(hearth.Invalid, "the body ended early, or took longer than %v",
				bodyTimeout)
		}
		_ = control.SetReadDeadline(time.Time{})
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(small)), nil }
		out.Body, _ = out.GetBody()
		return body, nil
	}
	_ = control.SetReadDeadline(time.Time{})
	_ = control.EnableFullDuplex()
	body.ReadCloser, body.from, body.to, body.clean = r.Body, r, out, g.dropPassword
	for name := range r.Trailer {
		if out.Trailer == nil {
			out.Trailer = http.Header{}
		}
		out.Trailer[name] = nil
	}
	headers.DropHops(out.Trailer)
	headers.DropDelivery(out.Trailer)
	out.Body = body
	return body, nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copyBody passes the body of an answer on as it comes, and holds nothing back.
func copyBody(w http.ResponseWriter, res *http.Response) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // a caller that does not read is given up
	left := res.ContentLength
	if body, ok := res.Body.(interface{ Buffered() int }); ok && left != 0 && body.Buffered() == 0 {
		_ = out.Flush() // the head, because the body may come much later
	}
	for {
		n, err := res.Body.Read(*buffer)
		if n > 0 {
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write((*buffer)[:n]); err != nil {
				return
			}
			if left -= int64(n); left != 0 {
				_ = out.Flush()
			}
		}
		if err != nil {
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout)) // for the end of the answer
			if err != io.EOF {
				// At least the head: without it the client may believe that the call did not run.
				_ = out.Flush()
				panic(http.ErrAbortHandler) // so that the caller sees that the answer is incomplete
			}
			return
		}
	}
}

// switched connects a caller and a replica that have agreed on another protocol, until one of them closes or
// the drain is over.
func (g *Gateway) switched(w http.ResponseWriter, r *http.Request, res *http.Response, callID string,
	start []string) {
	g.sockets.Add(1)
	defer g.sockets.Done()
	replica := res.Body.(io.ReadWriteCloser)
	caller, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil { // the caller does not speak HTTP/1
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = caller.Close() }()
	_ = caller.SetDeadline(time.Time{})
	protocol := res.Header["Upgrade"]
	headers.DropHops(res.Header)
	dropClaims(res.Header)
	for _, name := range internalHeaders {
		delete(res.Header, name)
	}
	res.Header["Connection"], res.Header["Upgrade"] = []string{"Upgrade"}, protocol
	res.Header[wire.HeaderCallID], res.Header[headerStartTime] = []string{callID}, start
	head := &strings.Builder{}
	head.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = res.Header.Write(head)
	head.WriteString("\r\n")
	if _, err := io.WriteString(caller, head.String()); err != nil {
		return
	}
	ended := make(chan struct{}, 2)
	pump := func(to io.Writer, from io.Reader) {
		buffer := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		_, _ = io.CopyBuffer(to, struct{ io.Reader }{from}, *buffer)
		ended <- struct{}{}
	}
	go pump(struct{ io.Writer }{replica}, buffered)
	go pump(patient{caller}, replica)
	left := 2
	select {
	case <-ended:
		left--
	case <-r.Context().Done(): // the drain is over
	}
	_, _ = caller.Close(), replica.Close()
	for ; left > 0; left-- {
		<-ended
	}
}

// patient writes to a caller for as long as it keeps reading.
type patient struct{ c net.Conn }

func (p patient) Write(b []byte) (int, error) {
	_ = p.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.c.Write(b)
}
