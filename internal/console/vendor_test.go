package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLibrariesOfThePageAreUnchanged holds the vendored libraries to their checksums: each file has one, and
// each package has its licence.
func TestLibrariesOfThePageAreUnchanged(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{filepath.Join("static", "vendor"), filepath.Join("testdata", "axe")} {
		sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		require.NoError(t, err)
		want := map[string]string{}
		for line := range strings.Lines(string(sums)) {
			sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
			require.True(t, ok, line)
			want[name] = sum
		}
		have := map[string]string{}
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "SHA256SUMS" || d.Name() == "README.md" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(dir, path)
			sum := sha256.Sum256(text)
			have[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
			return err
		}))
		require.Equal(t, want, have, "update SHA256SUMS in %s, as its README.md says", dir)
	}
	packages, err := filepath.Glob(filepath.Join("static", "vendor", "*-*"))
	require.NoError(t, err)
	require.NotEmpty(t, packages)
	for _, p := range packages {
		require.FileExists(t, filepath.Join(p, "LICENSE"))
	}
}
