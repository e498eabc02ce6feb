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
	"sync"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Store is a directory of secrets: NAMESPACE/NAME.
type Store struct{ Dir string }

// change is held by what must see a secret there and act on it in one step. The state directory has one process, so this is
// enough.
var change sync.Mutex

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
	return hearth.Errorf(hearth.Invalid, "function %s: there is no secret %s in the namespace %s: make it first (faas-cli secret create %s)",
		f.Service, strings.Join(missing, ", "), f.Namespace, missing[0])
}

// List are the names of a namespace's secrets, in order.
func (s Store) List(namespace string) ([]string, error) {
	if err := checkNamespace(namespace); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.Dir, namespace))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	names := []string{}
	for _, e := range entries {
		if hearth.IsSecretName(e.Name()) && !e.IsDir() { // and not what a crash left half written
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Generate makes a secret with a random value, unless there is one. made tells which.
func (s Store) Generate(namespace, name string) (made bool, err error) {
	err = s.Create(namespace, name, []byte(rand.Text()))
	if hearth.CodeOf(err) == hearth.Conflict {
		return false, nil
	}
	return err == nil, err
}

// Create makes a secret. It returns an error of code Conflict if there is one of that name.
func (s Store) Create(namespace, name string, value []byte) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	change.Lock()
	defer change.Unlock()
	err := s.put(namespace, name, value, os.Link) // and not os.Rename, which would replace what an operator put there by hand
	if errors.Is(err, fs.ErrExist) {
		return hearth.Errorf(hearth.Conflict, "there is a secret %s in the namespace %s already: update it (faas-cli secret update %s)", name, namespace, name)
	}
	return err
}

// Update gives a secret another value, which those that read its file see at once. It returns an error of code NotFound if
// there is no such secret.
func (s Store) Update(namespace, name string, value []byte) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	change.Lock()
	defer change.Unlock()
	if _, err := os.Lstat(s.Path(namespace, name)); err != nil {
		return s.failed("update", namespace, name, err)
	}
	return s.put(namespace, name, value, os.Rename)
}

// Delete removes a secret. It returns an error of code NotFound if there is no such secret.
func (s Store) Delete(namespace, name string) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	change.Lock()
	defer change.Unlock()
	path := s.Path(namespace, name)
	if err := errors.Join(os.Remove(path), syncDir(filepath.Dir(path))); err != nil {
		return s.failed("delete", namespace, name, err)
	}
	return nil
}

// put writes a value beside its place and then moves it there, so that nobody ever reads half of one, also after a crash.
func (s Store) put(namespace, name string, value []byte, move func(from, to string) error) error {
	path := s.Path(namespace, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make secret %s: %w", name, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // 0600
	if err != nil {
		return fmt.Errorf("make secret %s: %w", name, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(value)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = move(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("make secret %s: %w", name, err)
	}
	return nil
}

// failed says what an error of the file system means.
func (s Store) failed(what, namespace, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return hearth.Errorf(hearth.NotFound, "there is no secret %s in the namespace %s", name, namespace)
	}
	return fmt.Errorf("%s secret %s: %w", what, name, err)
}

// syncDir makes what was moved into a directory, or removed from it, survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// check keeps a name in its folder.
func check(namespace, name string) error {
	if err := checkNamespace(namespace); err != nil {
		return err
	}
	if !hearth.IsSecretName(name) {
		return hearth.Errorf(hearth.Invalid, "the secret name %.80q is not valid: want lower-case letters, digits, dashes and dots", name)
	}
	return nil
}

func checkNamespace(namespace string) error {
	if !hearth.IsDNSLabel(namespace) {
		return hearth.Errorf(hearth.Invalid, "the namespace %.80q is not valid: want lower-case letters, digits and inner dashes, at most 63 of them", namespace)
	}
	return nil
}
