package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/stretchr/testify/require"
)

// partlyBuilt is a project with one function that builds, and others that fail.
func partlyBuilt(t *testing.T, functions string) {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"template/good/build.sh":      "cp '" + providertest.Probe(t) + "' \"$1\"\n",
		"template/good/template.yml":  "language: good\n",
		"template/image/template.yml": "language: image\n",
		"template/bad/build.sh":       "echo './handler.txt:3: syntax error'; exit 1\n",
		"template/bad/template.yml":   "language: bad\n",
		"code/handler.txt":            "",
		"stack.yaml":                  "provider: {name: openfaas}\nfunctions:\n" + functions,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600))
	}
	t.Chdir(dir)
}

func TestUpStartsFunctionsThatBuild(t *testing.T) {
	n := newTestNode(t)
	partlyBuilt(t, `
  good: {lang: good, handler: ./code, image: good}
  bad: {lang: bad, handler: ./code, image: bad}
  image: {lang: image, handler: ./code, image: image}
`)
	var said bytes.Buffer
	out := newConsole(&said)
	c := upConfig{serveConfig: serveConfig{State: n.cfg.State,
		providerConfig: providerConfig{Provider: "process"}}}
	stack, err := openStack("")
	require.NoError(t, err)
	require.NoError(t, n.bringUp(t.Context(), c, out, stack))
	require.EqualValues(t, 1, n.available("good"))
	require.Contains(t, said.String(), "code/handler.txt:3: syntax error")
	require.Contains(t, said.String(), `run it with "hearth up --provider docker"`)
	require.Contains(t, said.String(), "2 of 3 functions not built; the others start without them")
}

func TestUpFailsIfNothingCanBeBuilt(t *testing.T) {
	n := newTestNode(t)
	partlyBuilt(t, "  bad: {lang: bad, handler: ./code, image: bad}\n")
	c := upConfig{serveConfig: serveConfig{State: n.cfg.State,
		providerConfig: providerConfig{Provider: "process"}}}
	stack, err := openStack("")
	require.NoError(t, err)
	err = n.bringUp(t.Context(), c, newConsole(&bytes.Buffer{}), stack)
	require.Len(t, build.Failures(err), 1)
}

func TestBuildFilter(t *testing.T) {
	partlyBuilt(t, "  good: {lang: good, handler: ./code, image: good}\n"+
		"  bad: {lang: bad, handler: ./code, image: bad}\n")
	var out bytes.Buffer
	cmd := newBuild()
	cmd.SetArgs([]string{"--filter", "g*", "--state", "state"})
	cmd.SetOut(&out)
	require.NoError(t, cmd.ExecuteContext(t.Context()), out.String())
	require.NotContains(t, out.String(), "bad")
	_, err := processImages("state").Find("good:latest")
	require.NoError(t, err)
}
