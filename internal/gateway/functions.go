package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hearthfaas/hearth/internal/hearth"
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
	in, err := readInput(r)
	if err != nil {
		return err
	}
	return in.decode(v)
}

func namespaceOf(name string) string {
	if name == "" {
		return hearth.DefaultNamespace
	}
	return name
}

func (g *Gateway) list(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	namespace, err := in.namespace()
	if err != nil {
		return err
	}
	list := []FunctionStatus{}
	for _, f := range g.cfg.Registry.Functions(namespace) {
		list = append(list, g.statusOf(f))
	}
	for _, f := range g.cfg.Registry.Draining(namespace) {
		list = append(list, g.terminating(f))
	}
	return writeJSON(w, http.StatusOK, list)
}

func (g *Gateway) status(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	n, _, err := in.function(r.PathValue("name"))
	if err != nil {
		return err
	}
	if f, removed, ok := g.cfg.Registry.Spec(n); ok && removed {
		return writeJSON(w, http.StatusOK, g.terminating(f))
	}
	f, s, err := g.watched(r.Context(), n, in.last("etag"), in.last("wait"))
	if err != nil {
		return err
	}
	can := g.cfg.Registry.Capabilities()
	s.Warnings, s.Enforced = hearth.Warnings(f, can), can.Enforcement(f)
	if measure, _ := strconv.ParseBool(in.last("usage")); measure {
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

// toTheEnd returns the context of a change that goes on when its client is gone, so that it is not left half
// done.
func toTheEnd(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Minute)
}

// specFields are the fields of a deployment besides its names. notSpec are fields that a client may have
// copied from a function's status.
var (
	specFields = []string{"image", "envProcess", "envVars", "constraints", "secrets", "labels", "annotations",
		"limits", "requests", "readOnlyRootFilesystem"}
	notSpec = []string{"availableReplicas", "invocationCount", "createdAt", "usage", "updating",
		"terminating", "draining", "failing",
		"rollback", "warnings", "enforced", "restarts", "last_exit", "last_error", "etag"}
)

// deployment reads a deployment, and returns a warning for each field that it does not have.
func deployment(in *input) (d types.FunctionDeployment, warnings []string, err error) {
	if len(in.text) == 0 {
		return d, nil, hearth.Errorf(hearth.Invalid, "the body is empty, want a function as JSON")
	}
	if err := in.fields(&d, specFields...); err != nil {
		return d, nil, err
	}
	n, err := in.theFunction("")
	if err != nil {
		return d, nil, err
	}
	d.Service, d.Namespace = n.Function, n.Namespace
	in.know(notSpec...)
	warnings = in.warnUnknown()
	for _, field := range []string{"limits", "requests"} {
		resources := map[string]json.RawMessage{}
		for _, raw := range in.body[field] {
			_ = json.Unmarshal(raw, &resources)
		}
		for _, name := range slices.Sorted(maps.Keys(resources)) {
			switch fold(name) {
			case "memory", "cpu", "nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu":
			default:
				warnings = append(warnings,
					fmt.Sprintf("%s.%.80s has no effect: Hearth does not know it", field, name))
			}
		}
	}
	return d, warnings, nil
}

// deploy creates with POST and replaces with PUT. faas-cli sends PUT first, and POST if the answer is 404.
func (g *Gateway) deploy(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	d, warnings, err := deployment(in)
	if err != nil {
		return err
	}
	if err := g.needsNamespace(r.Context(), d.Namespace); err != nil {
		return err
	}
	f, err := hearth.Parse(d)
	if err != nil {
		return err
	}
	update := r.Method == http.MethodPut
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.Deploy(ctx, f, update); err != nil {
		return err
	}
	warnings = append(warnings,
		hearth.Warnings(f, g.cfg.Registry.Capabilities())...)
	for _, text := range warnings {
		g.cfg.Log.Info("deployed with a warning", "function", d.Service+"."+d.Namespace, "warning", text)
	}
	warn(w, warnings)
	if update {
		w.WriteHeader(http.StatusOK)
	} else {
		w.WriteHeader(http.StatusAccepted)
	}
	return nil
}

func (g *Gateway) remove(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	n, err := in.theFunction("")
	if err != nil {
		return err
	}
	if err := in.strict(); err != nil {
		return err
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.Delete(ctx, n); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted) // its replicas finish their calls
	return nil
}

// scale sets the number of replicas. A request without a number is refused: it does not mean zero.
func (g *Gateway) scale(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	n, err := in.theFunction(r.PathValue("name"))
	if err != nil {
		return err
	}
	text, err := in.value("number of replica", "", "replicas")
	if err != nil {
		return err
	}
	if text == "" {
		return hearth.Errorf(hearth.Invalid,
			"the field replicas is missing: set how many replicas function %s should have", n.Function)
	}
	replicas, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return hearth.Errorf(hearth.Invalid, "the field replicas is %.40q, want a whole number from 0", text)
	}
	if err := in.strict(); err != nil {
		return err
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Registry.Scale(ctx, n, int(min(replicas, 1<<20))); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
