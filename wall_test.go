// Package hearth has no code. Its test guards the wall between the two houses of this project: the
// application (functions, bakery, chain, template, cmd/bakery) and the platform (cmd/hearth,
// internal). Both may use cli, which knows neither.
package hearth

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/hearthfaas/hearth/"

// A goPackage is what go list says of one.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list",
		"-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	require.NoError(t, err)
	all := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		all[strings.TrimPrefix(p.ImportPath, module)] = append(append(p.Imports, p.TestImports...),
			p.XTestImports...)
	}
	require.NotEmpty(t, all)
	return all
}

func within(path string, folders ...string) bool {
	for _, f := range folders {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}

func TestNoImportCrossesTheWall(t *testing.T) {
	t.Parallel()
	for name, imports := range packages(t) {
		for _, imported := range imports {
			ours, found := strings.CutPrefix(imported, module)
			switch {
			case within(name, "functions", "bakery", "chain", "template", "cmd/bakery"):
				require.False(t, found && within(ours, "internal", "cmd/hearth"),
					"%s is of the application, and imports %s", name, imported)
			case within(name, "cli"):
				require.False(t, found && !within(ours, "cli"),
					"%s is of neither house, and imports %s", name, imported)
			case within(name, "cmd/hearth", "internal"):
				require.False(t, found && within(ours, "bakery", "functions", "cmd/bakery"),
					"%s is of the platform, and imports %s", name, imported)
			}
			if within(name, "cmd/hearth", "internal") && !within(name, "internal/redis") &&
				imported == "github.com/redis/go-redis/v9" {
				require.True(t, onlyInTests(t, name),
					"%s imports go-redis: on the platform's side only internal/redis may", name)
			}
			require.False(t, strings.HasPrefix(imported, "github.com/openfaas/faas/") ||
				strings.HasPrefix(imported, "github.com/openfaas/faasd") ||
				strings.HasPrefix(imported, "github.com/openfaas/faas-netes"),
				"%s imports %s, whose licence forbids it", name, imported)
		}
	}
}

// onlyInTests reports whether a package imports go-redis in its tests alone.
func onlyInTests(t *testing.T, name string) bool {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .Imports " "}}`,
		"./"+name).Output()
	require.NoError(t, err)
	return !strings.Contains(string(out), "github.com/redis/go-redis/v9")
}

// TestApplicationStandsAlone deletes the platform from a copy, and builds and tests what is left: without a
// redis-server in PATH, as where the image of a function is built.
func TestApplicationStandsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"functions", "bakery", "chain", "cli", "template",
		filepath.Join("cmd", "bakery")} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(name)))
	}
	for _, name := range []string{"go.mod", "go.sum", "stack.yml"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	bare := t.TempDir()
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(folder)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "redis-") {
				// the first of a name counts
				_ = os.Symlink(filepath.Join(folder, e.Name()), filepath.Join(bare, e.Name()))
			}
		}
	}
	for _, args := range [][]string{{"build", "./..."}, {"vet", "./..."},
		{"test", "-vet=off", "./functions/...", "./bakery/...", "./chain/...", "./cli/...", "./cmd/..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		// With the flags of the Makefile, so that nothing is compiled a second time for this.
		cmd.Env = append(os.Environ(), "PATH="+bare, "REDIS_URL=", "HEARTH_SEEDS=1", "CGO_ENABLED=0",
			"GOFLAGS=-trimpath -gcflags=all=-dwarf=false")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %s\n%s", strings.Join(args, " "), out)
	}
}
