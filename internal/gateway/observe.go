package gateway

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"time"
)

// traced gives each call of a route, such as /function/, a span. Without a tracer it is the handler itself.
func (g *Gateway) traced(route string, h http.Handler) http.Handler {
	if g.cfg.Tracer == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, _, _ := targetOf(r)
		n, _, err := functionOf(target, route)
		if err != nil {
			h.ServeHTTP(w, r) // it is nobody's
			return
		}
		if _, ok := g.cfg.Registry.Function(n); !ok {
			h.ServeHTTP(w, r) // anybody may make up names
			return
		}
		watched := &statusWriter{ResponseWriter: w}
		r, span := g.cfg.Tracer.Serve(r, route, n)
		whole := false
		// Also when the handler panics, to break off.
		defer func() { span.EndServed(watched.status, !whole) }()
		h.ServeHTTP(watched, r)
		whole = true
	})
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
