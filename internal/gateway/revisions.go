package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// gitSHA is the label that names the commit of a function. OpenFaaS's dashboard reads it too.
const gitSHA = "com.openfaas.git-sha"

// A revision is a spec that a function has had.
type revision struct {
	Revision   string    `json:"revision"`
	DeployedAt time.Time `json:"deployed_at"`
	SHA        string    `json:"sha"` // "" without the label
	Image      string    `json:"image"`
	Current    bool      `json:"current"`
}

// revisions returns the last specs of a function, the newest first.
func (g *Gateway) revisions(ctx context.Context, n hearth.Name) ([]revision, error) {
	f, _ := g.cfg.Registry.Function(n)
	kept, err := g.cfg.Registry.Revisions(ctx, n)
	if err != nil && hearth.CodeOf(err) != hearth.Unavailable {
		return nil, err
	}
	list := []revision{}
	for _, k := range kept {
		r := revision{
			Revision:   k.Revision,
			DeployedAt: k.DeployedAt,
			Image:      k.Spec.Image,
			Current:    k.Revision == f.Revision,
		}
		if k.Spec.Labels != nil {
			r.SHA = (*k.Spec.Labels)[gitSHA]
		}
		list = append(list, r)
	}
	return list, nil
}

// restart replaces the replicas of a function. No call fails.
func (g *Gateway) restart(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	n, err := in.theFunction(r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := in.strict(); err != nil {
		return err
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.Restart(ctx, n); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted) // the new replicas are starting
	return nil
}

// rollBack deploys an earlier spec of a function: {"revision": REVISION}, of GET /system/history/NAME.
func (g *Gateway) rollBack(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	n, err := in.theFunction(r.PathValue("name"))
	if err != nil {
		return err
	}
	to, err := in.value("revision", "", "revision")
	if err != nil {
		return err
	}
	if err := in.strict(); err != nil {
		return err
	}
	if to == "" {
		return hearth.Errorf(hearth.Invalid, "the field revision is missing: name the revision to go back to")
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.RollBackTo(ctx, n, to); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
