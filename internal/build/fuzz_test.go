package build_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/internal/build"
	"github.com/stretchr/testify/require"
)

// FuzzRead: whatever a stack.yml has in it, it is refused with the file's name, or each of its
// functions has a deployment that can be sent.
func FuzzRead(f *testing.F) {
	text, err := os.ReadFile("testdata/all.txt")
	require.NoError(f, err)
	given, _, _ := strings.Cut(string(text), "\n----\n")
	bakery, err := os.ReadFile("../../stack.yml")
	require.NoError(f, err)
	f.Add([]byte(given))
	f.Add(bakery)
	f.Add([]byte("functions:\n  a:\n  b: {image: ${TAG:-x}, labels: }\n"))
	f.Add([]byte("version: 1.0\nprovider: {name: openfaas}\n" +
		"functions: {a: {environment: &e {x: y}, limits: {cpu: 1}}, b: {environment: {<<: *e}}}"))
	f.Add([]byte("functions: []"))
	file := filepath.Join(f.TempDir(), "stack.yml")
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(file, text, 0o600))
		stack, err := build.Read(file)
		if err != nil {
			require.ErrorContains(t, err, "stack.yml")
			return
		}
		require.NotEmpty(t, stack.Names)
		require.True(t, slices.IsSorted(stack.Names))
		stack.Secrets("openfaas-fn")
		for _, name := range stack.Names {
			d, err := stack.Deployment(name)
			if err != nil { // of a file that it names
				require.ErrorContains(t, err, "function "+name)
				continue
			}
			require.Equal(t, name, d.Service)
			require.NotNil(t, d.Labels)
			require.NotNil(t, d.Annotations)
			_, err = json.Marshal(d)
			require.NoError(t, err)
		}
	})
}
