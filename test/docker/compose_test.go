// Package docker_test starts the compose file as a user does and runs the bakery in it.
package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hearthfaas/hearth/internal/build"
	"github.com/moby/moby/client"
	"github.com/openfaas/faas-provider/types"
	sdk "github.com/openfaas/go-sdk"
	"github.com/stretchr/testify/require"
)

// patience is a time limit for a busy machine.
const patience = 3 * time.Minute

// composed is the running compose project.
type composed struct {
	t        *testing.T
	api      *client.Client
	root     string
	env      []string
	gateway  string
	metrics  string
	password string
	client   *sdk.Client
}

func (c *composed) run(name string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = c.root, c.env
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	require.NoError(c.t, cmd.Run(), "%s %s\n%s%s", name, strings.Join(args, " "), &out, &problems)
	return out.String()
}

func (c *composed) compose(args ...string) string {
	c.t.Helper()
	return c.run("docker-compose", append([]string{"-p", "hearthtest", "--ansi", "never"}, args...)...)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func composeUp(t *testing.T) *composed {
	t.Helper()
	if os.Getenv("HEARTH_TEST_ENGINE") == "" {
		t.Skip("needs a Docker engine of its own: make test-docker")
	}
	api, err := client.New(client.FromEnv)
	require.NoError(t, err)
	t.Cleanup(func() { _ = api.Close() })
	_, here, _, _ := runtime.Caller(0)
	port, metrics := freePort(t), freePort(t)
	c := &composed{
		t:       t,
		api:     api,
		root:    filepath.Join(filepath.Dir(here), "..", ".."),
		gateway: "http://127.0.0.1:" + port,
		metrics: "http://127.0.0.1:" + metrics,
		env: append(os.Environ(), "HEARTH_PORT="+port, "HEARTH_ADMIN_PORT="+freePort(t),
			"HEARTH_CONSOLE_PORT="+freePort(t),
			"PROMETHEUS_PORT="+metrics, "DOCKER_SOCKET="+strings.TrimPrefix(os.Getenv("DOCKER_HOST"),
				"unix://"),
			"REDIS_IMAGE=hearth-test/redis", "PROMETHEUS_IMAGE=hearth-test/prometheus", "VERSION=test",
			"ARCHS="+runtime.GOARCH,
			"COMPOSE_HTTP_TIMEOUT=600"),
	} // docker-compose 1 gives up after one minute
	hostImage(t, api, "hearth-test/redis:latest", []string{`VOLUME /data`}, "redis-server", "redis-cli", "sh",
		"tr", "head", "mv", "chmod", "grep")
	hostImage(t, api, "hearth-test/prometheus:latest",
		[]string{`ENTRYPOINT ["/usr/bin/prometheus"]`, `VOLUME /prometheus`}, "prometheus")
	c.run("make", "images", "VERSION=test", "ARCHS="+runtime.GOARCH)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.compose("exec", "-T", "hearth", "/hearth", "queues") +
				c.compose("exec", "-T", "hearth", "/hearth", "dead", "list") + c.run("docker", "ps", "-a"))
			for _, name := range []string{"cashier", "baker", "oven", "server", "storefront"} {
				for id := range c.functions(name) {
					t.Log(name, c.run("sh", "-c", "docker logs --tail 20 "+id+" 2>&1"))
				}
			}
			t.Log(c.compose("logs", "--no-color", "--tail", "40"))
		}
		c.compose("down", "-v", "-t", "30")
	})
	c.compose("up", "-d")
	c.awaitHealthy()
	c.password = strings.TrimSpace(c.compose("exec", "-T", "hearth", "/hearth", "password"))
	u, err := url.Parse(c.gateway)
	require.NoError(t, err)
	c.client = sdk.NewClient(u, &sdk.BasicAuth{Username: "admin", Password: c.password},
		&http.Client{Timeout: patience})
	return c
}

// awaitHealthy waits for the compose file's own health checks.
func (c *composed) awaitHealthy() {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		list, err := c.api.ContainerList(context.Background(), client.ContainerListOptions{
			Filters: make(client.Filters).Add("label",
				"com.docker.compose.project=hearthtest").Add("health", "healthy")})
		return err == nil && len(list.Items) == 2 // hearth and Redis have one
	}, patience, 50*time.Millisecond)
}

// functions returns the states of a function's containers by id.
func (c *composed) functions(name string) map[string]string {
	list, err := c.api.ContainerList(context.Background(), client.ContainerListOptions{All: true,
		Filters: make(client.Filters).Add("label", "com.hearth.function="+name+".openfaas-fn")})
	states := map[string]string{}
	if err == nil {
		for _, item := range list.Items {
			states[item.ID] = string(item.State)
		}
	}
	return states
}

func (c *composed) awaitReplicas(name string, n uint64) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		f, err := c.client.GetFunction(context.Background(), name, "")
		return err == nil && f.Replicas == n && f.AvailableReplicas == n
	}, patience, 20*time.Millisecond, "%s has not %d replicas", name, n)
}

// bakery runs the bakery's own command against the gateway.
func (c *composed) bakery(args ...string) string {
	c.t.Helper()
	return c.run(filepath.Join(c.root, "bin", "bakery"), append([]string{"--gateway", c.gateway}, args...)...)
}

// requireSafe checks the compose file before any deployment: Redis has a password that nobody can look up, no
// service can use all memory, and a wrong deployment is a client error.
func (c *composed) requireSafe() {
	c.t.Helper()
	services := strings.Fields(c.compose("ps", "-q"))
	require.Len(c.t, services, 3)
	redis := strings.TrimSpace(c.compose("ps", "-q", "redis"))
	password := strings.TrimSpace(c.run("docker", "exec", redis, "head", "-n", "1", "/auth/password"))
	require.Regexp(c.t, "^[a-z0-9]{32}$", password)
	require.Contains(c.t, c.run("docker", "exec", redis, "redis-cli", "ping"), "NOAUTH")
	require.NotContains(c.t, c.compose("logs", "--no-color"), password)
	for _, id := range services {
		require.NotContains(c.t, c.run("docker", "inspect", id), password)
		require.NotContains(c.t, c.run("docker", "top", id, "-eo", "pid,args"), password)
		inspected, err := c.api.ContainerInspect(c.t.Context(), id, client.ContainerInspectOptions{})
		require.NoError(c.t, err)
		require.NotZero(c.t, inspected.Container.HostConfig.Memory, inspected.Container.Name)
	}
	for _, name := range []string{"hearth", "oven"} {
		id := strings.TrimSpace(c.run("docker", "create", "hearthfaas/"+name+":test"))
		text := c.run("sh", "-c", "docker cp "+id+":/licenses/third-party.txt - && docker rm "+id)
		require.Contains(c.t, text, "github.com/redis/go-redis", name)
	}
	status, err := c.client.Deploy(c.t.Context(), types.FunctionDeployment{Service: "wrong",
		Image: "Upper/Case:1"})
	require.ErrorContains(c.t, err, "is not an image reference")
	require.Equal(c.t, http.StatusBadRequest, status)
}

func TestComposeServesACookie(t *testing.T) {
	c := composeUp(t)
	c.requireSafe()
	keyFile := filepath.Join(t.TempDir(), "manager-key")
	require.NoError(t, os.WriteFile(keyFile, []byte("a key for the manager"), 0o600))
	c.env = append(c.env, "MANAGER_KEY_FILE="+keyFile)
	_, err := c.client.CreateSecret(t.Context(), types.Secret{Name: "manager-key",
		Value: "a key for the manager"})
	require.NoError(t, err)
	t.Chdir(c.root)
	t.Setenv("REDIS_URL", "")
	require.NoError(t, os.Unsetenv("REDIS_URL")) // use the default of stack.yml
	t.Setenv("BAKE_SPEED", "6000")
	stack, err := build.Read("stack.yml")
	require.NoError(t, err)
	for _, name := range stack.Names {
		d, err := stack.Deployment(name)
		require.NoError(t, err)
		_, err = c.client.Deploy(t.Context(), d)
		require.NoError(t, err)
	}
	for _, name := range stack.Names {
		c.awaitReplicas(name, 1)
	}

	c.bakery("restock")
	require.Contains(t, c.bakery("order", "--wait=3m", "--customer", "Ada", "chocolate-chip=12"), "served")
	c.bakery("audit")

	// One role alone scales up, to zero and up again.
	for _, n := range []int{3, 0} {
		require.NoError(t, c.client.ScaleFunction(t.Context(), "oven", "openfaas-fn", uint64(n)))
		c.awaitReplicas("oven", uint64(n))
	}
	require.Eventually(t, func() bool {
		for _, state := range c.functions("oven") {
			if state != "paused" {
				return false
			}
		}
		return len(c.functions("oven")) == 1
	}, patience, 20*time.Millisecond, "it sleeps")
	require.Contains(t, c.bakery("order", "--wait=3m", "--customer", "Grace", "chocolate-chip=24"), "served")
	c.awaitReplicas("oven", 1)

	// A killed instance finds its functions again.
	before := c.functions("cashier")
	// its name depends on the version of Compose
	c.run("docker", "kill", strings.TrimSpace(c.compose("ps", "-q", "hearth")))
	c.compose("start", "hearth")
	c.awaitHealthy()
	c.awaitReplicas("cashier", 1)
	require.Equal(t, before, c.functions("cashier"), "it was adopted")
	for id := range before {
		c.run("docker", "kill", id)
	}
	require.Eventually(t, func() bool {
		now := c.functions("cashier")
		for id, state := range now {
			if _, same := before[id]; same || state != "running" {
				return false
			}
		}
		return len(now) == 1
	}, patience, 20*time.Millisecond, "it is replaced")
	c.awaitReplicas("cashier", 1)
	require.Contains(t, c.bakery("order", "--wait=3m", "--customer", "Linus", "scone=12"), "served")
	c.bakery("audit")

	require.Eventually(t, c.scraped, patience, 100*time.Millisecond,
		"Prometheus has seen the cashier's calls")

	c.compose("down", "-t", "30")
	for _, name := range stack.Names {
		require.Empty(t, c.functions(name), "nothing is left behind")
	}
	_, err = c.api.NetworkInspect(t.Context(), "hearth", client.NetworkInspectOptions{})
	require.True(t, errdefs.IsNotFound(err), "the network is gone: %v", err)

	// Deployments and queues survive in the volumes.
	c.compose("up", "-d")
	c.awaitHealthy()
	c.awaitReplicas("server", 1)
	c.bakery("audit")
}

// scraped queries Prometheus for a metric of Hearth.
func (c *composed) scraped() bool {
	res, err := http.Get(c.metrics + "/api/v1/query?query=" +
		url.QueryEscape(`gateway_function_invocation_total{function_name="cashier.openfaas-fn",code="200"}`))
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	return json.NewDecoder(res.Body).Decode(&answer) == nil && len(answer.Data.Result) == 1 &&
		fmt.Sprint(answer.Data.Result[0].Value[1]) != "0"
}
