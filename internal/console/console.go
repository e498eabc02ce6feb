package console

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/chain"
	"github.com/hearthfaas/hearth/internal/inbound"
	"github.com/hearthfaas/hearth/internal/origin"
)

// Config is what a console works with. All fields but Origin and Demo are required.
type Config struct {
	Sessions *Sessions
	// Origin decides which requests are answered.
	Origin origin.Guard
	// Management returns the gateway's management API behind a guard.
	Management func(guard func(http.Handler) http.Handler) http.Handler
	// Calls is the gateway's handler of calls, sync and async.
	Calls http.Handler
	// Host is the gateway's host and port, as functions see it in calls.
	Host    string
	Version string
	// Demo is what an instance offers that shows itself off; nil for any other.
	Demo *Demo
	Log  *slog.Logger
}

// A Console serves one origin.
type Console struct {
	cfg     Config
	handler http.Handler
	refused inbound.Seldom // limits the log
}

// New makes a console.
func New(cfg Config) *Console {
	c := &Console{cfg: cfg}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", c.from(cfg.Origin.Visit, page()))
	mux.Handle("GET /static/", c.from(cfg.Origin.Page, assets()))
	own := func(h http.HandlerFunc) http.Handler { return c.from(cfg.Origin.Page, h) }
	mux.Handle("POST /session", own(c.logIn))
	mux.Handle("GET /session", own(c.authorized(c.showSession)))
	mux.Handle("DELETE /session", own(c.authorized(c.logOut)))
	mux.Handle("POST /invoke", own(c.authorized(c.invoke)))
	management := c.from(cfg.Origin.Page, cfg.Management(func(next http.Handler) http.Handler {
		return c.authorized(func(w http.ResponseWriter, r *http.Request, _ *session) { next.ServeHTTP(w, r) })
	}))
	mux.Handle("/system/", management)
	c.demo(mux, own)
	c.handler = origin.Isolate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls(r) {
			management.ServeHTTP(w, r) // not by the mux, which would clean a call id as a path
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return c
}

// ServeHTTP answers a request at the console's address.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// from refuses requests of other pages, and under names that may be a stranger's.
func (c *Console) from(check func(*http.Request) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := check(r); err != nil {
			refuse(w, http.StatusForbidden, err.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers a request with an error.
func refuse(w http.ResponseWriter, status int, detail string) {
	chain.Problem{Status: status, Title: http.StatusText(status), Detail: detail}.Write(w)
}

// refusedLogin logs a login that was refused, and not each of many.
func (c *Console) refusedLogin(r *http.Request) {
	if missed, due := c.refused.Due(time.Now()); due {
		c.cfg.Log.Warn("refused console login", "peer", r.RemoteAddr, "before", missed)
	}
}
