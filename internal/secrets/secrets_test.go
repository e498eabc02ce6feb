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
