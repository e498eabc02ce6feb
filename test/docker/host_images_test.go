package docker_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
)

// library matches the file of a library in the output of ldd.
var library = regexp.MustCompile(`(?m)(?:=> |^\s+)(/\S+)`)

// hostImage creates an image from programs of this machine and their libraries, so that nothing is
// pulled. changes are Dockerfile instructions.
func hostImage(t *testing.T, api *client.Client, tag string, changes []string, programs ...string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	seen := map[string]bool{}
	add := func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: path[1:], Typeflag: tar.TypeReg,
			Mode: int64(fs.FileMode(0o755)), Size: int64(len(text))}))
		_, err = w.Write(text)
		require.NoError(t, err)
	}
	for _, program := range programs {
		path, err := exec.LookPath(program)
		require.NoError(t, err)
		path, err = filepath.Abs(path)
		require.NoError(t, err)
		add(path)
		out, err := exec.Command("ldd", path).Output()
		if err != nil { // it is static
			continue
		}
		for _, m := range library.FindAllStringSubmatch(string(out), -1) {
			add(m[1])
		}
	}
	require.NoError(t, w.Close())
	stream, err := api.ImageImport(t.Context(), client.ImageImportSource{Source: &archive, SourceName: "-"},
		tag, client.ImageImportOptions{Changes: changes})
	require.NoError(t, err)
	defer func() { _ = stream.Close() }()
	var answer bytes.Buffer
	_, err = answer.ReadFrom(stream)
	require.NoError(t, err)
	require.NotContains(t, answer.String(), "error")
}
