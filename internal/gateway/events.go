package gateway

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/history"
)

// quiet is how long GET /system/events may send nothing. Then it sends a comment, so that both sides notice a
// connection that is gone.
const quiet = 20 * time.Second

// events answers with server-sent events: a snapshot at once, and another one, at most once a second, when
// something has changed. See https://html.spec.whatwg.org/multipage/server-sent-events.html.
func (g *Gateway) events(w http.ResponseWriter, r *http.Request) error {
	leave, err := g.cfg.Live.Watch(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	still := time.NewTimer(quiet)
	defer still.Stop()
	var last *byte // the first byte of the snapshot that was sent
	for {
		text, changed := g.cfg.Live.Snapshot()
		if len(text) > 0 && &text[0] != last {
			if _, err := fmt.Fprintf(w, "event: snapshot\ndata: %s\n\n", text); err != nil {
				return nil
			}
			last = &text[0]
			still.Reset(quiet)
		}
		if out.Flush() != nil {
			return nil
		}
		select {
		case <-changed:
		case <-still.C:
			if _, err := fmt.Fprint(w, ": nothing has changed\n\n"); err != nil {
				return nil
			}
			still.Reset(quiet)
		case <-g.ending:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// history answers how the calls of a function went: ?span=15m or 24h.
func (g *Gateway) history(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	n, _, err := in.function(r.PathValue("name"))
	if err != nil {
		return err
	}
	span := in.last("span")
	if span != "" && span != "15m" && span != "24h" {
		return hearth.Errorf(hearth.Invalid, "span is %.40q, want 15m or 24h", span)
	}
	if _, ok := g.cfg.Registry.Function(n); !ok {
		return hearth.NotFoundError(n)
	}
	report, ok := g.cfg.History.Of(n, span == "24h", time.Now())
	if !ok {
		return hearth.NotFoundError(n)
	}
	revisions, err := g.revisions(r.Context(), n)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		history.Report
		Revisions []revision `json:"revisions"`
	}{report, revisions})
}
