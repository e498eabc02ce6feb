// Package secrets keeps the secrets of functions as files that only this user can read. It does not seal them.
package secrets

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Store is a directory of secrets: NAMESPACE/NAME.
type Store struct{ Dir string }

// Path is the file of a secret, whether it exists or not.
func (s Store) Path(namespace, name string) string { return filepath.Join(s.Dir, namespace, name) }

// Require returns an error of code Invalid that names the secrets which a function asks for and which do not exist.
func (s Store) Require(f hearth.Function) error {
	var missing []string
	for _, name := range f.Secrets {
		if _, err := os.Stat(s.Path(f.Namespace, name)); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return hearth.Errorf(hearth.Invalid, "function %s: there is no secret %s in the namespace %s: create it with: faas-cli secret create %s",
		f.Service, strings.Join(missing, ", "), f.Namespace, missing[0])
}

// Generate makes a secret with a random value, unless there is one. made tells which.
func (s Store) Generate(namespace, name string) (made bool, err error) {
	if !hearth.IsDNSLabel(namespace) || !hearth.IsSecretName(name) {
		return false, hearth.Errorf(hearth.Invalid, "the secret name %q is not valid", name)
	}
	path := s.Path(namespace, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, fmt.Errorf("make secret %s: %w", name, err)
	}
	// Written beside it and then linked, so that a crash in between leaves no empty secret, and an existing one is kept.
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return false, fmt.Errorf("make secret %s: %w", name, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(rand.Text())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("make secret %s: %w", name, err)
	}
	return true, nil
}
