package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// preflightAge is how many seconds a browser may cache a preflight's answer.
const preflightAge = "600"

// cors decides, from a function's annotation, which pages may read its answers. Credentials are never
// allowed: a browser keeps cookies and passwords for the origin, which all functions share. See
// https://fetch.spec.whatwg.org/#http-cors-protocol.
type cors struct {
	asked, allowed bool
	origin         string // the allowed one, or hearth.AnyOrigin
}

// corsOf returns the CORS rules of a function for the origin of a request.
func (g *Gateway) corsOf(r *http.Request, n hearth.Name) (c cors) {
	origin := r.Header.Get("Origin")
	if origin == "" || g.cfg.Registry == nil {
		return c
	}
	f, ok := g.cfg.Registry.Function(n)
	if !ok {
		return c
	}
	allowed := f.Origins
	switch {
	case len(allowed) == 0:
	case slices.Contains(allowed, hearth.AnyOrigin):
		c = cors{true, true, hearth.AnyOrigin}
	default:
		c = cors{true, slices.Contains(allowed, strings.ToLower(origin)), origin}
	}
	return c
}

// preflight answers a browser's preflight in the function's place, without waking it. It reports whether the
// request was one.
func (c cors) preflight(w http.ResponseWriter, r *http.Request, methods string) bool {
	if !c.asked || r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	c.apply(w.Header())
	if !c.allowed {
		chain.Problem{
			Status: http.StatusForbidden,
			Title:  http.StatusText(http.StatusForbidden),
			Detail: "pages of this origin may not call the function: its annotation com.hearth.cors does " +
				"not list it",
		}.Write(w)
		return true
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", methods)
	if asked := r.Header["Access-Control-Request-Headers"]; len(asked) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(asked, ", "))
	}
	h.Set("Access-Control-Max-Age", preflightAge)
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// apply sets the CORS headers of an answer, in place of the function's own.
func (c cors) apply(h http.Header) {
	if !c.asked {
		return
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if c.origin != hearth.AnyOrigin && !lists(h, "Vary", "Origin") {
		h["Vary"] = append(slices.Clip(h["Vary"]), "Origin")
	}
	if c.allowed {
		h["Access-Control-Allow-Origin"] = []string{c.origin}
		h["Access-Control-Expose-Headers"] = []string{"*"}
	}
}
