package main

import (
	"net/http"
	"testing"

	"github.com/hearthfaas/hearth/chain/chaintest"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/registry"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// TestReplicasAreLimited for one function and for all, whatever labels, operators and alerts ask for.
func TestReplicasAreLimited(t *testing.T) {
	t.Parallel()
	raw, state := chaintest.Redis(t), t.TempDir()
	n := startTestNode(t, raw, state, func(c *nodeConfig) {
		c.Scaling.Most = registry.Most{Function: 3,
			All: 4}
	})
	least := func(text string) func(*types.FunctionDeployment) {
		return func(d *types.FunctionDeployment) { (*d.Labels)["com.openfaas.scale.min"] = text }
	}
	deploy := func(name string, change func(*types.FunctionDeployment)) (int, error) {
		d := types.FunctionDeployment{Service: name, Image: probeImage, Labels: &map[string]string{},
			EnvVars: map[string]string{"write_timeout": "1s"}}
		change(&d)
		return n.client.Deploy(t.Context(), d)
	}
	status, err := deploy("many", least("1000000"))
	require.Equal(t, http.StatusBadRequest, status)
	require.ErrorContains(t, err, "--max-replicas")
	status, err = deploy("many", least("3"))
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, status)
	status, err = deploy("more", least("2"))
	require.Equal(t, http.StatusBadRequest, status)
	require.ErrorContains(t, err, "--max-replicas-all")

	n.deploy("asleep", least("0"))
	n.deploy("one", least("0"))
	require.ErrorContains(t, n.client.ScaleFunction(t.Context(), "many", "", 4), "want 0 to 3")
	require.ErrorContains(t, n.client.ScaleFunction(t.Context(), "asleep", "", 2), "want 0 to 1")
	// a function at zero gets its first replica even at the limit
	for _, name := range []string{"asleep", "one"} {
		res, text := n.do(http.MethodPost, "/function/"+name, "hello")
		require.Equal(t, http.StatusOK, res.StatusCode, text)
	}
	require.NoError(t, n.client.ScaleFunction(t.Context(), "many", "", 2))
	for change := range uint64(100) { // the registry does not reveal the current change
		if err = n.registry.ScaleFrom(t.Context(),
			hearth.Name{Function: "many", Namespace: hearth.DefaultNamespace}, change, 1000); err == nil {
			break
		}
	}
	require.NoError(t, err, "the autoscaler gets what there is")
	f, ok := n.registry.Function(hearth.Name{Function: "many", Namespace: hearth.DefaultNamespace})
	require.True(t, ok)
	require.Equal(t, 2, f.Replicas)

	n.end()
	n = startTestNode(t, raw, state, func(c *nodeConfig) { c.Scaling.Most = registry.Most{Function: 1} })
	f, _ = n.registry.Function(hearth.Name{Function: "many", Namespace: hearth.DefaultNamespace})
	require.Equal(t, 1, f.Replicas, "the bound is another than when it was deployed")
}

// TestTopicsBelongToOneNamespace: a second deployment of a stack in another
// namespace takes no messages of the first.
func TestTopicsBelongToOneNamespace(t *testing.T) {
	t.Parallel()
	n := newTestNode(t)
	require.Equal(t, http.StatusCreated, n.system(http.MethodPost, "/system/namespace/",
		types.FunctionNamespace{Name: "staging"}, nil))
	asleep := func(namespace, name, value, shared string) types.FunctionDeployment {
		return types.FunctionDeployment{
			Service:     "probe",
			Namespace:   namespace,
			Image:       probeImage,
			Labels:      &map[string]string{"com.openfaas.scale.min": "0"},
			Annotations: &map[string]string{name: value, "com.hearth.topics.from": shared},
		}
	}
	_, err := n.client.Deploy(t.Context(), asleep("", "topic", "bakery.dough, bakery.bake", ""))
	require.NoError(t, err)
	for _, name := range []string{"topic", "com.hearth.emits"} {
		for _, shared := range []string{"", "staging", "another"} {
			status, err := n.client.Deploy(t.Context(),
				asleep("staging", name, "shop.opened,bakery.bake", shared))
			require.Equal(t, http.StatusBadRequest, status, "%s, shared from %q", name, shared)
			require.ErrorContains(t, err,
				"the topic bakery.bake is used by probe in the namespace openfaas-fn")
			require.ErrorContains(t, err, "com.hearth.topics.from: openfaas-fn")
		}
	}
	_, err = n.client.Deploy(t.Context(), asleep("staging", "topic", "shop.opened,bakery.bake",
		"another, openfaas-fn"))
	require.NoError(t, err, "somebody has said that it is meant")
	_, err = n.client.Update(t.Context(), asleep("", "topic", "bakery.dough, bakery.bake", ""))
	require.NoError(t, err, "and whoever was there first is not kept from updates by it")
	_, err = n.client.Update(t.Context(), asleep("staging", "topic", "shop.opened", ""))
	require.NoError(t, err)
	_, err = n.client.Update(t.Context(), asleep("", "topic", "bakery.dough, shop.opened", ""))
	require.ErrorContains(t, err, "used by probe in the namespace staging")
}
