package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// shortPath is a path for a Unix socket, which the kernel wants to be short: the path itself, or one in the directory for
// temporary files that is always the same for it.
func shortPath(path string) string {
	const longest = 100
	if len(path) <= longest {
		return path
	}
	sum := sha256.Sum256([]byte(path))
	dir := filepath.Join(os.TempDir(), "hearth-"+hex.EncodeToString(sum[:6]))
	_ = os.MkdirAll(dir, 0o700)
	return filepath.Join(dir, filepath.Base(path))
}

// relative is a path as seen from here, if that is shorter.
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
