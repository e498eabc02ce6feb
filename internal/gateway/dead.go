package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// A DeadLetter is one, as the operator sees it.
type DeadLetter struct {
	Queue string `json:"queue"`
	redis.DeadLetter
	Reason string `json:"reason"` // of the last failure

	// Of one letter only:
	CallID      string      `json:"call_id,omitempty"`
	ContentType string      `json:"content_type,omitempty"`
	Method      string      `json:"method,omitempty"`
	Path        string      `json:"path,omitempty"`
	Query       string      `json:"query,omitempty"`
	Header      http.Header `json:"header,omitempty"`
	Callback    string      `json:"callback,omitempty"`
	Body        []byte      `json:"body,omitempty"` // base64
}

const maxListed = 1000

// listDead lists dead letters, oldest first: ?function=, ?queue=, ?limit=.
func (g *Gateway) listDead(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	limit := 100
	if text := in.last("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return hearth.Errorf(hearth.Invalid, "the limit is %.20q, want a whole number from 1 to %d", text, maxListed)
		}
		limit = n
	}
	s, err := selectionOf(in)
	if err != nil {
		return err
	}
	list := []DeadLetter{}
	err = g.letters(r.Context(), s, func(q Queue, l redis.DeadLetter) error {
		list = append(list, DeadLetter{Queue: q.Name, DeadLetter: l, Reason: l.Reason()})
		if len(list) == limit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	slices.SortStableFunc(list, func(a, b DeadLetter) int { return a.Buried.Compare(b.Buried) })
	return writeJSON(w, http.StatusOK, list)
}

// showDead is one dead letter, with the call that it is.
func (g *Gateway) showDead(w http.ResponseWriter, r *http.Request) error {
	queues, err := g.selected(r.Context(), r.PathValue("queue"), "")
	if err != nil {
		return err
	}
	l, ok, err := g.cfg.Queue.DeadLetter(r.Context(), queues[0].sub, r.PathValue("id"))
	if err != nil {
		return err
	}
	if !ok {
		return hearth.Errorf(hearth.NotFound, "there is no dead letter %.80q in the queue %s", r.PathValue("id"), queues[0].Name)
	}
	return writeJSON(w, http.StatusOK, whole(queues[0], l))
}

// whole is a dead letter with the call that it is.
func whole(q Queue, l redis.DeadLetter) DeadLetter {
	e := l.Entry
	return DeadLetter{Queue: q.Name, DeadLetter: l, Reason: l.Reason(), CallID: e.CallID, ContentType: e.ContentType,
		Method: e.Method, Path: e.Path, Query: e.Query, Header: e.Header, Callback: redacted(e.Callback), Body: e.Body}
}

// redacted is a callback URL without its password.
func redacted(callback string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return "a URL that cannot be read"
	}
	return u.Redacted()
}

// exportDead writes all dead letters that a selection means, each with its call, one line of JSON for each.
func (g *Gateway) exportDead(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	s, err := selectionOf(in)
	if err != nil {
		return err
	}
	if _, err := g.selected(r.Context(), s.Queue, s.Function); err != nil {
		return err // while it can still be said with a status
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, deadline := json.NewEncoder(w), http.NewResponseController(w)
	err = g.letters(r.Context(), s, func(q Queue, l redis.DeadLetter) error {
		_ = deadline.SetWriteDeadline(time.Now().Add(writeTimeout))
		return out.Encode(whole(q, l))
	})
	if err != nil {
		g.cfg.Log.Warn("an export of dead letters broke off", "error", err)
		panic(http.ErrAbortHandler) // so that nobody takes it for all of them
	}
	return nil
}
