package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const architecture = "docs/explanation/architecture.md"

var (
	packageName = regexp.MustCompile("`([a-z]+(?:/[a-z0-9]+)*)`")
	node        = regexp.MustCompile(`\b([a-z]+)\["([a-z/]+)"\]`)
	arrow       = regexp.MustCompile(`\b([a-z]+)(?:\["[a-z/]+"\])? --> ([a-z]+)`)
)

// imports returns the packages of this module, and what each imports.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	const module = "github.com/hearthfaas/hearth/"
	list := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	list.Dir = filepath.Join("..", "..")
	out, err := list.Output()
	require.NoError(t, err)
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		name, imported, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name, ok := strings.CutPrefix(name, module); ok {
			all[name] = nil
			for p := range strings.FieldsSeq(imported) {
				if p, ok := strings.CutPrefix(p, module); ok {
					all[name] = append(all[name], p)
				}
			}
		}
	}
	require.Greater(t, len(all), 20)
	return all
}

// TestArchitectureHasEachPackage compares the tables of packages with go list.
func TestArchitectureHasEachPackage(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(read(t, architecture), "\n## The packages\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var named []string
	for _, line := range prose(text) {
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "|"), "|"); ok &&
			strings.HasPrefix(line, "| `") {
			for _, found := range packageName.FindAllStringSubmatch(first, -1) {
				named = append(named, found[1])
			}
		}
	}
	all := imports(t)
	for name := range all {
		require.Contains(t, named, name, "%s lacks a package", architecture)
	}
	for _, name := range named {
		require.Contains(t, all, name, "%s has a package that does not exist", architecture)
	}
}

// TestArrowsOfTheDrawingAreImports looks for the import of each arrow.
func TestArrowsOfTheDrawingAreImports(t *testing.T) {
	t.Parallel()
	_, drawing, _ := strings.Cut(read(t, architecture), "```mermaid\nflowchart")
	drawing, _, _ = strings.Cut(drawing, "```")
	names, all := map[string]string{}, imports(t)
	for _, found := range node.FindAllStringSubmatch(drawing, -1) {
		names[found[1]] = found[2]
	}
	arrows := arrow.FindAllStringSubmatch(drawing, -1)
	require.Greater(t, len(arrows), 10)
	for _, found := range arrows {
		from, to := names[found[1]], names[found[2]]
		require.True(t, slices.Contains(all[from], to), "the drawing says that %s imports %s", from, to)
	}
}

// TestSequencesAreShort counts the arrows of each sequence.
func TestSequencesAreShort(t *testing.T) {
	t.Parallel()
	sequences := strings.Split(read(t, architecture), "sequenceDiagram\n")[1:]
	require.Len(t, sequences, 5)
	for _, s := range sequences {
		s, _, _ = strings.Cut(s, "```")
		require.LessOrEqual(t, strings.Count(s, ">>"), 10)
	}
}
