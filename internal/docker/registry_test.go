package docker_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/docker"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// privateRegistry is Debian's, with a user and a password.
type privateRegistry struct {
	t       *testing.T
	address string
	api     *client.Client
}

const registryUser, registryPassword = "baker", "cinnamon"

func startRegistry(t *testing.T, api *client.Client) *privateRegistry {
	t.Helper()
	path, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("there is no docker-registry in PATH")
	}
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte(registryPassword), bcrypt.MinCost)
	require.NoError(t, err)
	require.NoError(t,
		os.WriteFile(filepath.Join(dir, "htpasswd"), fmt.Appendf(nil, "%s:%s\n", registryUser, hash), 0o600))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	config := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s/data\nhttp:\n  "+
		"addr: %s\nauth:\n  htpasswd:\n    realm: test\n    path: %s/htpasswd\n", dir, address, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600))
	cmd := exec.Command(path, "serve", filepath.Join(dir, "config.yml"))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusUnauthorized
	}, patience, pollEvery)
	return &privateRegistry{t, address, api}
}

// push puts the engine's image into the registry under a name, and removes that name from the engine.
func (r *privateRegistry) push(from, name string) string {
	r.t.Helper()
	ref := r.address + "/" + name
	_, err := r.api.ImageTag(r.t.Context(), client.ImageTagOptions{Source: from, Target: ref})
	require.NoError(r.t, err)
	auth, err := authconfig.Encode(registry.AuthConfig{
		Username:      registryUser,
		Password:      registryPassword,
		ServerAddress: r.address,
	})
	require.NoError(r.t, err)
	pushed, err := r.api.ImagePush(r.t.Context(), ref, client.ImagePushOptions{RegistryAuth: auth})
	require.NoError(r.t, err)
	require.NoError(r.t, pushed.Wait(r.t.Context()))
	_, err = r.api.ImageRemove(r.t.Context(), ref, client.ImageRemoveOptions{})
	require.NoError(r.t, err)
	return ref
}

// login does what docker login does.
func (r *privateRegistry) login(password string) {
	r.t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + password))
	text, err := json.Marshal(
		map[string]any{"auths": map[string]any{r.address: map[string]string{"auth": auth}}},
	)
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), text, 0o600))
}

// TestPrivateRegistry is not parallel, as it changes the one Docker config.
func TestPrivateRegistry(t *testing.T) {
	api := engine(t)
	w := watch(t, func(c *docker.Config) { c.Pull = docker.PullIfNotPresent })
	r := startRegistry(t, api)
	ref := r.push(probeImage, "probe:1")
	from := func(ref string) hearth.Function {
		return function(1, func(f *hearth.Function) { f.Image = ref })
	}

	for _, wrong := range []func(){func() {}, func() { r.login("nutmeg") }} {
		wrong()
		err := w.Provider.Apply(t.Context(), from(ref))
		require.Equal(t, hearth.Invalid, hearth.CodeOf(err), err)
		require.ErrorContains(t, err, "docker login "+r.address)
		require.NotContains(t, err.Error(), "nutmeg")
	}
	require.NoError(t,
		os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte("{"), 0o600))
	err := w.Provider.Apply(t.Context(), from(ref))
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "cannot be read from the Docker config")
	r.login(registryPassword)
	err = w.Provider.Apply(t.Context(), from(r.address+"/probe:2"))
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "probe:2 does not exist")
	err = w.Provider.Apply(t.Context(), from("127.0.0.1:1/probe:1"))
	require.Equal(t, hearth.Unavailable, hearth.CodeOf(err), "there is no registry: %v", err)
	require.Empty(t, w.replicas("probe"), "nothing was started")

	w.apply(from(ref))
	require.Empty(t, w.ask(w.await("probe", ready(1))[0], ""))
	require.NotContains(t, w.log.String(), registryPassword)
}

func TestPullPolicies(t *testing.T) {
	api := engine(t)
	r := startRegistry(t, api)
	always := watch(t, func(c *docker.Config) { c.Pull = docker.PullAlways })
	r.login(registryPassword)
	images, err := docker.OpenImages(t.Context())
	require.NoError(t, err)
	defer func() { _ = images.Close() }()
	ref := r.push(probeImage, "moving:latest")
	deploy := func() hearth.Function { return function(1, func(f *hearth.Function) { f.Image = ref }) }
	spec := deploy()
	always.apply(spec)
	first := always.await("probe", ready(1))[0]

	other := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(other, []byte("#!/bin/false\n"), 0o700))
	require.NoError(t, images.Put(t.Context(), "test/other:latest", other))
	r.push("test/other:latest", "moving:latest")
	always.apply(spec)
	require.Equal(t, first, always.replicas("probe")[0], "only a deployment asks the registry")
	always.apply(deploy())
	list := always.await("probe", func(list []hearth.Replica) bool {
		return len(list) == 2 && list[0].Failing+list[1].Failing != ""
	})
	require.Contains(t, list, first, "what runs goes on, as the other cannot start")

	patient := watch(t, func(c *docker.Config) { c.Pull, c.PullWait = docker.PullAlways, time.Nanosecond })
	good := r.push(probeImage, "slow:latest")
	patient.apply(function(1, func(f *hearth.Function) { f.Image = good }))
	patient.await("probe", ready(1)) // though the deployment did not wait for the image
	never := watch(t)
	_, err = api.ImageRemove(t.Context(), ref, client.ImageRemoveOptions{Force: true})
	require.NoError(t, err)
	err = never.Provider.Apply(t.Context(), deploy())
	require.Equal(t, hearth.Invalid, hearth.CodeOf(err), err)
	require.ErrorContains(t, err, "the pull policy is never")
}
