package gateway

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/hearthfaas/hearth/internal/origin"
)

// adminRoutes returns the routes of the admin address: the management API, for the operator's programs and
// browser. It serves no functions, so what a browser keeps for this origin is the operator's alone.
func (g *Gateway) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", g.healthz)
	mux.Handle("GET /ui/{$}", g.guard.asked(g.guard.origin.Page, plainErrors(g.cfg.Log, g.ui)))
	mux.Handle("GET /{$}", g.guard.asked(g.guard.origin.Page, http.RedirectHandler("/ui/", http.StatusFound)))
	mux.Handle("GET /metrics", g.guard.asked(g.guard.origin.Page, g.cfg.Metrics))
	mux.HandleFunc("/function/", called)
	g.management(mux, g.guard.pages)
	return g.withoutFunctions(mux, g.guard.pages)
}

// Management returns the management API behind another guard than the gateway's own, for the console. A
// request that the guard passes on has all rights.
func (g *Gateway) Management(guard func(http.Handler) http.Handler) http.Handler {
	mux := http.NewServeMux()
	all := func(next http.Handler) http.Handler { return next }
	g.management(mux, all)
	return guard(g.withoutFunctions(mux, all))
}

// withoutFunctions returns the handler of an address that serves no functions. It adds what the management
// API has for queued calls, because a mux would clean their paths.
func (g *Gateway) withoutFunctions(mux *http.ServeMux, protect func(http.Handler) http.Handler) http.Handler {
	cancel, others := protect(g.problems(g.cancel)), g.counted(mux)
	show := protect(g.problems(g.showCall))
	return origin.Isolate(attended(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch async := strings.HasPrefix(r.URL.Path, "/async-function/"); {
		case async && r.Method == http.MethodDelete:
			cancel.ServeHTTP(w, r)
		case async && r.Method == http.MethodGet:
			show.ServeHTTP(w, r)
		case async:
			called(w, r)
		default:
			others.ServeHTTP(w, r)
		}
	})))
}

// called tells callers of a function at the admin address where to call it.
func called(w http.ResponseWriter, _ *http.Request) {
	const text = "this address serves no functions; call them at the gateway's address"
	http.Error(w, text, http.StatusNotFound)
}

// elsewhere answers requests for what only the admin address serves.
func (g *Gateway) elsewhere(w http.ResponseWriter, r *http.Request) {
	text := "this is only at the admin address, and this instance has none: start it with --admin-listen " +
		"127.0.0.1:8082"
	if g.cfg.Admin != "" {
		text = fmt.Sprintf("this is only at the admin address: %s%s on the machine of this instance",
			g.cfg.Admin, r.URL.Path)
	}
	http.Error(w, text, http.StatusNotFound)
}

// dropPassword removes the operator's password from a request to a function: the function's author must not
// learn it because a client sent it by mistake.
func (g *Gateway) dropPassword(h http.Header) {
	for name, values := range h {
		if !spelt(name, "Authorization") {
			continue
		}
		var kept []string
		for _, v := range values {
			if !g.cfg.Credentials.shownIn(v) {
				kept = append(kept, v)
			}
		}
		if delete(h, name); len(kept) > 0 {
			h[name] = kept
		}
	}
}

// spelt reports whether a header has a name, or a spelling of it that CGI and WSGI treat as the same.
func spelt(header, name string) bool {
	return header == name || strings.EqualFold(strings.ReplaceAll(header, "_", "-"), name)
}

// shownIn reports whether an Authorization header contains the password: as Basic with any user, as a bearer
// token, or bare.
func (c Credentials) shownIn(value string) bool {
	if c.Password == "" {
		return false
	}
	value = textproto.TrimString(value)
	shown := same(value, c.Password)
	if i := strings.IndexAny(value, " \t"); i >= 0 {
		value = textproto.TrimString(value[i:])
		shown |= same(value, c.Password)
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if text, err := encoding.DecodeString(strings.TrimRight(value, "=")); err == nil {
			_, password, _ := strings.Cut(string(text), ":")
			shown |= same(password, c.Password) | same(textproto.TrimString(password), c.Password)
		}
	}
	return shown == 1
}

// dropClaims removes headers from a function's answer that would affect the whole origin, which all functions
// share. A challenge with our realm would make a browser ask for the operator's password.
func dropClaims(h http.Header) {
	delete(h, "Service-Worker-Allowed")
	values, ok := h["Www-Authenticate"]
	if !ok {
		return
	}
	var kept []string
	for _, v := range values {
		plain := strings.ToLower(strings.ReplaceAll(v, `\`, ""))
		if !strings.Contains(plain, strings.ToLower(realm)) {
			kept = append(kept, v)
		}
	}
	if delete(h, "Www-Authenticate"); len(kept) > 0 {
		h["Www-Authenticate"] = kept
	}
}

// wideWorker reports whether a browser asks for the script of a service worker that would answer in place of
// other functions: what it may answer for is the directory that the script is in, and for /function/NAME that
// is all functions'.
func wideWorker(r *http.Request, path, prefix string) bool {
	return r.Header["Service-Worker"] != nil && !strings.Contains(strings.TrimPrefix(path, prefix), "/")
}
