package gateway

import (
	"bytes"
	"cmp"
	"context"
	_ "embed" // the page
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/queue"
)

//go:embed ui.html
var page string

var pageTemplate = template.Must(template.New("ui").Parse(page))

// ui serves the operator's page, at the path of OpenFaaS's. The page has no script and changes nothing.
func (g *Gateway) ui(w http.ResponseWriter, r *http.Request) error {
	_, runsAs := g.cfg.Provider.Info()
	view := struct {
		Functions       []FunctionStatus
		Queues          []queue.Queue
		Away            string // why there are no queues
		Version, RunsAs string
	}{Version: g.cfg.Version, RunsAs: runsAs}
	for _, f := range g.cfg.Registry.All() {
		view.Functions = append(view.Functions, g.statusOf(f))
	}
	slices.SortFunc(view.Functions, func(a, b FunctionStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var err error
	if view.Queues, err = g.cfg.Queues.List(ctx); err != nil {
		view.Away = hearth.MessageOf(err)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, view); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy+"; style-src 'unsafe-inline'")
	_, _ = w.Write(out.Bytes())
	return nil
}
