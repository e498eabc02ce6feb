package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
)

// listSecrets lists names only: a value cannot be read back.
func (g *Gateway) listSecrets(w http.ResponseWriter, r *http.Request) error {
	in, err := readInput(r)
	if err != nil {
		return err
	}
	namespace, err := in.namespace()
	if err != nil {
		return err
	}
	names, err := g.cfg.Secrets.List(r.Context(), namespace)
	if err != nil {
		return err
	}
	list := make([]types.Secret, 0, len(names))
	for _, name := range names {
		list = append(list, types.Secret{Name: name, Namespace: namespace})
	}
	return writeJSON(w, http.StatusOK, list)
}

func (g *Gateway) createSecret(w http.ResponseWriter, r *http.Request) error {
	return g.putSecret(w, r, "created secret", http.StatusCreated, g.cfg.Secrets.Create)
}

func (g *Gateway) updateSecret(w http.ResponseWriter, r *http.Request) error {
	return g.putSecret(w, r, "changed secret", http.StatusOK, g.cfg.Secrets.Update)
}

func (g *Gateway) putSecret(w http.ResponseWriter, r *http.Request, done string, status int,
	put func(ctx context.Context, namespace, name string, value []byte) error) error {
	in, s, err := readSecret(r)
	if err != nil {
		return err
	}
	warnings := in.warnUnknown()
	value := valueOf(s)
	switch {
	case len(value) == 0:
		return hearth.Errorf(hearth.Invalid,
			"the secret has no value: want value (text) or rawValue (base64)")
	case len(s.RawValue) == 0 && strings.ContainsRune(s.Value, utf8.RuneError):
		// As faas-cli secret update does with bytes that are not text.
		return hearth.Errorf(hearth.Invalid,
			"the value is not text, and this client has changed it: send rawValue, as faas-cli secret "+
				"create --replace --from-file does")
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.needsNamespace(ctx, s.Namespace); err != nil {
		return err
	}
	if err := put(ctx, s.Namespace, s.Name, value); err != nil {
		return err
	}
	g.cfg.Log.Info(done, "secret", s.Name, "namespace", s.Namespace)
	warn(w, warnings)
	w.WriteHeader(status)
	return nil
}

// readSecret reads a secret, with its namespace.
func readSecret(r *http.Request) (in *input, s types.Secret, err error) {
	if in, err = readInput(r); err != nil {
		return in, s, err
	}
	if err = in.fields(&s, "value", "rawValue"); err != nil {
		return in, s, err
	}
	if s.Name, err = in.value("secret", "", secretNames...); err != nil {
		return in, s, err
	}
	s.Namespace, err = in.namespace()
	if err == nil && s.Name == "" {
		err = hearth.Errorf(hearth.Invalid, "the secret's name is missing")
	}
	return in, s, err
}

// valueOf returns the value of a secret. faas-cli --from-file sends both the trimmed text, which loses bytes
// that are not text, and the bytes.
func valueOf(s types.Secret) []byte {
	if s.Value == "" || !utf8.Valid(s.RawValue) {
		return s.RawValue
	}
	return []byte(s.Value)
}

// deleteSecret refuses to delete a secret that functions use: a replica that starts later would not find it.
func (g *Gateway) deleteSecret(w http.ResponseWriter, r *http.Request) error {
	in, s, err := readSecret(r)
	if err != nil {
		return err
	}
	if err := in.strict(); err != nil {
		return err
	}
	namespace := s.Namespace
	var users []string
	for _, f := range g.cfg.Registry.Functions(namespace) {
		if slices.Contains(f.Secrets, s.Name) {
			users = append(users, f.Service)
		}
	}
	if len(users) > 0 {
		return hearth.Errorf(hearth.Conflict,
			"the secret %s is used by %s: remove them first, or deploy them without it",
			s.Name, strings.Join(users, ", "))
	}
	ctx, cancel := toTheEnd(r)
	defer cancel()
	if err := g.cfg.Secrets.Delete(ctx, namespace, s.Name); err != nil {
		return err
	}
	g.cfg.Log.Info("deleted secret", "secret", s.Name, "namespace", namespace)
	w.WriteHeader(http.StatusOK)
	return nil
}
