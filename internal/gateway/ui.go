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
)

//go:embed ui.html
var page string

var pageTemplate = template.Must(template.New("ui").Parse(page))

// ui is where OpenFaaS has its portal: a page without a script, which shows what there is and changes nothing. It is sandboxed, so that no
// function's page, which is of the same origin, can read it.
func (g *Gateway) ui(w http.ResponseWriter, r *http.Request) error {
	_, runsAs := g.cfg.Provider.Info()
	view := struct {
		Functions       []status
		Queues          []Queue
		Away            string // why there are no queues
		Version, RunsAs string
	}{Version: g.cfg.Version, RunsAs: runsAs}
	for _, f := range g.cfg.Registry.All() {
		view.Functions = append(view.Functions, g.statusOf(f))
	}
	slices.SortFunc(view.Functions, func(a, b status) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var err error
	if view.Queues, err = g.AllQueues(ctx); err != nil {
		view.Away = hearth.MessageOf(err)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, view); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(out.Bytes())
	return nil
}

// scripted tells whether a page in a browser asks, and not its user, who has typed an address: the browser would send the operator's password
// along, whosever page it is, and functions' pages are of this origin too. https://www.w3.org/TR/fetch-metadata/
func scripted(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	if mode == "" { // an old browser, or https is not spoken, or it is no browser
		return r.Header.Get("Origin") != ""
	}
	return mode != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document" || (r.Method != http.MethodGet && r.Method != http.MethodHead)
}
