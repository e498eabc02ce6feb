package build_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/hearthfaas/hearth/internal/process"
	"github.com/stretchr/testify/require"
)

// TestDeployments reads each testdata/*.txt: a stack.yml, and behind a line of
// dashes the deployments that it is.
func TestDeployments(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		t.Run(filepath.Base(file), func(t *testing.T) {
			given, want, ok := strings.Cut(string(text), "\n----\n")
			require.True(t, ok, "no line of dashes")
			t.Chdir(t.TempDir())
			write(t, "stack.yml", given)
			write(t, "env.yml", "environment:\n  FROM_FILE: \"yes\"\n  BOTH: file\n")
			t.Setenv("TAG", "v2")
			stack, err := build.Read("stack.yml")
			require.NoError(t, err)
			got := map[string]any{}
			for _, name := range stack.Names {
				got[name], err = stack.Deployment(name)
				require.NoError(t, err)
			}
			out, err := json.Marshal(got)
			require.NoError(t, err)
			require.JSONEq(t, want, string(out))
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
}

type progress struct {
	mu    sync.Mutex
	ended map[string]error
}

func (p *progress) Begin(string) {}

func (p *progress) End(function string, _ time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended[function] = err
}

func TestBuildStoresWhatBuildShMakes(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "template/copy/build.sh",
		"#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\n"+
			"cat function/handler.txt function/shared/common.txt > \"$1\"\n")
	write(t, "template/copy/template.yml", "language: copy\nhandler_folder: function\n")
	write(t, "template/bare/template.yml", "language: bare\n")
	write(t, "good/handler.txt", "good")
	write(t, "bad/other.txt", "bad")
	write(t, "shared/common.txt", "+shared")
	write(t, "stack.yml", `
provider: {name: openfaas}
configuration:
  copy: [shared]
functions:
  good: {lang: copy, handler: ./good, image: me/good}
  bad: {lang: copy, handler: ./bad, image: "me/bad:1"}
  bare: {lang: bare, handler: ./good, image: me/bare}
  none: {image: me/none}
  absent: {lang: absent, handler: ./good, image: me/absent}
  skipped: {lang: copy, handler: ./nowhere, image: me/skipped, skip_build: true}
`)
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	require.Equal(t, []string{"absent", "bad", "bare", "good", "none", "skipped"}, stack.Names)
	images, p := process.Images{Dir: "images"}, &progress{ended: map[string]error{}}
	err = stack.Build(t.Context(), "build", images, p)

	var failure *build.Failure
	require.ErrorAs(t, p.ended["bad"], &failure)
	require.Contains(t, failure.Output, "handler.txt", "what build.sh said")
	require.ErrorContains(t, p.ended["bare"],
		`template bare has no build.sh, so it makes container images only: build it with "faas-cli build"`)
	require.ErrorContains(t, p.ended["absent"],
		`there is no template/absent; fetch it with "faas-cli template store pull"`)
	require.ErrorContains(t, p.ended["none"], "names no lang or no handler")
	require.NoError(t, p.ended["good"], "one that fails does not stop the others")
	require.NotContains(t, p.ended, "skipped")
	names := []string{"absent", "bad", "bare", "none"}
	for _, name := range names {
		require.True(t, errors.Is(err, p.ended[name]), name)
	}
	failed := []string{}
	for _, f := range build.Failures(err) {
		failed = append(failed, f.Function)
	}
	require.ElementsMatch(t, names, failed)
	image, err := images.Find("me/good:latest")
	require.NoError(t, err)
	text, err := os.ReadFile(image.Path)
	require.NoError(t, err)
	require.Equal(t, "good+shared", string(text))
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := build.Read("stack.yml")
	require.ErrorContains(t, err, "stack.yml: no such file")
	for _, c := range []struct{ text, want string }{
		{"provider: {name: openfaas}\n", "read stack.yml: it has no functions"},
		{"functions: {a: {image: a}}\n", `provider.name is "", want openfaas`},
		{"version: 9\nprovider: {name: openfaas}\nfunctions: {a: {image: a}}\n", `version is "9", want 1.0`},
		{"provider: {name: openfaas}\nfunctions:\n  ../../x: {image: a}\n",
			`function name "../../x" is not valid`},
		{"provider: {name: openfaas}\nfunctions:\n  a: {image: a, namespace: ..}\n",
			`function a: namespace ".." is not valid`},
		{"provider: {name: openfaas}\nfunctions:\n  a: {image: a, lang: ../../x}\n", "function a: lang is"},
		{"provider: {name: openfaas}\nfunctions:\n  a: {image: a, lang: ..}\n", "function a: lang is"},
		{"provider: {name: openfaas}\nfunctions:\n  a:\n    image: ${a\n", "line 4: cannot evaluate ${a"},
	} {
		write(t, "stack.yml", c.text)
		_, err := build.Read("stack.yml")
		require.ErrorContains(t, err, c.want, c.text)
	}
}

// A name that leads out of the project must be refused before any file is
// touched: a build context is removed first.
func TestReadRefusesNamesThatLeadOutOfTheProject(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("NAME", "../precious")
	write(t, "project/stack.yml",
		"provider: {name: openfaas}\nfunctions:\n  ${NAME}: {image: a, lang: copy, handler: .}\n")
	write(t, "project/template/copy/build.sh", "exit 0")
	write(t, "precious/file", "kept")
	t.Chdir("project")
	_, err := build.Read("stack.yml")
	require.ErrorContains(t, err, "is not valid")
	require.FileExists(t, "../precious/file")
}

func TestBuildRefusesAHandlerFolderOutsideOfTheTemplate(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "template/copy/build.sh", "touch ran")
	write(t, "template/copy/template.yml", "language: copy\nhandler_folder: ../../out\n")
	write(t, "good/handler.txt", "good")
	write(t, "stack.yml", "provider: {name: openfaas}\n"+
		"functions: {a: {image: a, lang: copy, handler: ./good}}\n")
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	err = stack.Build(t.Context(), "build", process.Images{Dir: "images"},
		&progress{ended: map[string]error{}})
	require.ErrorContains(t, err, `handler_folder of template copy is "../../out"`)
	require.NoDirExists(t, "out")
}

func TestFindPrefersStackYaml(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := build.Find("")
	require.EqualError(t, err, "there is no stack.yaml or stack.yml here; name the stack file with --file")
	write(t, "stack.yml", "")
	require.Equal(t, "stack.yml", found(t, ""))
	write(t, "stack.yaml", "")
	require.Equal(t, "stack.yaml", found(t, ""))
	require.Equal(t, "other.yml", found(t, "other.yml"))
}

func found(t *testing.T, given string) string {
	t.Helper()
	file, err := build.Find(given)
	require.NoError(t, err)
	return file
}

func TestFilter(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "stack.yml", "provider: {name: openfaas}\n"+
		"functions: {oven: {image: a, secrets: [s]}, oats: {image: a}, baker: {image: a}}\n")
	for _, c := range []struct {
		pattern string
		want    []string
		err     string
	}{
		{"", []string{"baker", "oats", "oven"}, ""},
		{"o*", []string{"oats", "oven"}, ""},
		{"oven", []string{"oven"}, ""},
		{"x*", nil, `--filter "x*" matches none of baker, oats, oven`},
		{"[", nil, `--filter "["`},
	} {
		stack, err := build.Read("stack.yml")
		require.NoError(t, err)
		err = stack.Filter(c.pattern)
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, stack.Names)
	}
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	require.NoError(t, stack.Filter("baker"))
	require.Empty(t, stack.Secrets("openfaas-fn"), "secrets of a function that was left out")
}

// Compilers name files of the build context; people edit those of the project.
func TestFailuresNameFilesOfTheProject(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "template/copy/template.yml", "language: copy\n")
	write(t, "template/copy/main.go", "")
	write(t, "functions/oven/handler.go", "")
	write(t, "functions/oven/inner/deep.py", "")
	write(t, "bakery/tray.go", "")
	write(t, "template/copy/build.sh", `cd "$(dirname "$0")"
echo "./handler.go:12:3: undefined: x"
echo "function/handler.go:13: undefined: y"
echo "vet: ./inner/deep.py:4:1: z"
echo "$PWD/function/handler.go:5 in a trace"
echo "bakery/tray.go:7:1: w"
echo "_watchdog/main.go:8:1: v"
echo "/usr/lib/go/src/fmt/print.go:9: not ours"
echo "see http://localhost:80 at 12:30:01"
exit 1
`)
	write(t, "stack.yml", `
provider: {name: openfaas}
configuration: {copy: [bakery]}
functions: {oven: {image: a, lang: copy, handler: ./functions/oven}}
`)
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	err = stack.Build(t.Context(), "build", process.Images{Dir: "images"},
		&progress{ended: map[string]error{}})
	require.Equal(t, `functions/oven/handler.go:12:3: undefined: x
functions/oven/handler.go:13: undefined: y
vet: functions/oven/inner/deep.py:4:1: z
functions/oven/handler.go:5 in a trace
bakery/tray.go:7:1: w
template/copy/main.go:8:1: v
/usr/lib/go/src/fmt/print.go:9: not ours
see http://localhost:80 at 12:30:01
`, build.Failures(err)[0].Output)
}

// The Dockerfile has no test of its own, but what it runs has.
func TestTemplateTestsTheHandler(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../template/go-http")))
	run := func() (string, error) {
		out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, "build.sh"),
			"--test").CombinedOutput()
		return string(out), err
	}
	out, err := run()
	require.NoError(t, err, "the starter's own: %s", out)
	require.NotContains(t, out, "left out")

	write(t, filepath.Join(dir, "function", "handler.go"), "package other\n\nfunc Other() {}\n")
	out, err = run()
	require.NoError(t, err, "without tests: %s", out)
	require.Contains(t, out, "handler_test.go is still the starter's and was left out")

	write(t, filepath.Join(dir, "function", "handler_test.go"),
		"package other\n\nimport \"testing\"\n\nfunc TestFails(t *testing.T) { t.Fatal(\"on purpose\") }\n")
	out, err = run()
	require.Error(t, err)
	require.Contains(t, out, "on purpose")
}

// TestABuildEndsWithItsContext has a build.sh whose child goes on and holds the output.
func TestABuildEndsWithItsContext(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "template/slow/build.sh", "touch \"$1.begun\"\nsleep 600\necho late\n")
	write(t, "template/slow/template.yml", "language: slow\n")
	write(t, "echo/handler", "x")
	write(t, "stack.yml", "provider: {name: openfaas}\nfunctions:\n"+
		"  echo: {lang: slow, handler: ./echo, image: echo}\n")
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- stack.Build(ctx, "build", nil, &progress{ended: map[string]error{}}) }()
	require.Eventually(t, func() bool { _, err := os.Stat("build/echo.bin.begun"); return err == nil },
		time.Minute, 2*time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(time.Minute):
		t.Fatal("the build goes on")
	}
}
