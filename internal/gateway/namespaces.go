package gateway

import (
	"context"
	"net/http"
	"slices"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/redis"
	"github.com/openfaas/faas-provider/types"
)

// namespaces lists the default namespace, those that were created, and those that functions are in.
// See https://docs.openfaas.com/reference/namespaces/.
func (g *Gateway) namespaces(w http.ResponseWriter, r *http.Request) error {
	made, err := g.cfg.Queue.Namespaces(r.Context())
	if err != nil {
		return err
	}
	list := append(append(made, g.cfg.Registry.Namespaces()...), hearth.DefaultNamespace)
	slices.Sort(list)
	return writeJSON(w, http.StatusOK, slices.Compact(list))
}

// knowsNamespace returns an error of code NotFound for a namespace that does not exist.
func (g *Gateway) knowsNamespace(ctx context.Context, name string) error {
	if name == hearth.DefaultNamespace || slices.Contains(g.cfg.Registry.Namespaces(), name) {
		return nil
	}
	if !hearth.IsDNSLabel(name) {
		return badNamespace(name)
	}
	_, ok, err := g.cfg.Queue.Namespace(ctx, name)
	if err == nil && !ok {
		return redis.NoNamespace(name)
	}
	return err
}

// needsNamespace is knowsNamespace for requests that put something into a namespace. Its error has the code
// Invalid: a client would read 404 as "the function does not exist yet".
func (g *Gateway) needsNamespace(ctx context.Context, name string) error {
	err := g.knowsNamespace(ctx, name)
	if hearth.CodeOf(err) == hearth.NotFound {
		return hearth.Errorf(hearth.Invalid, "%s", hearth.MessageOf(err))
	}
	return err
}

func badNamespace(name string) error {
	return hearth.Errorf(hearth.Invalid,
		"the namespace %.80q is not valid: want lower-case letters, digits and inner dashes, at most 63 "+
			"of them", name)
}

func (g *Gateway) showNamespace(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("namespace")
	if err := g.knowsNamespace(r.Context(), name); err != nil {
		return err
	}
	ns, ok, err := g.cfg.Queue.Namespace(r.Context(), name)
	if err != nil {
		return err
	}
	if !ok {
		ns = types.FunctionNamespace{Name: name}
	}
	return writeJSON(w, http.StatusOK, ns)
}

// changeNamespace reads a namespace from the request, and calls do with it.
func (g *Gateway) changeNamespace(w http.ResponseWriter, r *http.Request, status int,
	do func(context.Context, types.FunctionNamespace) error) error {
	var ns types.FunctionNamespace
	in, err := readInput(r)
	if err != nil {
		return err
	}
	if err := in.fields(&ns, "labels", "annotations"); err != nil {
		return err
	}
	if ns.Name, err = in.value("namespace", r.PathValue("namespace"), "name", "namespace"); err != nil {
		return err
	}
	switch {
	case r.Method == http.MethodDelete:
		if err := in.strict(); err != nil {
			return err
		}
	case r.Method == http.MethodPut && len(in.text) == 0:
		return hearth.Errorf(hearth.Invalid,
			"the body is empty, want the labels and annotations of the namespace")
	}
	if !hearth.IsDNSLabel(ns.Name) {
		return badNamespace(ns.Name)
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := do(ctx, ns); err != nil {
		return err
	}
	g.cfg.Log.Info("changed namespace", "namespace", ns.Name, "method", r.Method)
	warn(w, in.warnUnknown())
	w.WriteHeader(status)
	return nil
}

func (g *Gateway) createNamespace(w http.ResponseWriter, r *http.Request) error {
	return g.changeNamespace(w, r, http.StatusCreated,
		func(ctx context.Context, ns types.FunctionNamespace) error {
			if ns.Name == hearth.DefaultNamespace {
				return hearth.Errorf(hearth.Conflict, "the namespace %s always exists", ns.Name)
			}
			return g.cfg.Queue.CreateNamespace(ctx, ns)
		})
}

// updateNamespace also creates a namespace that only has functions so far.
func (g *Gateway) updateNamespace(w http.ResponseWriter, r *http.Request) error {
	return g.changeNamespace(w, r, http.StatusOK,
		func(ctx context.Context, ns types.FunctionNamespace) error {
			err := g.cfg.Queue.UpdateNamespace(ctx, ns)
			if hearth.CodeOf(err) == hearth.NotFound && g.knowsNamespace(ctx, ns.Name) == nil {
				return g.cfg.Queue.CreateNamespace(ctx, ns)
			}
			return err
		})
}

func (g *Gateway) deleteNamespace(w http.ResponseWriter, r *http.Request) error {
	return g.changeNamespace(w, r, http.StatusOK,
		func(ctx context.Context, ns types.FunctionNamespace) error {
			if ns.Name == hearth.DefaultNamespace {
				return hearth.Errorf(hearth.Conflict, "the namespace %s always exists and cannot be removed",
					ns.Name)
			}
			return g.cfg.Queue.DeleteNamespace(ctx, ns.Name)
		})
}
