package docker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/docker"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/providertest"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/openfaas/faas-provider/types"
	"github.com/stretchr/testify/require"
)

// watched is a rig, and what its provider told.
type watched struct {
	rig
	t   *testing.T
	log *logBuffer

	mu sync.Mutex
	at map[string][]hearth.Replica
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func watch(t *testing.T, change ...func(*docker.Config)) *watched {
	t.Helper()
	log := &logBuffer{}
	w := &watched{t: t, log: log, at: map[string][]hearth.Replica{}}
	w.rig = setup(t, append(change, func(c *docker.Config) {
		c.Log = slog.New(slog.NewTextHandler(log, nil))
	})...)
	w.Provider.Watch(func(n hearth.Name, list []hearth.Replica) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.at[n.Function] = slices.DeleteFunc(list, func(r hearth.Replica) bool { return r.Ending })
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.ours(t), log.String())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, w.Provider.Close(ctx))
		require.Empty(t, w.ours(t), "nothing is left behind")
	})
	return w
}

func (w *watched) apply(f hearth.Function) {
	w.t.Helper()
	require.NoError(w.t, w.Provider.Apply(w.t.Context(), f))
}

func (w *watched) replicas(name string) []hearth.Replica {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at[name]
}

func (w *watched) await(name string, condition func([]hearth.Replica) bool) []hearth.Replica {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return condition(w.replicas(name))
	}, patience, pollEvery, "%+v", w.replicas(name))
	return w.replicas(name)
}

func ready(n int) func([]hearth.Replica) bool {
	return func(list []hearth.Replica) bool {
		for _, r := range list {
			if !r.Ready || !r.Accepting {
				return false
			}
		}
		return len(list) == n
	}
}

func failing(list []hearth.Replica) bool { return len(list) == 1 && list[0].Failing != "" }

func (w *watched) ask(r hearth.Replica, query string) string {
	w.t.Helper()
	text, err := providertest.Call(w.t.Context(), r, query, "")
	require.NoError(w.t, err)
	return text
}

func TestContainerHasNoPrivileges(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.apply(function(1, func(f *hearth.Function) {
		f.Limits, f.Requests = &types.FunctionResources{Memory: "64Mi", CPU: "500m"},
			&types.FunctionResources{Memory: "32Mi", CPU: "250m"}
		f.ReadOnlyRootFilesystem, f.Secrets = true, []string{"one"}
	}))
	r := w.await("probe", ready(1))[0]
	inspected, err := w.api.ContainerInspect(t.Context(), "hearth-"+r.ID, client.ContainerInspectOptions{})
	require.NoError(t, err)
	c, host := inspected.Container, inspected.Container.HostConfig
	require.Equal(t, "65532:65532", c.Config.User)
	require.Equal(t, []string{"ALL"}, []string(host.CapDrop))
	require.Empty(t, host.CapAdd)
	require.False(t, host.Privileged)
	require.Contains(t, host.SecurityOpt, "no-new-privileges")
	require.EqualValues(t, 512, *host.PidsLimit)
	require.EqualValues(t, 64<<20, host.Memory)
	require.EqualValues(t, 64<<20, host.MemorySwap, "it cannot swap")
	require.EqualValues(t, 32<<20, host.MemoryReservation)
	require.EqualValues(t, 5e8, host.NanoCPUs)
	require.EqualValues(t, 256, host.CPUShares)
	require.Empty(t, host.PortBindings)
	require.Len(t, c.NetworkSettings.Networks, 1)
	require.Contains(t, c.NetworkSettings.Networks, w.cfg.Network)
	require.True(t, host.ReadonlyRootfs)
	require.Contains(t, w.ask(r, "write=/etc/x"), "read-only file system")
	require.Equal(t, "written", w.ask(r, "write=/tmp/x"))
	secret, err := w.api.ContainerStatPath(t.Context(), c.ID,
		client.ContainerStatPathOptions{Path: "/var/openfaas/secrets/one"})
	require.NoError(t, err)
	require.EqualValues(t, 0o400, secret.Stat.Mode.Perm())
	require.Contains(t, w.ask(r, "write=/var/openfaas/secrets/one"), "denied", "it cannot change its secret")
	require.NotContains(t, fmt.Sprint(c.Config.Env), w.Secrets["one"])

	w.apply(function(1, func(f *hearth.Function) { f.Service = "plain" }))
	plain, err := w.api.ContainerInspect(t.Context(), "hearth-"+w.await("plain", ready(1))[0].ID,
		client.ContainerInspectOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 1<<30, plain.Container.HostConfig.Memory, "there is a limit without one too")
}

func TestSecretReachesRunningContainers(t *testing.T) {
	t.Parallel()
	w := watch(t)
	granted := func(f *hearth.Function) { f.Secrets = []string{"one"} }
	w.apply(function(2, granted))
	w.apply(function(0, granted, func(f *hearth.Function) { f.Service = "sleeper" }))
	w.apply(function(1, func(f *hearth.Function) { f.Service = "other" }))
	replicas, other := w.await("probe", ready(2)), w.await("other", ready(1))[0]
	require.Eventually(t, func() bool {
		return slices.Contains(slices.Collect(maps.Values(w.ours(t))), "paused")
	}, patience, pollEvery)
	require.NoError(t, w.cfg.Secrets.Put("openfaas-fn", "one", []byte("new")))
	require.NoError(t, w.Provider.(hearth.SecretReceiver).ReceiveSecret(t.Context(), "openfaas-fn", "one"))
	w.apply(function(1, granted, func(f *hearth.Function) { f.Service = "sleeper" }))
	for _, r := range append(replicas, w.await("sleeper", ready(1))...) {
		require.Equal(t, "new", w.ask(r, "secret=one"))
		require.Contains(t, w.ask(r, "write=/var/openfaas/secrets/one"), "denied")
	}
	require.Equal(t, replicas, w.replicas("probe"), "nothing was started again")
	require.Equal(t, "none", w.ask(other, "secret=one"))
}

func TestMemoryHogDiesAlone(t *testing.T) {
	t.Parallel()
	w := watch(t)
	limit := func(f *hearth.Function) { f.Limits = &types.FunctionResources{Memory: "64Mi"} }
	w.apply(function(1, limit, func(f *hearth.Function) { f.Service = "hog" }))
	w.apply(function(1, limit))
	hog, other := w.await("hog", ready(1))[0], w.await("probe", ready(1))[0]
	_, err := providertest.Call(t.Context(), hog, "hog=200", "")
	require.Error(t, err)
	w.await("hog", func(list []hearth.Replica) bool { return ready(1)(list) && list[0].ID != hog.ID })
	require.Contains(t, w.log.String(), "it was killed because it exceeded its memory limit of 64 MiB")
	require.Equal(t, []hearth.Replica{other}, w.replicas("probe"), "the other goes on")
	require.Empty(t, w.ask(other, ""))
}

func TestKilledContainerIsReplaced(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.apply(function(1))
	for range 2 { // the second time too, as it had got ready
		r := w.await("probe", ready(1))[0]
		_, err := w.api.ContainerKill(t.Context(), "hearth-"+r.ID,
			client.ContainerKillOptions{Signal: "KILL"})
		require.NoError(t, err)
		w.await("probe", func(list []hearth.Replica) bool { return ready(1)(list) && list[0].ID != r.ID })
	}
	r := w.replicas("probe")[0]
	_, err := w.api.ContainerRemove(t.Context(), "hearth-"+r.ID, client.ContainerRemoveOptions{Force: true})
	require.NoError(t, err)
	w.await("probe", func(list []hearth.Replica) bool { return ready(1)(list) && list[0].ID != r.ID })
}

// TestFailedRemovalIsRetried: a file that nobody can delete keeps a container in the state "Removal In
// Progress".
func TestFailedRemovalIsRetried(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.apply(function(1))
	r := w.await("probe", ready(1))[0]
	c, err := w.api.ContainerInspect(t.Context(), "hearth-"+r.ID, client.ContainerInspectOptions{})
	require.NoError(t, err)
	file := filepath.Join(c.Container.GraphDriver.Data["UpperDir"], "stays")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	immutable := func(how string) { require.NoError(t, exec.Command("chattr", how, file).Run()) }
	immutable("+i")
	t.Cleanup(func() { _ = exec.Command("chattr", "-i", file).Run() })
	<-w.Provider.Remove(hearth.Name{Function: "probe", Namespace: "openfaas-fn"})
	require.Contains(t, w.log.String(), "could not remove container; will retry")
	require.Equal(t, map[string]string{"/hearth-" + r.ID: "removing"}, w.ours(t))
	immutable("-i")
	require.Eventually(t, func() bool { return len(w.ours(t)) == 0 }, patience, pollEvery)
}

func TestStandbyIsFrozenAndThaws(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.apply(function(0, func(f *hearth.Function) { f.Secrets = []string{"one"} }))
	frozen := func() bool { // alone: those of before are gone
		states := slices.Collect(maps.Values(w.ours(t)))
		return len(states) == 1 && states[0] == "paused"
	}
	for range 2 {
		require.Eventually(t, frozen, patience, pollEvery)
		require.Empty(t, w.replicas("probe"), "nobody is told of what sleeps")
		w.apply(function(3, func(f *hearth.Function) { f.Secrets = []string{"one"} }))
		first := w.replicas("probe")[0]
		require.True(t, first.Accepting, "its socket takes connections while it thaws")
		require.Equal(t, w.Secrets["one"], w.ask(first, "secret=one"))
		w.await("probe", ready(3))
		w.apply(function(0, func(f *hearth.Function) { f.Secrets = []string{"one"} }))
	}
	require.Eventually(t, frozen, patience, pollEvery)
}

func TestImageThatWillNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	w := watch(t, func(c *docker.Config) { c.ReadyWithin = 300 * time.Millisecond })
	images, err := docker.OpenImages(t.Context())
	require.NoError(t, err)
	defer func() { _ = images.Close() }()
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("this is no program"), 0o700))
	require.NoError(t, images.Put(t.Context(), "test/text:latest", text))
	for name, test := range map[string]struct {
		change func(*hearth.Function)
		want   string
	}{
		"starts":  {func(f *hearth.Function) { f.Image = "test/text:latest" }, "exec format error"},
		"listens": {func(f *hearth.Function) { f.EnvVars["port"] = "9999" }, "nothing answers on port 8080"},
		"ready": {func(f *hearth.Function) {
			f.Annotations = &map[string]string{"com.openfaas.ready.http.path": "/?status=503"}
		}, "its ready check is answered with 503"},
		"asleep": {func(f *hearth.Function) {
			f.Replicas, f.EnvVars["FAIL_START"] = 0, "no flour"
		}, "no flour"},
	} {
		w.apply(function(1, func(f *hearth.Function) { f.Service = name }, test.change))
		w.await(name, func(list []hearth.Replica) bool {
			return failing(list) && strings.Contains(list[0].Failing, test.want)
		})
	}
	w.apply(function(1, func(f *hearth.Function) { f.Service, f.Revision = "listens", "r2" }))
	w.await("listens", ready(1))
}

// TestInvalidSpecsAreRefused: such a deployment is answered with 400 and the reason,
// whatever the pull policy.
func TestInvalidSpecsAreRefused(t *testing.T) {
	t.Parallel()
	for _, policy := range []docker.PullPolicy{docker.PullNever, docker.PullIfNotPresent, docker.PullAlways} {
		w := watch(t, func(c *docker.Config) { c.Pull = policy })
		for _, ref := range []string{"Upper/Case:1", "two words", "a:b:c", "http://registry/image",
			"image@sha256:short", "-x", ""} {
			f := function(1)
			f.Image = ref // the parser refuses some of them already
			err := w.Provider.Apply(t.Context(), f)
			require.Equal(t, hearth.Invalid, hearth.CodeOf(err), "%s: %q: %v", policy, ref, err)
			require.ErrorContains(t, err, "is not an image reference")
		}
		require.Empty(t, w.replicas("probe"))
	}
	w := watch(t)
	w.apply(function(1, func(f *hearth.Function) { f.Limits = &types.FunctionResources{CPU: "1000"} }))
	w.await("probe", ready(1)) // more CPUs than there are is no limit
}

// TestImageDrainsAsStockPlatformsExpect runs a function's image as faasd does, which sets nothing: after
// SIGTERM an idle one does not wait for its write_timeout, and a call in flight gets its answer.
func TestImageDrainsAsStockPlatformsExpect(t *testing.T) {
	t.Parallel()
	api := engine(t)
	giveImage(t)
	network, err := api.NetworkCreate(t.Context(), "hearth-stock-"+strings.ToLower(rand.Text()[:8]),
		client.NetworkCreateOptions{Driver: "bridge"})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = api.NetworkRemove(context.Background(), network.ID, client.NetworkRemoveOptions{})
	})
	start := func() (id, url string) {
		made, err := api.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Config: &container.Config{Image: probeImage,
				Env: []string{"exec_timeout=60s", "read_timeout=60s", "write_timeout=60s", "max_inflight=1"}},
			HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(network.ID),
				Tmpfs: map[string]string{"/tmp": ""}}})
		require.NoError(t, err)
		t.Cleanup(func() {
			_, _ = api.ContainerRemove(context.Background(), made.ID,
				client.ContainerRemoveOptions{Force: true})
		})
		_, err = api.ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
		require.NoError(t, err)
		c, err := api.ContainerInspect(t.Context(), made.ID, client.ContainerInspectOptions{})
		require.NoError(t, err)
		for _, n := range c.Container.NetworkSettings.Networks {
			url = "http://" + n.IPAddress.String() + ":8080/"
		}
		require.Eventually(t, func() bool { return get(url) == http.StatusOK }, patience, pollEvery)
		return made.ID, url
	}
	end := func(id string, told func()) (took time.Duration, code int) {
		_, err := api.ContainerKill(t.Context(), id, client.ContainerKillOptions{Signal: "TERM"})
		require.NoError(t, err)
		told()
		began := time.Now()
		select {
		case gone := <-api.ContainerWait(t.Context(), id, client.ContainerWaitOptions{}).Result:
			return time.Since(began), int(gone.StatusCode)
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
		return 0, 0
	}
	idle, _ := start()
	took, code := end(idle, func() {})
	require.Less(t, took, 30*time.Second, "it does not wait for its write_timeout of 60 s")
	require.Zero(t, code)

	busy, url := start()
	open := providertest.OpenCall(t.Context(), hearth.Replica{Address: url})
	require.Eventually(t, func() bool {
		return get(url+"_/ready") == http.StatusTooManyRequests
	}, patience, pollEvery, "the call is there")
	_, code = end(busy, open.End)
	require.Zero(t, code)
	open.RequireAnswered(t)
}

func get(url string) (status int) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get(url)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestOtherContainersAreNotTouched(t *testing.T) {
	t.Parallel()
	other := watch(t)
	other.apply(function(1))
	before := other.await("probe", ready(1))
	w := watch(t)
	w.apply(function(1))
	w.await("probe", ready(1))
	<-w.Provider.Remove(hearth.Name{Function: "probe", Namespace: "openfaas-fn"})
	require.NoError(t, w.Provider.Close(t.Context()))
	require.Equal(t, before, other.replicas("probe"))
	require.Empty(t, other.ask(before[0], ""))
}

// TestTwoInstancesShareANetwork: the one that made it takes it away when it
// ends, if nobody is on it just then.
func TestTwoInstancesShareANetwork(t *testing.T) {
	t.Parallel()
	maker := watch(t)
	other := watch(t, func(c *docker.Config) { c.Network, c.Asleep = maker.cfg.Network, docker.Nothing })
	maker.apply(function(1))
	maker.await("probe", ready(1))
	require.NoError(t, maker.Provider.Close(t.Context()))
	other.apply(function(1))
	require.Empty(t, other.ask(other.await("probe", ready(1))[0], ""))
}

// TestEngineRestart is not parallel: all others would lose their containers.
func TestEngineRestart(t *testing.T) {
	w := watch(t)
	w.apply(function(2))
	w.apply(function(0, func(f *hearth.Function) { f.Service = "sleeper" }))
	w.await("probe", ready(2))
	// An engine that is ended in the middle of making a container leaves a mount, and cannot remove that
	// container any more.
	require.Eventually(t, func() bool {
		return slices.Contains(slices.Collect(maps.Values(w.ours(t))), "paused")
	}, patience, pollEvery)
	pidOf := func() int {
		text, _ := os.ReadFile(os.Getenv("HEARTH_TEST_ENGINE"))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return pid
	}
	pid := pidOf()
	require.NotZero(t, pid)
	before := w.replicas("probe")
	require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
	require.Eventually(t, func() bool {
		_, err := w.api.Ping(t.Context(), client.PingOptions{})
		return err == nil && pidOf() != pid && pidOf() != 0
	}, patience, pollEvery)
	w.await("probe", func(list []hearth.Replica) bool {
		running := w.ours(t)
		return ready(2)(list) && list[0].ID != before[0].ID && list[1].ID != before[1].ID &&
			running["/hearth-"+list[0].ID] == "running" && running["/hearth-"+list[1].ID] == "running"
	})
	require.Len(t, w.replicas("probe"), 2)
	for _, r := range w.replicas("probe") {
		require.Empty(t, w.ask(r, ""))
	}
	w.apply(function(1, func(f *hearth.Function) { f.Service = "sleeper" }))
	require.Empty(t, w.ask(w.await("sleeper", ready(1))[0], ""))
	require.Eventually(t, func() bool {
		return len(w.ours(t)) == 3
	}, patience, pollEvery, "no container is left of before")
}
