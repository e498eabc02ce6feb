package gateway

import (
	"context"
	"net/http"

	"github.com/hearthfaas/hearth/internal/cron"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// schedules lists the schedules of functions. How a last run ended is in the record of calls.
func (g *Gateway) schedules(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	if err := in.strict(); err != nil {
		return err
	}
	list, err := g.cfg.Cron.List(r.Context())
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Last == nil || s.Last.State != string(redis.Past) || g.cfg.Calls == nil {
			continue
		}
		// An error means that nobody knows any more.
		if story, err := g.cfg.Calls.Get(r.Context(), s.Last.CallID); err == nil {
			s.Last.State = string(story.State)
		}
	}
	return writeJSON(w, http.StatusOK, list)
}

// runSchedule queues a scheduled invocation at once: {"function": "NAME", "namespace": "NAMESPACE"}. It
// answers the id of the call.
func (g *Gateway) runSchedule(w http.ResponseWriter, r *http.Request) error {
	n, err := scheduled(r)
	if err != nil {
		return err
	}
	call, err := g.cfg.Cron.Run(r.Context(), n)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted,
		map[string]string{"function": n.Function, "namespace": n.Namespace, "call_id": call})
}

// pauseSchedule stops the ticks of a schedule, and answers the schedule.
func (g *Gateway) pauseSchedule(w http.ResponseWriter, r *http.Request) error {
	return changeSchedule(w, r, g.cfg.Cron.Pause)
}

// resumeSchedule ends the pause of a schedule, and answers the schedule.
func (g *Gateway) resumeSchedule(w http.ResponseWriter, r *http.Request) error {
	return changeSchedule(w, r, g.cfg.Cron.Resume)
}

func changeSchedule(w http.ResponseWriter, r *http.Request,
	change func(context.Context, hearth.Name) (cron.Schedule, error)) error {
	n, err := scheduled(r)
	if err != nil {
		return err
	}
	s, err := change(r.Context(), n)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s)
}

// scheduled returns the function whose schedule a request changes.
func scheduled(r *http.Request) (hearth.Name, error) {
	in, err := readInput(r)
	if err != nil {
		return hearth.Name{}, err
	}
	n, err := in.theFunction("")
	if err != nil {
		return n, err
	}
	return n, in.strict()
}
