/*
Package headers says which headers of a call go on to a function, whether the call came over HTTP or lay on a stream.

	framing   how long the body is, and who the call is for: whoever sends the call says that
	hops      what speaks of one connection only; RFC 9110, 7.6.1
	delivery  what only a dispatcher may set: a function trusts it

It does not add any, and knows nothing of answers but that they have hops too.
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
		"Connection", "Http2-Settings", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
)

// OfEntry returns the headers of a stream entry under their canonical names, without framing and hop-by-hop
// headers. Anybody with write access to Redis may have chosen them. It returns an error if one cannot be sent.
func OfEntry(h http.Header) (http.Header, error) {
	out := make(http.Header, len(h)+8)
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("entry: the name of the header %.80q has characters that cannot be sent", name)
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return nil, fmt.Errorf("entry: the header %.80s has characters that cannot be sent", canonical)
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

// DropDelivery removes the headers that only a dispatcher may set, also in spellings that CGI and WSGI treat as
// the same. Other names must be canonical.
func DropDelivery(h http.Header) {
	for _, name := range wire.DeliveryHeaders {
		delete(h, name)
	}
	for name := range h {
		if strings.Contains(name, "_") && slices.Contains(wire.DeliveryHeaders, textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))) {
			delete(h, name)
		}
	}
}
