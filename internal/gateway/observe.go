package gateway

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/chain/wire"
	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/router"
)

// traced gives each call of a route, such as /function/, a span. Without a tracer it is the handler itself.
func (g *Gateway) traced(route string, h http.Handler) http.Handler {
	if g.cfg.Tracer == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, _, _ := targetOf(r)
		n, path, err := functionOf(target, route)
		if err != nil {
			h.ServeHTTP(w, r) // it is nobody's
			return
		}
		if _, ok := g.cfg.Registry.Function(n); !ok {
			h.ServeHTTP(w, r) // anybody may make up names
			return
		}
		watched := &statusWriter{ResponseWriter: w}
		parent, began := r.Header.Get(wire.HeaderTraceparent), time.Now()
		r, span := g.cfg.Tracer.Serve(r, route, n)
		served := &served{}
		r = r.WithContext(context.WithValue(r.Context(), servedKey{}, served))
		whole := false
		// Also when the handler panics, to break off.
		defer func() {
			span.EndServed(watched.status, !whole)
			if g.cfg.SyncCalls == nil || route != "/function/" {
				return
			}
			g.cfg.SyncCalls.Add(calls.SyncCall{
				Name:    n,
				CallID:  w.Header().Get(wire.HeaderCallID),
				Trace:   span.Traceparent(""),
				Parent:  parent,
				Method:  r.Method,
				Path:    path,
				Status:  watched.status,
				Broken:  !whole,
				Replica: served.replica,
				Started: began,
				Ended:   time.Now(),
				Cold:    served.cold,
			})
		}()
		h.ServeHTTP(watched, r)
		whole = true
	})
}

// served is what the handler of a sync call tells of it.
type served struct {
	replica string
	cold    float64 // ms
}

type servedKey struct{}

// noteServed tells whoever records the request which replica answered it.
func noteServed(r *http.Request, answer http.Header) {
	s, ok := r.Context().Value(servedKey{}).(*served)
	if !ok {
		return
	}
	s.replica = answer.Get(router.HeaderReplica)
	s.cold, _ = strconv.ParseFloat(answer.Get(router.HeaderColdStart), 64)
}

// counted calls Config.Served for each request of the management API, with the pattern of its path.
func (g *Gateway) counted(mux *http.ServeMux) http.Handler {
	if g.cfg.Served == nil {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		_, path, ok := strings.Cut(pattern, " ")
		if !ok || !strings.HasPrefix(path, "/system/") {
			mux.ServeHTTP(w, r)
			return
		}
		began, watched := time.Now(), &statusWriter{ResponseWriter: w}
		defer func() {
			if watched.status == 0 {
				watched.status = http.StatusOK // net/http's
			}
			g.cfg.Served(r.Method, strings.TrimSuffix(path, "{$}"), watched.status, time.Since(began))
		}()
		mux.ServeHTTP(watched, r)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack is for http.ResponseController. A call that takes the connection over switches to another protocol.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return c, rw, err
}
