package gateway

import (
	"net/http"
	"net/url"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/meter"
)

// usage answers what functions used, and what it costs.
func (g *Gateway) usage(w http.ResponseWriter, r *http.Request) error {
	q, err := usageQuery(r.URL.Query())
	if err != nil {
		return err
	}
	report, err := g.cfg.Usage(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

func usageQuery(query url.Values) (q meter.Query, err error) {
	q = meter.Query{Namespace: query.Get("namespace"), By: query.Get("by")}
	if name := query.Get("function"); name != "" {
		n, err := hearth.ParseName(name)
		if err != nil {
			return q, err
		}
		q.Function = n.String()
	}
	for name, at := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		if *at, err = instant(query.Get(name)); err != nil {
			return q, hearth.Errorf(hearth.Invalid, "%s is %.40q, want a day such as 2026-11-05, or a time such as 2026-11-05T18:00:00Z", name, query.Get(name))
		}
	}
	return q, nil
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
