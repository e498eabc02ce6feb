package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestSecretsOverREST(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	n := newTestNode(t, func(c *nodeConfig) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	list, err := n.client.GetSecrets(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, list)

	status, err := n.client.CreateSecret(t.Context(), types.Secret{Name: "api.key", Value: "hush-1"})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status)
	status, err = n.client.CreateSecret(t.Context(), types.Secret{Name: "api.key", Value: "hush-2"})
	require.Equal(t, http.StatusConflict, status)
	require.ErrorContains(t, err, "update it")
	_, err = n.client.CreateSecret(t.Context(), types.Secret{Name: "api.key",
		Namespace: "shop", Value: "hush-3"})
	require.ErrorContains(t, err, "no namespace shop")
	_, err = n.client.CreateNamespace(t.Context(), types.FunctionNamespace{Name: "shop"})
	require.NoError(t, err)
	status, err = n.client.CreateSecret(t.Context(),
		types.Secret{Name: "api.key", Namespace: "shop", Value: "hush-3"})
	require.NoError(t, err, "another namespace's is another secret")
	require.Equal(t, http.StatusCreated, status)

	res, text := n.do(http.MethodGet, "/system/secrets", "")
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, text)
	var raw []map[string]any
	require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/secrets?namespace=shop", nil, &raw))
	require.Equal(t, []map[string]any{{"name": "api.key", "namespace": "shop"}}, raw, "names only")

	path := n.secrets.Files.Path("openfaas-fn", "api.key")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	text1, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "hush-1", string(text1))

	status, err = n.client.UpdateSecret(t.Context(), types.Secret{Name: "nobody", Value: "hush-4"})
	require.Equal(t, http.StatusNotFound, status)
	require.Error(t, err)
	require.ErrorContains(t, n.client.DeleteSecret(t.Context(), "nobody", ""), "not found")
	require.NoError(t, n.client.DeleteSecret(t.Context(), "api.key", "shop"))
	require.NoError(t, n.client.DeleteSecret(t.Context(), "api.key", ""))
	list, err = n.client.GetSecrets(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, list)

	n.end()
	require.Contains(t, log.String(), "api.key")
	require.NotContains(t, log.String(), "hush")
}

func TestBinarySecrets(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for name, c := range map[string]struct {
		sent types.Secret
		want string
	}{
		"text":               {types.Secret{Value: "text"}, "text"},
		"trimmed-by-the-cli": {types.Secret{Value: "text", RawValue: []byte("text\n")}, "text"},
		"binary": {types.Secret{Value: "\ufffd\x00",
			RawValue: []byte("\xff\x00\n")}, "\xff\x00\n"},
		"raw-only": {types.Secret{RawValue: []byte("raw\n")}, "raw\n"},
		"blank":    {types.Secret{RawValue: []byte("\n")}, "\n"},
	} {
		c.sent.Name = name
		_, err := n.client.CreateSecret(t.Context(), c.sent)
		require.NoError(t, err, name)
		kept, err := os.ReadFile(n.secrets.Files.Path("openfaas-fn", name))
		require.NoError(t, err)
		require.Equal(t, c.want, string(kept), name)
	}
}

func TestInvalidSecretsAreRefused(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	for _, name := range []string{"", "..", "../x", "a/b", ".hidden", "UPPER", "a..b",
		strings.Repeat("a", 254)} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			require.Equal(t, http.StatusBadRequest,
				n.system(method, "/system/secrets", types.Secret{Name: name, Value: "x"}, nil), method+name)
		}
	}
	for _, bad := range []any{types.Secret{Name: "empty"},
		map[string]any{"name": "a", "rawValue": "not base64!"}, map[string]any{"name": "a", "value": 7}, "x",
		types.Secret{Name: "a", Namespace: "../..", Value: "x"},
		types.Secret{Name: "large", Value: strings.Repeat("x", 1<<20)}} {
		require.Equal(t, http.StatusBadRequest, n.system(http.MethodPost, "/system/secrets", bad, nil))
	}
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodGet,
		"/system/secrets?namespace=..%2F..", nil, nil))
	entries, err := filepath.Glob(filepath.Join(n.cfg.State, "secrets", "[^.]*"))
	require.NoError(t, err)
	require.Empty(t, entries, "nothing was written")
}

func TestUpdatedSecretReachesARunningFunction(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	_, err := n.client.CreateSecret(t.Context(), types.Secret{Name: "key", Value: "old"})
	require.NoError(t, err)
	n.deploy("probe", func(d *types.FunctionDeployment) { d.Secrets = []string{"key"} })
	_, pid := n.do(http.MethodGet, "/function/probe?pid", "")
	_, value := n.do(http.MethodGet, "/function/probe?secret=key", "")
	require.Equal(t, "old", value)

	_, err = n.client.UpdateSecret(t.Context(), types.Secret{Name: "key", Value: "new"})
	require.NoError(t, err)
	_, value = n.do(http.MethodGet, "/function/probe?secret=key", "")
	require.Equal(t, "new", value)
	_, now := n.do(http.MethodGet, "/function/probe?pid", "")
	require.Equal(t, pid, now, "without a restart")
}

func TestSecretInUseIsNotDeleted(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	_, err := n.client.CreateSecret(t.Context(), types.Secret{Name: "key", Value: "x"})
	require.NoError(t, err)
	for _, name := range []string{"one", "two"} {
		n.deploy(name, func(d *types.FunctionDeployment) { d.Secrets = []string{"key"} })
	}
	err = n.client.DeleteSecret(t.Context(), "key", "")
	require.ErrorContains(t, err, "409")
	require.ErrorContains(t, err, "used by one, two")
	f, ok := n.registry.Function(hearth.Name{Function: "one", Namespace: "openfaas-fn"})
	require.True(t, ok)
	require.NoError(t, n.secrets.Files.Require(f), "it is still there")
	require.NoError(t, n.client.DeleteFunction(t.Context(), "one", ""))
	require.NoError(t, n.client.DeleteFunction(t.Context(), "two", ""))
	require.NoError(t, n.client.DeleteSecret(t.Context(), "key", ""))

	status, err := n.client.Deploy(t.Context(), types.FunctionDeployment{Service: "one", Image: probeImage,
		Secrets: []string{"key"}})
	require.Equal(t, http.StatusBadRequest, status)
	require.ErrorContains(t, err, "faas-cli secret create key")
}

func TestSecretReachesTheOtherInstance(t *testing.T) {
	t.Parallel()
	raw, log := chaintest.Redis(t), &told{}
	a, state := startTestNode(t, raw, t.TempDir(), log.config), t.TempDir()
	key, err := os.ReadFile(filepath.Join(a.cfg.State, "secret-key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(state, "secret-key"), key, 0o600))
	b := startTestNode(t, raw, state, log.config)

	_, err = a.client.CreateSecret(t.Context(), types.Secret{Name: "shared", Value: "hush-1"})
	require.NoError(t, err)
	_, err = b.client.CreateSecret(t.Context(), types.Secret{Name: "shared", Value: "hush-2"})
	require.ErrorContains(t, err, "already")
	b.deploy("probe", func(d *types.FunctionDeployment) { d.Secrets = []string{"shared"} })
	for _, n := range []*testNode{a, b} {
		n.says("secret=shared", "hush-1")
	}
	_, err = b.client.UpdateSecret(t.Context(), types.Secret{Name: "shared", Value: "hush-3"})
	require.NoError(t, err)
	for _, n := range []*testNode{b, a} {
		n.says("secret=shared", "hush-3")
	}
	b.end()
	_, err = a.client.UpdateSecret(t.Context(), types.Secret{Name: "shared", Value: "hush-4"})
	require.NoError(t, err)
	b = startTestNode(t, raw, state, log.config)
	b.says("secret=shared", "hush-4")
	require.NotContains(t, log.String(), "hush")
	require.Empty(t, log.errors())
}
