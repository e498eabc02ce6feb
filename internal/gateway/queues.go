package gateway

import (
	"context"
	"net/http"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
)

// queues lists queues: ?queue=, ?function=.
func (g *Gateway) queues(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	queue, err := in.value("queue", "", "queue")
	if err != nil {
		return err
	}
	function, err := in.queueOwner()
	if err != nil {
		return err
	}
	list, err := g.cfg.Queues.Find(r.Context(), queue, function)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, list)
}

// purgeQueue deletes the queued or delayed calls of one queue: {"queue": "NAME:calls", "queued": true,
// "delayed": true}. Dead letters have a separate request.
func (g *Gateway) purgeQueue(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	var what struct {
		Queued  bool `json:"queued"`
		Delayed bool `json:"delayed"`
	}
	if err := in.fields(&what, "queued", "delayed"); err != nil {
		return err
	}
	name, err := in.value("queue", "", "queue")
	if err != nil {
		return err
	}
	function, err := in.queueOwner()
	switch {
	case err != nil:
		return err
	case len(in.query["queued"])+len(in.query["delayed"]) > 0:
		return hearth.Errorf(hearth.Invalid, "put queued and delayed into the body")
	case name == "":
		return hearth.Errorf(hearth.Invalid, "say which queue to purge, such as NAME:calls")
	case !what.Queued && !what.Delayed:
		return hearth.Errorf(hearth.Invalid, "say what to purge: queued, delayed, or both")
	}
	queues, err := g.cfg.Queues.Find(r.Context(), name, function)
	if err != nil {
		return err
	}
	done, err := g.cfg.Queues.Clear(r.Context(), queues[0], what.Queued, what.Delayed)
	if done.Queued+done.Delayed > 0 {
		g.cfg.Log.Info("purged queue", "queue", queues[0].Name, "queued", done.Queued, "delayed",
			done.Delayed)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, done)
}

// pauseQueue stops the deliveries of one queue: {"queue": "NAME:calls"}. It answers the queue.
func (g *Gateway) pauseQueue(w http.ResponseWriter, r *http.Request) error {
	return g.changeQueue(w, r, "paused queue", g.cfg.Queues.Pause)
}

// resumeQueue ends the pause of one queue: {"queue": "NAME:calls"}. It answers the queue.
func (g *Gateway) resumeQueue(w http.ResponseWriter, r *http.Request) error {
	return g.changeQueue(w, r, "resumed queue", g.cfg.Queues.Resume)
}

func (g *Gateway) changeQueue(w http.ResponseWriter, r *http.Request, done string,
	change func(context.Context, queue.Queue) (queue.Queue, error)) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	name, err := in.value("queue", "", "queue")
	if err != nil {
		return err
	}
	function, err := in.queueOwner()
	if err != nil {
		return err
	}
	if name == "" {
		return hearth.Errorf(hearth.Invalid, "say which queue, such as NAME:calls")
	}
	queues, err := g.cfg.Queues.Find(r.Context(), name, function)
	if err != nil {
		return err
	}
	q, err := change(r.Context(), queues[0])
	if err != nil {
		return err
	}
	if q.Paused != queues[0].Paused {
		g.cfg.Log.Info(done, "queue", q.Name)
	}
	return writeJSON(w, http.StatusOK, q)
}
