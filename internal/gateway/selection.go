package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// selection says which dead letters are meant: those that all of its parts speak of.
type selection struct {
	Queue    string    `json:"queue"`    // of one queue; required with ids
	Function string    `json:"function"` // of one function
	IDs      []string  `json:"ids"`
	All      bool      `json:"all"`    // instead of ids, where something is done with them: it must be said
	Before   time.Time `json:"before"` // buried before, or at
	After    time.Time `json:"after"`  // buried after
	Status   int       `json:"status"` // of the last answer; 0 for any
	Reason   string    `json:"reason"` // a part of the last failure's reason, in any case
}

// selectionOf reads one, from the body or the query. It returns an error of code Invalid for a part that is not known: without it,
// more letters would be meant.
func selectionOf(in *input) (s selection, err error) {
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
				return s, hearth.Errorf(hearth.Invalid, "%s is %.40q, want a time such as 2026-11-05T18:30:00Z", name, text)
			}
		}
	}
	s.Function, err = in.queueOwner()
	return s, err
}

// means reports whether a dead letter is meant, as far as it shows it by itself.
func (s selection) means(l redis.DeadLetter) bool {
	return (s.Status == 0 || s.Status == l.Status()) &&
		(s.Reason == "" || strings.Contains(strings.ToLower(l.Reason()), strings.ToLower(s.Reason)))
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// letters walks through the dead letters that are meant, queue by queue, the oldest burial first. Those that are buried while
// it walks are not met, so that one that dies again is met once.
func (g *Gateway) letters(ctx context.Context, s selection, meet func(Queue, redis.DeadLetter) error) error {
	queues, err := g.selected(ctx, s.Queue, s.Function)
	if err != nil {
		return err
	}
	for _, q := range queues {
		if q.Dead == 0 {
			continue
		}
		ids, err := g.cfg.Queue.DeadIDs(ctx, q.sub, s.After, s.Before)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(ids, readAtOnce) {
			list, err := g.cfg.Queue.DeadLettersOf(ctx, q.sub, some)
			if err != nil {
				return err
			}
			for _, l := range list {
				if !s.means(l) {
					continue
				}
				if err := meet(q, l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readAtOnce is how many dead letters are in memory at once: their bodies may have a megabyte each.
const readAtOnce = 50

func (g *Gateway) redrive(w http.ResponseWriter, r *http.Request) error {
	return g.each(w, r, "redriven", func(ctx context.Context, q Queue, ids []string) (int, error) {
		n, err := g.cfg.Queue.Redrive(ctx, q.sub, ids)
		if name, err := hearth.ParseName(q.sub.Group); err == nil && g.cfg.Dispatch != nil { // else a connector will look
			g.cfg.Dispatch.Notify(name, q.sub)
		}
		return n, err
	})
}

func (g *Gateway) purge(w http.ResponseWriter, r *http.Request) error {
	return g.each(w, r, "purged", func(ctx context.Context, q Queue, ids []string) (int, error) {
		return g.cfg.Queue.Purge(ctx, q.sub, ids)
	})
}

// each does something with the dead letters that are meant, some at a time. Those that are buried while it is under way are
// left alone.
func (g *Gateway) each(w http.ResponseWriter, r *http.Request, what string, do func(context.Context, Queue, []string) (int, error)) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	s, err := selectionOf(in)
	if err != nil {
		return err
	}
	switch {
	case len(in.query["ids"])+len(in.query["all"]) > 0:
		return hearth.Errorf(hearth.Invalid, "put ids and all into the body")
	case s.All == (len(s.IDs) > 0):
		return hearth.Errorf(hearth.Invalid, "say which dead letters are meant: either ids, or all")
	case len(s.IDs) > 0 && s.Queue == "":
		return hearth.Errorf(hearth.Invalid, "ids are of one queue: say which")
	case len(s.IDs) > maxListed:
		return hearth.Errorf(hearth.Invalid, "%d ids are too many, want at most %d", len(s.IDs), maxListed)
	}
	ctx, total := r.Context(), 0
	if !s.All {
		queues, err := g.selected(ctx, s.Queue, s.Function)
		if err != nil {
			return err
		}
		if total, err = do(ctx, queues[0], s.IDs); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, map[string]int{what: total})
	}
	queues, err := g.selected(ctx, s.Queue, s.Function)
	if err != nil {
		return err
	}
	for _, q := range queues {
		ids, err := g.meant(ctx, q, s)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(ids, maxListed) {
			n, err := do(ctx, q, some)
			if err != nil {
				return err
			}
			total += n
		}
	}
	return writeJSON(w, http.StatusOK, map[string]int{what: total})
}

// meant are the ids of a queue's dead letters that are meant. Their calls are only read if they must be.
func (g *Gateway) meant(ctx context.Context, q Queue, s selection) (ids []string, err error) {
	if s.Status == 0 && s.Reason == "" {
		return g.cfg.Queue.DeadIDs(ctx, q.sub, s.After, s.Before)
	}
	s.Queue, s.Function = q.Name, ""
	err = g.letters(ctx, s, func(_ Queue, l redis.DeadLetter) error {
		ids = append(ids, l.ID)
		return nil
	})
	return ids, err
}
