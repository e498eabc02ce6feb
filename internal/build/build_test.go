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

// TestDeployments reads each testdata/*.txt: a stack.yml, and behind a line of dashes the deployments that it is.
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
	write(t, "template/copy/build.sh", "#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\ncat function/handler.txt function/shared/common.txt > \"$1\"\n")
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
  skipped: {lang: copy, handler: ./nowhere, image: me/skipped, skip_build: true}
`)
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	require.Equal(t, []string{"bad", "bare", "good", "none", "skipped"}, stack.Names)
	images, p := process.Images{Dir: "images"}, &progress{ended: map[string]error{}}
	err = stack.Build(t.Context(), "build", images, p)

	var failure *build.Failure
	require.ErrorAs(t, p.ended["bad"], &failure)
	require.Contains(t, failure.Output, "handler.txt", "what build.sh said")
	require.ErrorContains(t, p.ended["bare"], "has no build.sh, so it can only be built as a container: faas-cli build")
	require.ErrorContains(t, p.ended["none"], "it has no lang or no handler in stack.yml")
	require.NoError(t, p.ended["good"], "one that fails does not stop the others")
	require.NotContains(t, p.ended, "skipped")
	for _, name := range []string{"bad", "bare", "none"} {
		require.True(t, errors.Is(err, p.ended[name]), name)
	}
	image, err := images.Find("me/good:latest")
	require.NoError(t, err)
	text, err := os.ReadFile(image.Path)
	require.NoError(t, err)
	require.Equal(t, "good+shared", string(text))
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := build.Read("stack.yml")
	require.ErrorContains(t, err, "read stack.yml")
	write(t, "stack.yml", "provider:\n  name: openfaas\n")
	_, err = build.Read("stack.yml")
	require.EqualError(t, err, "read stack.yml: it has no functions")
}

// The Dockerfile has no test of its own, but what it runs has.
func TestTemplateTestsTheHandler(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../template/go-http")))
	run := func() (string, error) {
		out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(dir, "build.sh"), "--test").CombinedOutput()
		return string(out), err
	}
	out, err := run()
	require.NoError(t, err, "without tests: %s", out)

	write(t, filepath.Join(dir, "function", "handler_test.go"), "package function\n\nimport \"testing\"\n\nfunc TestFails(t *testing.T) { t.Fatal(\"on purpose\") }\n")
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
	write(t, "stack.yml", "provider: {name: openfaas}\nfunctions:\n  echo: {lang: slow, handler: ./echo, image: echo}\n")
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- stack.Build(ctx, "build", nil, &progress{ended: map[string]error{}}) }()
	require.Eventually(t, func() bool { _, err := os.Stat("build/echo.bin.begun"); return err == nil }, time.Minute, 2*time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(time.Minute):
		t.Fatal("the build goes on")
	}
}
