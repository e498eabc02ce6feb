package gateway

import (
	"errors"
	"net/http"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
)

// alerts is what AlertManager sends to a webhook, as far as it matters here.
// See https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
type alerts struct {
	Status string `json:"status"`
	Alerts []struct {
		Status string            `json:"status"`
		Labels map[string]string `json:"labels"`
	} `json:"alerts"`
}

// alert scales functions as OpenFaaS CE does when its rule fires: each time by a share of the most replicas that a function may have
// (label com.openfaas.scale.factor, 20 percent); and when an alert is resolved, back to the least. One that sleeps stays asleep. What
// one alert cannot do does not keep the others from being done. See https://docs.openfaas.com/architecture/autoscaling/.
func (g *Gateway) alert(w http.ResponseWriter, r *http.Request) error {
	var a alerts
	if err := readJSON(r, &a); err != nil {
		return err
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	var failed []error
	for _, one := range a.Alerts {
		n, err := hearth.ParseName(one.Labels["function_name"])
		if err != nil {
			failed = append(failed, err)
			continue
		}
		f, ok := g.cfg.Registry.Function(n)
		if !ok {
			failed = append(failed, router.NotFound(n))
			continue
		}
		want := f.MinReplicas()
		if status := one.Status; status == "firing" || status == "" && a.Status == "firing" {
			want = min(f.Replicas+f.ScaleStep(), max(f.MaxReplicas(), f.Replicas))
		}
		if f.Replicas == 0 || want == f.Replicas {
			continue
		}
		if err := g.cfg.Registry.ScaleFrom(ctx, n, f.Replicas, want); err != nil && hearth.CodeOf(err) != hearth.Conflict {
			failed = append(failed, err)
			continue
		}
		g.cfg.Log.Info("scaled by an alert", "function", n.String(), "replicas", want, "alert", one.Labels["alertname"])
	}
	if err := errors.Join(failed...); err != nil {
		code := hearth.CodeOf(failed[0])
		if code == hearth.NotFound || code == hearth.Invalid { // AlertManager would send it again and again
			g.cfg.Log.Warn("an alert is about nothing that is here", "error", err)
		} else {
			return failed[0]
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
