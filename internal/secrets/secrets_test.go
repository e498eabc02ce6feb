package secrets_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestGenerateMakesASecretOnce(t *testing.T) {
	t.Parallel()
	s := secrets.Store{Dir: filepath.Join(t.TempDir(), "secrets")}
	f := hearth.Function{FunctionDeployment: types.FunctionDeployment{Service: "cashier", Namespace: "openfaas-fn", Secrets: []string{"manager-key"}}}
	err := s.Require(f)
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err))
	require.ErrorContains(t, err, "manager-key")
	var made sync.Map
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			ok, err := s.Generate("openfaas-fn", "manager-key")
			if err == nil && ok {
				made.Store(i, true)
			}
		})
	}
	all.Wait()
	count := 0
	made.Range(func(any, any) bool { count++; return true })
	require.Equal(t, 1, count, "of eight at once, one made it")

	path := s.Path("openfaas-fn", "manager-key")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm(), "only this user may read it")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, text, 26)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")
	require.NoError(t, s.Require(f))
}

func TestGenerateKeepsASecretThatIsThere(t *testing.T) {
	t.Parallel()
	s := secrets.Store{Dir: t.TempDir()}
	path := s.Path("openfaas-fn", "mine")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte("the operator's own"), 0o600))
	made, err := s.Generate("openfaas-fn", "mine")
	require.NoError(t, err)
	require.False(t, made)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "the operator's own", string(text))
}

func TestGenerateStaysInItsFolder(t *testing.T) {
	t.Parallel()
	s := secrets.Store{Dir: t.TempDir()}
	for _, name := range []string{"", "..", "../x", "a/b", ".hidden", "UPPER", "a..b"} {
		_, err := s.Generate("openfaas-fn", name)
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err), name)
		_, err = s.Generate(name, "key")
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err), name)
	}
}

func TestCreateUpdateDelete(t *testing.T) {
	t.Parallel()
	s := secrets.Store{Dir: filepath.Join(t.TempDir(), "secrets")}
	names, err := s.List("openfaas-fn")
	require.NoError(t, err)
	require.Empty(t, names)
	require.Equal(t, hearth.NotFound, hearth.CodeOf(s.Update("openfaas-fn", "key", []byte("x"))), "an update makes none")
	require.Equal(t, hearth.NotFound, hearth.CodeOf(s.Delete("openfaas-fn", "key")))
	require.NoError(t, s.Create("openfaas-fn", "key", []byte("one")))
	require.Equal(t, hearth.Conflict, hearth.CodeOf(s.Create("openfaas-fn", "key", []byte("two"))))
	path := s.Path("openfaas-fn", "key")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "one", string(text))

	require.NoError(t, s.Update("openfaas-fn", "key", []byte("two")))
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "two", string(text))
	for path, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700, s.Dir: 0o700} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), ".new-1"), nil, 0o600))
	require.NoError(t, s.Create("openfaas-fn", "a.key", []byte("x")))
	names, err = s.List("openfaas-fn")
	require.NoError(t, err)
	require.Equal(t, []string{"a.key", "key"}, names, "and not what a crash left")
	require.NoError(t, s.Delete("openfaas-fn", "key"))
	require.Equal(t, hearth.NotFound, hearth.CodeOf(s.Delete("openfaas-fn", "key")))
}
