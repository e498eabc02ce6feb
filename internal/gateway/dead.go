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
)

// maxListed is how many dead letters one request may list.
const maxListed = 1000

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
