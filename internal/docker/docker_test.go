package docker_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/rand"

	"github.com/hearthfaas/hearth/internal/docker"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/hearth/hearthtest"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
)

// engine is a client of the engine that make test-docker has started.
func engine(t *testing.T) *client.Client {
	t.Helper()
	if os.Getenv("HEARTH_TEST_ENGINE") == "" {
		t.Skip("needs a Docker engine of its own: make test-docker")
	}
	api, err := client.New(client.FromEnv)
	require.NoError(t, err)
	t.Cleanup(func() { _ = api.Close() })
	return api
}

const (
	probeImage = "test/probe:latest"

	patience  = 3 * time.Minute       // for what a busy machine does in its time
	pollEvery = 20 * time.Millisecond // each look asks the engine, which has more to do
)

var imageOnce sync.Once

// giveImage gives the probe's image to the engine.
func giveImage(t *testing.T) {
	binary := providertest.Probe(t)
	imageOnce.Do(func() {
		images, err := docker.OpenImages(t.Context())
		require.NoError(t, err)
		defer func() { _ = images.Close() }()
		require.NoError(t, images.Put(t.Context(), probeImage, binary))
	})
}

// rig is a provider, and what a test may look at beside it.
type rig struct {
	providertest.Setup
	cfg docker.Config
	api *client.Client
}

func newConfig(t *testing.T) (docker.Config, map[string]string) {
	state := t.TempDir()
	store := secrets.Files{Dir: filepath.Join(state, "secrets")}
	values := map[string]string{}
	for _, name := range []string{"one", "two"} {
		values[name] = rand.Text()
		require.NoError(t, store.Put("openfaas-fn", name, []byte(values[name])))
	}
	instance := strings.ToLower(rand.Text()[:8])
	return docker.Config{
		Instance: instance,
		Secrets:  store,
		Logs: &logs.Dir{Path: filepath.Join(state,
			"logs")},
		Log:     slog.New(slog.DiscardHandler),
		Network: "hearth-" + instance,
		Pull:    docker.PullNever,
	}, values
}

func setup(t *testing.T, change ...func(*docker.Config)) rig {
	t.Helper()
	api := engine(t)
	giveImage(t)
	cfg, values := newConfig(t)
	for _, c := range change {
		c(&cfg)
	}
	p, err := docker.New(t.Context(), cfg)
	require.NoError(t, err)
	return rig{providertest.Setup{Provider: p, Image: probeImage, Secrets: values}, cfg, api}
}

// ours are the names of the containers of a rig, with their states.
func (r rig) ours(t *testing.T) map[string]string {
	t.Helper()
	list, err := r.api.ContainerList(context.Background(), client.ContainerListOptions{All: true,
		Filters: make(client.Filters).Add("label", "com.hearth.instance="+r.cfg.Instance)})
	require.NoError(t, err)
	states := map[string]string{}
	for _, c := range list.Items {
		states[c.Names[0]] = string(c.State)
	}
	return states
}

// cyclesEnv asks for more cycles to zero and back of each way to sleep than a test run has the time for.
const cyclesEnv = "HEARTH_TEST_CYCLES"

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*docker.Config){
		"Frozen":    func(*docker.Config) {},
		"Prepared":  func(c *docker.Config) { c.Asleep = docker.Prepared },
		"Published": func(c *docker.Config) { c.Asleep, c.Publish = docker.Nothing, true },
	} {
		t.Run(name, func(t *testing.T) {
			engine(t)
			providertest.Run(t, func(t *testing.T) providertest.Setup {
				r := setup(t, change)
				r.Cycles = 5
				if n, err := strconv.Atoi(os.Getenv(cyclesEnv)); err == nil {
					r.Cycles = n
				}
				t.Cleanup(func() {
					require.Empty(t, r.ours(t), "nothing is left behind")
				})
				return r.Setup
			})
		})
	}
}

func function(replicas int, change ...func(*hearth.Function)) hearth.Function {
	f := hearth.Function{Replicas: replicas, Revision: "r", DeployedAt: time.Now().UTC()}
	f.Service, f.Namespace, f.Image, f.EnvVars = "probe", "openfaas-fn", probeImage,
		map[string]string{"write_timeout": "1s"}
	for _, c := range change {
		c(&f)
	}
	return hearthtest.Parse(f)
}
