package notices_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/notices"
	"github.com/stretchr/testify/require"
)

// updateEnv writes the notices anew: make notices.
const updateEnv = "HEARTH_WRITE_NOTICES"

// TestNoticesAreOfWhatIsLinked holds the notices that each binary prints to the
// modules that it is linked with now.
func TestNoticesAreOfWhatIsLinked(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for _, binary := range []string{"hearth", "bakery"} {
		modules, err := notices.OfPackages(root, []string{"linux", "darwin"}, "./cmd/"+binary)
		require.NoError(t, err)
		if binary == "hearth" {
			modules = append(modules, librariesOfTheConsole(t, root)...)
		}
		want, err := notices.Text(append(modules,
			notices.Module{Name: "this program, github.com/hearthfaas/hearth", Dirs: []string{root}}))
		require.NoError(t, err)
		file := filepath.Join(root, "cmd", binary, "third-party.txt")
		if os.Getenv(updateEnv) != "" {
			require.NoError(t, os.WriteFile(file, want, 0o644))
		}
		have, err := os.ReadFile(file)
		require.NoError(t, err)
		require.True(t, string(want) == string(have),
			"%s is not of the modules that are linked: run make notices", file)
	}
}

// librariesOfTheConsole returns the npm packages that hearth embeds. Their folders are named NAME-VERSION.
func librariesOfTheConsole(t *testing.T, root string) (list []notices.Module) {
	dirs, err := filepath.Glob(filepath.Join(root, "internal", "console", "static", "vendor", "*-*"))
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, dir := range dirs {
		base := filepath.Base(dir)
		cut := strings.LastIndexByte(base, '-')
		list = append(list, notices.Module{
			Name: "npm package " + base[:cut] + " " + base[cut+1:],
			Dirs: []string{dir},
		})
	}
	return list
}

func TestNoticesOfABinaryAreItsModules(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "bakery")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false",
		"-ldflags", "-s -w", "-o", binary, "./cmd/bakery")
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	modules, err := notices.OfBinary(binary)
	require.NoError(t, err)
	text, err := notices.Text(modules)
	require.NoError(t, err)
	for _, name := range []string{"the Go standard library", "github.com/redis/go-redis/v9 v9",
		"github.com/spf13/cobra v1", "Copyright 2009 The Go Authors"} {
		require.Contains(t, string(text), name)
	}
	require.NotContains(t, string(text), "moby", "that is not linked into it")
	require.Equal(t, 1, strings.Count(string(text), "Version 2.0, January 2004"),
		"a text that several have is there once")

	_, err = notices.OfBinary(filepath.Join("..", "..", "go.mod"))
	require.ErrorContains(t, err, "read the modules of")
}
