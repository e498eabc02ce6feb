package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// shortPath returns a path that is short enough for a Unix socket: the path itself, or a fixed
// substitute in the directory for temporary files.
func shortPath(path string) (string, error) {
	const longest, tries = 100, 100
	if len(path) <= longest {
		return path, nil
	}
	sum := sha256.Sum256([]byte(path))
	dir := filepath.Join(os.TempDir(), "hearth-"+hex.EncodeToString(sum[:6]))
	for i := range tries {
		name := dir
		if i > 0 {
			name += fmt.Sprint("-", i)
		}
		if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("create a directory for a socket: %w", err)
		}
		if private(name) {
			return filepath.Join(name, filepath.Base(path)), nil
		}
	}
	return "", fmt.Errorf("create a directory for a socket: other users own %s and %d more names; use a "+
		"shorter --state, or remove them", dir, tries-1)
}

// private reports whether a directory belongs to this user and is closed to others. In /tmp,
// anybody may have created that name, or a link.
func private(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}

// relative returns a path below the working directory as a relative one.
func relative(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if r, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(r, "..") {
		return r
	}
	return path
}

func randomText() string { return rand.Text() }
