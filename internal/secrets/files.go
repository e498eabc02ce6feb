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

// Files is a directory of secrets, NAMESPACE/NAME: what functions are given. Nothing outside of it is read or
// written, whatever a name says, and also through a symbolic link that leads out of it.
type Files struct{ Dir string }

// Path is the file of a secret, whether it exists or not, for people: it is not checked.
func (s Files) Path(namespace, name string) string { return filepath.Join(s.Dir, namespace, name) }

// Find is the path of a secret's file, to hand it to a function. It returns an error of
// code Invalid if there can be no such secret.
func (s Files) Find(namespace, name string) (string, error) {
	if err := check(namespace, name); err != nil {
		return "", err
	}
	return s.Path(namespace, name), nil
}

// within opens the directory for as long as do takes.
func (s Files) within(do func(*os.Root) error) error {
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return do(root)
}

// Require returns an error of code Invalid that names the secrets which a
// function asks for and which do not exist.
func (s Files) Require(f hearth.Function) error {
	var missing []string
	for _, name := range f.Secrets {
		if _, err := s.Read(f.Namespace, name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return hearth.Errorf(hearth.Invalid,
		"function %s: there is no secret %s in the namespace %s: make it first (faas-cli secret create %s)",
		f.Service, strings.Join(missing, ", "), f.Namespace, missing[0])
}

// Read is the value of a secret here.
func (s Files) Read(namespace, name string) ([]byte, error) {
	if err := check(namespace, name); err != nil {
		return nil, err
	}
	return s.read(filepath.Join(namespace, name))
}

func (s Files) read(name string) (value []byte, err error) {
	err = s.within(func(root *os.Root) error {
		value, err = root.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	return value, nil
}

// all are the secrets that have files: NAMESPACE/NAME.
func (s Files) all() (map[string]bool, error) {
	found := map[string]bool{}
	err := s.within(func(root *os.Root) error {
		namespaces, err := fs.ReadDir(root.FS(), ".")
		if err != nil {
			return err
		}
		for _, d := range namespaces {
			if !d.IsDir() || !hearth.IsDNSLabel(d.Name()) {
				continue
			}
			entries, err := fs.ReadDir(root.FS(), d.Name())
			if err != nil {
				return err
			}
			for _, e := range entries {
				if hearth.IsSecretName(e.Name()) && !e.IsDir() { // and not what a crash left half written
					found[full(d.Name(), e.Name())] = true
				}
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return found, nil
}

// Remove removes a file, if it is there.
func (s Files) Remove(namespace, name string) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	err := s.within(func(root *os.Root) error {
		if err := root.Remove(filepath.Join(namespace, name)); err != nil {
			return err
		}
		return syncIn(root, namespace)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete secret %s: %w", name, err)
	}
	return nil
}

// Put gives a secret a value, which those that read its file see at once.
func (s Files) Put(namespace, name string, value []byte) error {
	if err := check(namespace, name); err != nil {
		return err
	}
	return s.write(filepath.Join(namespace, name), value)
}

// write writes a file beside its place and then moves it there, so that nobody
// ever reads half of one, also after a crash.
func (s Files) write(name string, value []byte) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("make secret %s: %w", name, err)
	}
	dir := filepath.Dir(name)
	err := s.within(func(root *os.Root) error {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		beside := filepath.Join(dir, ".new-"+rand.Text())
		f, err := root.OpenFile(beside, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = root.Remove(beside) }()
		_, err = f.Write(value)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		if err := root.Rename(beside, name); err != nil {
			return err
		}
		return syncIn(root, dir)
	})
	if err != nil {
		return fmt.Errorf("make secret %s: %w", name, err)
	}
	return nil
}

// syncIn makes what was moved into a directory, or removed from it, survive a power cut.
func syncIn(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncDir is syncIn for a directory by its path.
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
		return hearth.Errorf(hearth.Invalid,
			"the secret name %.80q is not valid: want lower-case letters, digits, dashes and dots", name)
	}
	return nil
}

func checkNamespace(namespace string) error {
	if !hearth.IsDNSLabel(namespace) {
		return hearth.Errorf(hearth.Invalid,
			"the namespace %.80q is not valid: want lower-case letters, digits and inner dashes, at most "+
				"63 of them", namespace)
	}
	return nil
}
