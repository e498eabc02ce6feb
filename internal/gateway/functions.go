package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/router"
	"github.com/openfaas/faas-provider/types"
)

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// readJSON reads a body. Unknown fields are a newer client's, and ignored.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return hearth.Errorf(hearth.Invalid, "the body is larger than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return hearth.Errorf(hearth.Invalid, "the body broke off")
	}
	if err := json.Unmarshal(body, v); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) && kind.Field != "" {
			return hearth.Errorf(hearth.Invalid, "the field %s is a JSON %s, which it cannot be", kind.Field, kind.Value)
		}
		if kind != nil {
			return hearth.Errorf(hearth.Invalid, "the body is a JSON %s, want an object", kind.Value)
		}
		return hearth.Errorf(hearth.Invalid, "the body is not JSON of the right form: %v", err)
	}
	return nil
}

func namespaceOf(name string) string {
	if name == "" {
		return hearth.DefaultNamespace
	}
	return name
}

// status is what is told of a function: OpenFaaS's words, whether replicas of two versions are there, why it cannot start, if it
// cannot, and what it was rolled back from.
type status struct {
	types.FunctionStatus
	Updating bool             `json:"updating,omitempty"`
	Failing  string           `json:"failing,omitempty"`
	Rollback *hearth.Rollback `json:"rollback,omitempty"`
}

func (g *Gateway) list(w http.ResponseWriter, r *http.Request) error {
	list := []status{}
	for _, f := range g.cfg.Registry.Functions(namespaceOf(r.URL.Query().Get("namespace"))) {
		list = append(list, g.statusOf(f))
	}
	return writeJSON(w, http.StatusOK, list)
}

func (g *Gateway) status(w http.ResponseWriter, r *http.Request) error {
	n := hearth.Name{Function: r.PathValue("name"), Namespace: namespaceOf(r.URL.Query().Get("namespace"))}
	f, ok := g.cfg.Registry.Function(n)
	if !ok {
		return router.NotFound(n)
	}
	s := g.statusOf(f)
	if measure, _ := strconv.ParseBool(r.URL.Query().Get("usage")); measure {
		u, err := g.cfg.Provider.Usage(r.Context(), n)
		if err != nil {
			return err
		}
		if u != (hearth.Usage{}) {
			s.Usage = &types.FunctionUsage{CPU: u.CPU, TotalMemoryBytes: float64(u.Memory)}
		}
	}
	return writeJSON(w, http.StatusOK, s)
}

// statusOf is a function as it was deployed, word for word, and how it is.
func (g *Gateway) statusOf(f hearth.Function) status {
	load, _ := g.cfg.Router.Load(f.Name())
	return status{Updating: load.Known > f.Replicas, Failing: load.Failing, Rollback: f.Rollback, FunctionStatus: types.FunctionStatus{Name: f.Service, Namespace: f.Namespace, Image: f.Image, EnvProcess: f.EnvProcess, EnvVars: f.EnvVars,
		Constraints: f.Constraints, Secrets: f.Secrets, Labels: f.Labels, Annotations: f.Annotations, Limits: f.Limits, Requests: f.Requests,
		ReadOnlyRootFilesystem: f.ReadOnlyRootFilesystem, CreatedAt: f.CreatedAt,
		Replicas: uint64(f.Replicas), AvailableReplicas: uint64(load.Available), InvocationCount: float64(load.Calls)}}
}

// toTheEnd is the context of a change that must not be left half done because its caller is gone.
func toTheEnd(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Minute)
}

// deploy creates with POST and replaces with PUT. faas-cli sends PUT first, and POST when that is answered with 404.
func (g *Gateway) deploy(w http.ResponseWriter, r *http.Request) error {
	var d types.FunctionDeployment
	if err := readJSON(r, &d); err != nil {
		return err
	}
	if err := g.needsNamespace(r.Context(), namespaceOf(d.Namespace)); err != nil {
		return err
	}
	update := r.Method == http.MethodPut
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.Deploy(ctx, d, update); err != nil {
		return err
	}
	if update {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusAccepted)
	}
	return nil
}

func (g *Gateway) remove(w http.ResponseWriter, r *http.Request) error {
	var d types.DeleteFunctionRequest
	if err := readJSON(r, &d); err != nil {
		return err
	}
	if d.FunctionName == "" {
		return hearth.Errorf(hearth.Invalid, "the functionName is missing")
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.Delete(ctx, hearth.Name{Function: d.FunctionName, Namespace: namespaceOf(d.Namespace)}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (g *Gateway) scale(w http.ResponseWriter, r *http.Request) error {
	var s types.ScaleServiceRequest
	if err := readJSON(r, &s); err != nil {
		return err
	}
	if s.ServiceName != "" && s.ServiceName != r.PathValue("name") {
		return hearth.Errorf(hearth.Invalid, "the path says %s and the body %s", r.PathValue("name"), s.ServiceName)
	}
	n := hearth.Name{Function: r.PathValue("name"), Namespace: namespaceOf(s.Namespace)}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.Scale(ctx, n, int(min(s.Replicas, 1<<20))); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
