package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/calls"
	"github.com/hearthfaas/hearth/internal/hearth"
)

// errNoRecord is returned where calls are not recorded.
var errNoRecord = hearth.Errorf(hearth.NotFound,
	"this instance does not record calls: start it with --record-calls above 0")

// namesFunction reports whether the path of a request for a queued call names a function that is deployed. A
// GET of it is a mistake, which OpenFaaS's contract answers with 405; a call id is another name.
func (g *Gateway) namesFunction(r *http.Request) bool {
	target, _, _ := targetOf(r)
	n, _, err := functionOf(target, "/async-function/")
	if err != nil {
		return false
	}
	_, ok := g.cfg.Registry.Function(n)
	return ok
}

// showCall answers what became of a call: GET /async-function/CALL-ID.
func (g *Gateway) showCall(w http.ResponseWriter, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, "/async-function/")
	if id == "" || len(id) > 2*maxCallID {
		return hearth.Errorf(hearth.Invalid, "the path names no call: want /async-function/CALL-ID")
	}
	if g.cfg.Calls == nil {
		return errNoRecord
	}
	story, err := g.cfg.Calls.Get(r.Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, story)
}

// trace answers all that one call caused: GET /system/traces/ID, with a trace id or a call id.
func (g *Gateway) trace(w http.ResponseWriter, r *http.Request) error {
	if g.cfg.Calls == nil {
		return errNoRecord
	}
	journey, err := g.cfg.Calls.Trace(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, journey)
}

// listCalls answers GET /system/calls: the newest calls that match.
func (g *Gateway) listCalls(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	q, err := callQuery(in)
	if err != nil {
		return err
	}
	if g.cfg.Calls == nil {
		return errNoRecord
	}
	page, err := g.cfg.Calls.Search(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}

// callQuery reads the parameters of GET /system/calls.
func callQuery(in *input) (q calls.Query, err error) {
	n, named, err := in.function("")
	if err != nil {
		return q, err
	}
	if named {
		if err := n.Validate(); err != nil {
			return q, err
		}
		q.Function = &n
	}
	q.States, err = oneOf("state", in.last("state"), calls.States)
	if err != nil {
		return q, err
	}
	if q.Kinds, err = oneOf("kind", in.last("kind"), calls.Kinds); err != nil {
		return q, err
	}
	q.CallID, q.TraceID, q.Cursor = in.last("call_id"), in.last("trace_id"), in.last("cursor")
	for name, value := range map[string]*int{"status": &q.Status, "limit": &q.Limit} {
		if text := in.last(name); text != "" {
			most := map[string]int{"status": 599, "limit": calls.MaxLimit}[name]
			if *value, err = strconv.Atoi(text); err != nil || *value < 1 || *value > most {
				return q, hearth.Errorf(hearth.Invalid, "%s is %.40q, want a number from 1 to %d",
					name, text, most)
			}
		}
	}
	for name, value := range map[string]*float64{"min_ms": &q.MinRun, "max_ms": &q.MaxRun} {
		if text := in.last(name); text != "" {
			if *value, err = strconv.ParseFloat(text, 64); err != nil || !(*value >= 0) || *value > 1e12 {
				return q, hearth.Errorf(hearth.Invalid, "%s is %.40q, want milliseconds, such as 250",
					name, text)
			}
		}
	}
	for name, at := range map[string]*time.Time{"after": &q.After, "before": &q.Before} {
		if *at, err = instant(in.last(name)); err != nil {
			return q, hearth.Errorf(hearth.Invalid,
				"%s is %.40q, want a day such as 2026-11-05, or a time such as 2026-11-05T18:00:00Z",
				name, in.last(name))
		}
	}
	if names := in.unknown(); len(names) > 0 {
		return q, hearth.Errorf(hearth.Invalid, "there is no filter %.80q", names[0])
	}
	return q, nil
}

// oneOf reads values that are separated by commas, each of which must be one of some.
func oneOf[T ~string](name, text string, some []T) (list []T, err error) {
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		value := T(strings.TrimSpace(word))
		if !slices.Contains(some, value) {
			words := make([]string, len(some))
			for i, s := range some {
				words[i] = string(s)
			}
			return nil, hearth.Errorf(hearth.Invalid, "%s is %.40q, want one of %s", name, word,
				strings.Join(words, ", "))
		}
		list = append(list, value)
	}
	return list, nil
}

// replayCall makes a new call of a recorded one: POST /system/calls/replay.
func (g *Gateway) replayCall(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	id, err := in.value("call", "", "id", "call_id")
	if err != nil {
		return err
	}
	if err := in.strict(); err != nil {
		return err
	}
	if id == "" {
		return hearth.Errorf(hearth.Invalid, `the call is missing: want {"id": "CALL-ID"}`)
	}
	if g.cfg.Calls == nil {
		return errNoRecord
	}
	n, call, err := g.cfg.Calls.Replayed(r.Context(), id)
	if err != nil {
		return err
	}
	f, ok := g.cfg.Registry.Function(n)
	if !ok {
		return hearth.NotFoundError(n)
	}
	call.CallID = newCallID()
	queued, err := g.queue(r, f, call)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, map[string]string{
		"call_id":  queued.CallID,
		"function": n.String(),
		"replays":  id,
	})
}
