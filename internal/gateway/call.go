package gateway

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/headers"
	"github.com/hearthfaas/hearth/internal/hearth"
)

const (
	headerStartTime = "X-Start-Time"

	// maxReplay is how many bytes a body may have that is read before the call is sent. If a replica takes
	// nothing of it, another replica can be sent it.
	maxReplay = 64 << 10

	maxCallID = 200 // bytes of an X-Call-Id; a longer one is replaced

	bodyTimeout  = 30 * time.Second // for a body that is read before the call is sent
	writeTimeout = time.Minute      // for a caller to take the next part of an answer
)

// targetOf returns the path and the query of a request byte for byte as they were sent. net/url would change
// them.
func targetOf(r *http.Request) (path, query string, asked bool) {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") { // absolute form; RFC 9112, 3.2.2
		_, rest, _ := strings.Cut(target, "://")
		target = ""
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		}
	}
	return strings.Cut(target, "?")
}

// functionOf splits /function/NAME[.NS][/path] at the prefix, and keeps the path as it was sent.
func functionOf(path, prefix string) (n hearth.Name, rest string, err error) {
	path, ok := strings.CutPrefix(path, prefix)
	name, rest, _ := strings.Cut(path, "/")
	if !ok || name == "" {
		return n, "", hearth.Errorf(hearth.Invalid, "the path has no function: want %sNAME", prefix)
	}
	n, err = hearth.ParseName(name)
	if err != nil {
		return n, "", hearth.Errorf(hearth.NotFound, "there is no function %.80q", name)
	}
	return n, "/" + rest, nil
}

// headersOf returns the headers for a function: the caller's, without hop-by-hop headers and those that only
// a dispatcher may set, and with OpenFaaS's.
func (g *Gateway) headersOf(r *http.Request, callID string, now time.Time) http.Header {
	h := make(http.Header, len(r.Header)+4)
	for name, values := range r.Header {
		h[name] = values
	}
	headers.DropHops(h)
	headers.DropDelivery(h)
	g.dropPassword(h)
	h[wire.HeaderCallID] = []string{callID}
	h[headerStartTime] = []string{strconv.FormatInt(now.UnixNano(), 10)}
	g.cfg.Proxies.WriteHeaders(h, r)
	return h
}

// lists reports whether a header lists a token, in any case; RFC 9110, 5.6.1.
func lists(h http.Header, name, token string) bool {
	for _, v := range h[name] {
		for item := range strings.SplitSeq(v, ",") {
			item, _, _ = strings.Cut(item, ";")
			if strings.EqualFold(textproto.TrimString(item), token) {
				return true
			}
		}
	}
	return false
}

// callIDOf returns the caller's X-Call-Id, or a new one. It is a correlation id: several calls may share it.
func callIDOf(r *http.Request) string {
	if id := r.Header.Get(wire.HeaderCallID); id != "" && len(id) <= maxCallID {
		return id
	}
	return newCallID()
}

// newCallID returns an id that tells when it was made, by which the record of calls knows one that has
// expired.
func newCallID() string {
	return uuid.Must(uuid.NewV7()).String()
}

// contentTypeOf returns the Content-Type for an answer that has none: the request's, as OpenFaaS does.
func contentTypeOf(r *http.Request) []string {
	if t, ok := r.Header["Content-Type"]; ok {
		return t
	}
	return []string{"text/plain; charset=utf-8"}
}
