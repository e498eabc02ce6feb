package gateway

import (
	"net/http"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
)

// listRecords lists the unused records in Redis, with the reasons.
func (g *Gateway) listRecords(w http.ResponseWriter, r *http.Request) error {
	if _, err := g.cfg.Queue.Look(r.Context()); err != nil { // reads the records again
		return err
	}
	if _, err := g.cfg.Queue.Namespaces(r.Context()); err != nil {
		return err
	}
	if err := g.cfg.Secrets.Sync(r.Context()); err != nil {
		return err
	}
	list := g.cfg.Queue.BadRecords()
	if list == nil {
		list = []redis.BadRecord{}
	}
	return writeJSON(w, http.StatusOK, list)
}

// removeRecord removes an unused record.
func (g *Gateway) removeRecord(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	kind, name := q.Get("kind"), q.Get("name")
	if kind == "" || !q.Has("name") {
		return hearth.Errorf(hearth.Invalid,
			"the kind or the name of the record is missing: want ?kind=KIND&name=NAME, as GET "+
				"/system/records lists them")
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Queue.RemoveRecord(ctx, kind, name, ""); err != nil {
		return err
	}
	g.cfg.Log.Info("removed record", "kind", kind, "name", name)
	w.WriteHeader(http.StatusOK)
	return nil
}
