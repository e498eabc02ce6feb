package gateway

import (
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/meter"
)

// usage answers what functions used, and what it costs.
func (g *Gateway) usage(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	q, err := usageQuery(in)
	if err != nil {
		return err
	}
	report, err := g.cfg.Usage(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

// usageQuery reads the parameters of a usage request. A namespace alone selects all of its functions; without
// either, all are selected.
func usageQuery(in *input) (q meter.Query, err error) {
	n, named, err := in.function("")
	if err != nil {
		return q, err
	}
	if named {
		if err := n.Validate(); err != nil {
			return q, err
		}
		q.Function = n.String()
	} else if q.Namespace, err = in.value("namespace", "", namespaceNames...); err != nil {
		return q, err
	}
	q.By = in.last("by")
	for name, at := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if *at, err = instant(in.last(name)); err != nil {
			return q, hearth.Errorf(hearth.Invalid,
				"%s is %.40q, want a day such as 2026-11-05, or a time such as 2026-11-05T18:00:00Z",
				name, in.last(name))
		}
	}
	return q, in.strict()
}

// instant reads a day, whose beginning in UTC it is, or a time.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	return time.Parse(time.RFC3339, text)
}
