package console

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A Demo is what an instance offers that shows itself off: faults that its visitors may cause, and the proof
// that none of them lost anything.
type Demo struct {
	// Faults are the faults by name. Each returns what it did, in one sentence. target is a function's name,
	// or "".
	Faults map[string]func(ctx context.Context, target string) (string, error)
	// Audit runs the application's audit. ok means that its books balance. nil if there is none.
	Audit func(ctx context.Context) (text string, ok bool)
}

// demo adds the routes of a demonstration, for operators.
func (c *Console) demo(mux *http.ServeMux, own func(http.HandlerFunc) http.Handler) {
	d := c.cfg.Demo
	if d == nil {
		return
	}
	mux.Handle("GET /demo", own(c.authorized(func(w http.ResponseWriter, _ *http.Request, _ *session) {
		answer(w, map[string]any{"faults": slices.Sorted(maps.Keys(d.Faults)), "audit": d.Audit != nil})
	})))
	mux.Handle("POST /demo/faults", own(c.authorized(c.cause)))
	mux.Handle("POST /demo/audit", own(c.authorized(func(w http.ResponseWriter, r *http.Request, _ *session) {
		if d.Audit == nil {
			refuse(w, http.StatusNotFound, "this demonstration has no audit: start it with --demo-audit")
			return
		}
		text, ok := d.Audit(r.Context())
		answer(w, map[string]any{"ok": ok, "text": text})
	})))
}

// cause answers POST /demo/faults {"fault": NAME, "function": NAME}.
func (c *Console) cause(w http.ResponseWriter, r *http.Request, _ *session) {
	var in struct {
		Fault    string `json:"fault"`
		Function string `json:"function"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLogin)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest,
			`the body is not JSON of the form {"fault": "NAME", "function": "NAME"}`)
		return
	}
	fault, ok := c.cfg.Demo.Faults[in.Fault]
	if !ok {
		refuse(w, http.StatusBadRequest, "fault must be one of "+
			strings.Join(slices.Sorted(maps.Keys(c.cfg.Demo.Faults)), ", "))
		return
	}
	c.cfg.Log.Warn("a visitor of the console caused a fault", "fault", in.Fault, "function", in.Function)
	did, err := fault(r.Context(), in.Function)
	if err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	answer(w, map[string]any{"did": did})
}
