package gateway

import (
	"errors"
	"net/http"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// alerts is the part of Alertmanager's webhook that matters here.
// See https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
type alerts struct {
	Status string `json:"status"`
	Alerts []struct {
		Status string            `json:"status"`
		Labels map[string]string `json:"labels"`
	} `json:"alerts"`
}

// alert scales functions as OpenFaaS CE does. An alert that fires adds a share of the maximum of replicas
// (label com.openfaas.scale.factor, 20 percent). An alert that is resolved sets the minimum. A function at
// zero stays there, and so does a number of replicas that an operator has just set. An alert that fails does
// not stop the others. See https://docs.openfaas.com/architecture/autoscaling/.
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
		firing := one.Status == "firing" || one.Status == "" && a.Status == "firing"
		err = g.cfg.Registry.ScaleBy(ctx, n, "the alert "+one.Labels["alertname"],
			func(f hearth.Function) int {
				switch {
				case f.Replicas == 0:
					return 0
				case firing:
					return min(f.Replicas+f.ScaleStep, max(f.MaxReplicas, f.Replicas))
				}
				return f.MinReplicas
			})
		if hearth.CodeOf(err) == hearth.Conflict {
			g.cfg.Log.Info("ignored alert", "alert", one.Labels["alertname"], "reason", err)
		} else if err != nil {
			failed = append(failed, err)
		}
	}
	if err := errors.Join(failed...); err != nil {
		code := hearth.CodeOf(failed[0])
		if code == hearth.NotFound || code == hearth.Invalid { // Alertmanager would repeat it for ever
			g.cfg.Log.Warn("alert does not match a function", "error", err)
		} else {
			return failed[0]
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
