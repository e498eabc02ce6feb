package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
)

// Files is a directory of secrets, NAMESPACE/NAME: what functions are given.
type Files struct{ Dir string }

// Path is the file of a secret, whether it exists or not.
func (s Files) Path(namespace, name string) string { return filepath.Join(s.Dir, namespace, name) }

// Require returns an error of code Invalid that names the secrets which a function asks for and which do not exist.
func (s Files) Require(f hearth.Function) error {
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

// all are the secrets that have files: NAMESPACE/NAME.
func (s Files) all() (map[string]bool, error) {
	found := map[string]bool{}
	namespaces, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	for _, d := range namespaces {
		if !d.IsDir() || !hearth.IsDNSLabel(d.Name()) {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(s.Dir, d.Name()))
		if err != nil {
			return nil, fmt.Errorf("list secrets: %w", err)
		}
		for _, e := range entries {
			if hearth.IsSecretName(e.Name()) && !e.IsDir() { // and not what a crash left half written
				found[full(d.Name(), e.Name())] = true
			}
		}
	}
	return found, nil
}

// Remove removes a file, if it is there.
func (s Files) Remove(namespace, name string) error {
	path := s.Path(namespace, name)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, syncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("delete secret %s: %w", name, err)
	}
	return nil
}

// Put gives a secret a value, which those that read its file see at once.
func (s Files) Put(namespace, name string, value []byte) error {
	return s.write(filepath.Join(namespace, name), value)
}

// write writes a file beside its place and then moves it there, so that nobody ever reads half of one, also after a crash.
func (s Files) write(name string, value []byte) error {
	path := filepath.Join(s.Dir, name)
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
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("make secret %s: %w", name, err)
	}
	return nil
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
