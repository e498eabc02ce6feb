package main

import (
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

func TestNamespacesOverREST(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state)
	names := func() (list []string) {
		require.Equal(t, http.StatusOK, n.system(http.MethodGet, "/system/namespaces", nil, &list))
		return list
	}
	require.Equal(t, []string{"openfaas-fn"}, names(), "schedules of a stock connector need one")

	deployment := types.FunctionDeployment{Service: "probe", Namespace: "shop", Image: probeImage}
	_, err := n.client.Deploy(t.Context(), deployment)
	require.ErrorContains(t, err, "faas-cli namespace create shop")
	status, _ := n.client.Update(t.Context(), deployment)
	require.Equal(t, http.StatusBadRequest, status, "after a 404 faas-cli would try to create it")

	shop := types.FunctionNamespace{Name: "shop", Labels: map[string]string{"team": "sales", "openfaas": "1"},
		Annotations: map[string]string{"note": "ä"}}
	require.Equal(t, http.StatusCreated, n.system(http.MethodPost, "/system/namespace/", shop, nil))
	require.Equal(t, http.StatusCreated, n.system(http.MethodPost, "/system/namespace", shop, nil),
		"the same again, as its answer may be lost")
	require.Equal(t, http.StatusConflict, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: "shop"}, nil))
	for _, bad := range []string{"", "Shop", "a.b", "../x", "x y"} {
		require.Equal(t, http.StatusBadRequest, n.system(http.MethodPost, "/system/namespace/",
			types.FunctionNamespace{Name: bad}, nil), bad)
	}
	for _, path := range []string{"/system/namespace/shop", "/system/namespaces/shop"} {
		var got types.FunctionNamespace
		require.Equal(t, http.StatusOK, n.system(http.MethodGet, path, nil, &got))
		require.Equal(t, shop, got)
	}
	shop.Labels["team"] = "all"
	require.Equal(t, http.StatusBadRequest, n.system(http.MethodPut, "/system/namespace/other", shop,
		nil), "two names")
	require.Equal(t, http.StatusOK, n.system(http.MethodPut, "/system/namespaces/shop", shop, nil))
	got, err := n.client.GetNamespace(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, "all", got.Labels["team"])
	require.Equal(t, http.StatusNotFound, n.system(http.MethodPut, "/system/namespace/none",
		types.FunctionNamespace{Name: "none"}, nil))
	require.Equal(t, http.StatusNotFound, n.system(http.MethodGet, "/system/namespace/none", nil, nil))
	require.Equal(t, http.StatusNotFound, n.system(http.MethodDelete, "/system/namespace/none",
		types.FunctionNamespace{Name: "none"}, nil))

	n.deploy("probe", func(d *types.FunctionDeployment) { d.Namespace = "shop" })
	_, err = n.client.CreateSecret(t.Context(), types.Secret{Name: "key", Namespace: "shop", Value: "x"})
	require.NoError(t, err)
	n.end()
	n = startTestNode(t, raw, state)
	require.Equal(t, []string{"openfaas-fn", "shop"}, names(), "after a restart, too")
	require.Equal(t, http.StatusConflict, n.system(http.MethodDelete, "/system/namespace/shop", shop, nil),
		"it has a function")
	require.NoError(t, n.client.DeleteFunction(t.Context(), "probe", "shop"))
	require.Equal(t, http.StatusConflict, n.system(http.MethodDelete, "/system/namespace/shop", shop, nil),
		"it has a secret")
	require.NoError(t, n.client.DeleteSecret(t.Context(), "key", "shop"))
	require.Equal(t, http.StatusOK, n.system(http.MethodDelete, "/system/namespaces/shop", shop, nil))
	require.Equal(t, []string{"openfaas-fn"}, names())
	require.Equal(t, http.StatusConflict, n.system(http.MethodDelete, "/system/namespace/openfaas-fn",
		types.FunctionNamespace{Name: "openfaas-fn"}, nil))
	require.Equal(t, http.StatusConflict, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: "openfaas-fn"}, nil))

	for method, path := range map[string]string{http.MethodGet: "/system/namespaces",
		http.MethodPost: "/system/namespace/", http.MethodPut: "/system/namespace/shop",
		http.MethodDelete: "/system/namespaces/shop"} {
		res, _ := n.do(method, path, "{}")
		require.Equal(t, http.StatusUnauthorized, res.StatusCode, method)
	}
}
