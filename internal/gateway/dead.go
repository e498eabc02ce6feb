package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
	"github.com/hearthfaas/hearth/internal/redis"
	"golang.org/x/net/http/httpguts"
)

// maxListed is how many dead letters one request may list, and maxContentType how long a new content type may
// be.
const (
	maxListed      = 1000
	maxContentType = 1024
)

// errLimit ends a listing that has as many dead letters as the client wants.
var errLimit = errors.New("limit reached")

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
			return hearth.Errorf(hearth.Invalid, "the limit is %.20q, want a whole number from 1 to %d", text,
				maxListed)
		}
		limit = n
	}
	s, err := selectionOf(in)
	if err != nil {
		return err
	}
	list := []queue.DeadLetter{}
	err = g.cfg.Queues.EachDeadLetter(r.Context(), s, func(l queue.DeadLetter) error {
		list = append(list, l)
		if len(list) == limit {
			return errLimit
		}
		return nil
	})
	if err != nil && !errors.Is(err, errLimit) {
		return err
	}
	slices.SortStableFunc(list, func(a, b queue.DeadLetter) int { return a.Buried.Compare(b.Buried) })
	return writeJSON(w, http.StatusOK, list)
}

// showDead answers one dead letter, with its call.
func (g *Gateway) showDead(w http.ResponseWriter, r *http.Request) error {
	l, err := g.cfg.Queues.DeadLetter(r.Context(), r.PathValue("queue"), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, l.WithCall())
}

// exportDead writes the selected dead letters with their calls, a line of JSON each.
func (g *Gateway) exportDead(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	s, err := selectionOf(in)
	if err != nil {
		return err
	}
	if _, err := g.cfg.Queues.Find(r.Context(), s.Queue, s.Function); err != nil {
		return err // now, while the answer can still have an error status
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, deadline := json.NewEncoder(w), http.NewResponseController(w)
	err = g.cfg.Queues.EachDeadLetter(r.Context(), s, func(l queue.DeadLetter) error {
		_ = deadline.SetWriteDeadline(time.Now().Add(writeTimeout))
		return out.Encode(l.WithCall())
	})
	if err != nil {
		g.cfg.Log.Warn("export of dead letters failed", "error", err)
		panic(http.ErrAbortHandler) // so that the client sees that some are missing
	}
	return nil
}

func (g *Gateway) redrive(w http.ResponseWriter, r *http.Request) error {
	return changeDead(w, r, "redriven", g.cfg.Queues.Redrive)
}

func (g *Gateway) purge(w http.ResponseWriter, r *http.Request) error {
	return changeDead(w, r, "purged", g.cfg.Queues.Purge)
}

// changeDead does something with the selected dead letters, and answers how many there were: {"redriven": 3}.
func changeDead(w http.ResponseWriter, r *http.Request, done string,
	change func(context.Context, queue.Selection) (int, error)) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	s, err := selectionOf(in)
	if err != nil {
		return err
	}
	if len(in.query["ids"])+len(in.query["all"]) > 0 {
		return hearth.Errorf(hearth.Invalid, "put ids and all into the body")
	}
	n, err := change(r.Context(), s)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]int{done: n})
}

// editPath is the path of editDead, whose requests may be larger than others.
const editPath = "/system/dead-letters/edit"

// editDead changes the body of a dead letter and queues it again: {"queue": "NAME:calls", "id": "1-0",
// "body": "text"}, or body_base64 instead of body; with content_type, that is changed, too. It answers the id
// of the message that replaces the dead letter. A repeated request is carried out once.
func (g *Gateway) editDead(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	var what struct {
		Body        *string `json:"body"`
		Base64      *[]byte `json:"body_base64"`
		ContentType string  `json:"content_type"`
	}
	if err := in.fields(&what, "body", "body_base64", "content_type"); err != nil {
		return err
	}
	name, err := in.value("queue", "", "queue")
	if err != nil {
		return err
	}
	id, err := in.value("id", "", "id")
	if err != nil {
		return err
	}
	if err := in.strict(); err != nil {
		return err
	}
	e := redis.Edit{ContentType: what.ContentType}
	switch {
	case len(in.query["body"])+len(in.query["body_base64"])+len(in.query["content_type"]) > 0:
		return hearth.Errorf(hearth.Invalid, "put body, body_base64 and content_type into the body")
	case name == "" || id == "":
		return hearth.Errorf(hearth.Invalid, "say which dead letter to edit: its queue and its id")
	case (what.Body == nil) == (what.Base64 == nil):
		return hearth.Errorf(hearth.Invalid, "give the new body: either body, or body_base64")
	case what.Body != nil:
		e.Body = []byte(*what.Body)
	default:
		e.Body = *what.Base64
	}
	if len(e.Body) > maxAsyncBody {
		return hearth.Errorf(hearth.Invalid, "the new body has %d bytes; that of a queued call may have %d",
			len(e.Body), maxAsyncBody)
	}
	if !httpguts.ValidHeaderFieldValue(e.ContentType) || len(e.ContentType) > maxContentType {
		return hearth.Errorf(hearth.Invalid, "the content type cannot be the value of a header")
	}
	done, err := g.cfg.Queues.Edit(r.Context(), name, id, e)
	if err != nil {
		return err
	}
	g.cfg.Log.Info("edited dead letter", "queue", done.Queue, "id", done.Was, "new_id", done.ID)
	return writeJSON(w, http.StatusOK, done)
}

// selectionOf reads a selection of dead letters from the body or the query. It returns an error of code
// Invalid for an unknown field: without that field, more letters would be selected than the client means.
func selectionOf(in *input) (s queue.Selection, err error) {
	if err = in.fields(&s, "ids", "all"); err != nil {
		return s, err
	}
	if s.Queue, err = in.value("queue", "", "queue"); err != nil {
		return s, err
	}
	if s.Reason, err = in.value("reason", "", "reason"); err != nil {
		return s, err
	}
	status, err := in.value("status", "", "status")
	if err != nil {
		return s, err
	}
	if status != "" {
		if s.Status, err = strconv.Atoi(status); err != nil {
			return s, hearth.Errorf(hearth.Invalid, "the status is %.20q, want a number such as 500", status)
		}
	}
	for name, at := range map[string]*time.Time{"before": &s.Before, "after": &s.After} {
		text, err := in.value("time", "", name)
		if err != nil {
			return s, err
		}
		if text != "" {
			if *at, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return s, hearth.Errorf(hearth.Invalid,
					"%s is %.40q, want a time such as 2026-11-05T18:30:00Z", name, text)
			}
		}
	}
	s.Function, err = in.queueOwner()
	return s, err
}
