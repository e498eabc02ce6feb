/*
Package headers has the one list of each kind of header that must not be passed on: from callers to functions,
from functions to callers, from queued calls to functions, and from answers to callbacks.

	framing   the length of the body and the host, which whoever writes a message sets itself
	hops      headers for one connection only (RFC 9110, 7.6.1)
	delivery  headers that only a dispatcher may set, because functions trust them

It does not add headers. Package forwarded does that for callers, and package chain for deliveries.
*/
package headers

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/chain/wire"
	"golang.org/x/net/http/httpguts"
)

var (
	framing = []string{"Content-Length", "Host", "Expect"}
	hops    = []string{
		"Connection", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
)

// OfEntry returns the headers of a stream entry under their canonical names, without framing and hop-by-hop
// headers. Anybody with write access to Redis may have chosen them, so it returns an error if one cannot be
// sent.
func OfEntry(h http.Header) (http.Header, error) {
	out := make(http.Header, len(h)+8)
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("entry: the name of the header %.80q has characters that cannot be sent",
				name)
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, fmt.Errorf("entry: the header %.80s has characters that cannot be sent",
					canonical)
			}
		}
		out[canonical] = append(out[canonical], values...)
	}
	DropHops(out)
	for _, name := range framing {
		delete(out, name)
	}
	return out, nil
}

// DropHops removes hop-by-hop headers, including those that the Connection header lists. Names must be
// canonical.
func DropHops(h http.Header) {
	for _, listed := range h["Connection"] {
		for name := range strings.SplitSeq(listed, ",") {
			delete(h, textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name)))
		}
	}
	for _, name := range hops {
		delete(h, name)
	}
}

// DropDelivery removes the headers that only a dispatcher may set, also in spellings that CGI and WSGI treat
// as the same. Other names must be canonical.
func DropDelivery(h http.Header) {
	for _, name := range wire.DeliveryHeaders {
		delete(h, name)
	}
	for name := range h {
		if strings.Contains(name, "_") &&
			slices.Contains(wire.DeliveryHeaders,
				textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			delete(h, name)
		}
	}
}
