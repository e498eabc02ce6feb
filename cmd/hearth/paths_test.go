package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSocketIsNeverInAForeignDirectory is not parallel: it changes the directory for temporary files.
func TestSocketIsNeverInAForeignDirectory(t *testing.T) {
	long := filepath.Join("/", strings.Repeat("long/", 30), "redis.sock")
	where := func(t *testing.T) string {
		t.Helper()
		path, err := shortPath(long)
		require.NoError(t, err)
		require.Equal(t, "redis.sock", filepath.Base(path))
		return filepath.Dir(path)
	}
	for name, take := range map[string]func(t *testing.T, dir string){
		"a link to elsewhere": func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink(t.TempDir(), dir))
		},
		"a directory that others may look into": func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, os.Chmod(dir, 0o755))
		},
		"a file": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(dir, nil, 0o600))
		},
		"a directory of another user": func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Skip("only root gives files away")
			}
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, os.Chown(dir, 12345, 12345))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			usual := where(t)
			require.NoError(t, os.Remove(usual))
			take(t, usual)
			other := where(t)
			require.NotEqual(t, usual, other)
			require.Equal(t, other, where(t), "the same each time")
			info, err := os.Lstat(other)
			require.NoError(t, err)
			require.Equal(t, os.ModeDir|0o700, info.Mode())
		})
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	_, err := shortPath(long)
	require.ErrorContains(t, err, "create a directory for a socket")
	path, err := shortPath("/short/redis.sock")
	require.NoError(t, err)
	require.Equal(t, "/short/redis.sock", path)
}
