package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/internal/dispatch"
	"github.com/hearthfaas/hearth/internal/redisserver"
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/openfaas/faas-provider/types"
	"github.com/openfaas/go-sdk/stack"
	"github.com/redis/go-redis/v9"
)

const (
	execTimeout = 2 * time.Second // of all functions
	lease       = dispatch.DefaultLease
	reconnect   = 5 * time.Second // how long a broken connection may explain a refusal
)

// A world is the target of the faults: Redis, the links to it, instances and functions.
type world struct {
	cfg   config
	b     *book
	built string // directory that build has filled
	dir   string // for everything else

	redis     *server
	redisPort int
	rdb       *redis.Client // directly, and a command is sent once
	proxy     *server
	toHearth  link // hearth's connections to Redis
	toFuncs   link // the functions'
	renewing  sync.Mutex
	hearths   []*node
	manager   string
	deployed  map[string]types.FunctionDeployment
	takeovers sync.WaitGroup // that are watched
}

// A node is one instance.
type node struct {
	*server
	state string
	url   string
}

func (w *world) funcDir() string { return filepath.Join(w.dir, "probe-says") }

// build builds the binaries and images in dir/project and dir/images, once for several runs.
func build(dir string, race bool) error {
	project := filepath.Join(dir, "project")
	if err := os.MkdirAll(project, 0o700); err != nil {
		return err
	}
	if err := harness.Build(project); err != nil {
		return err
	}
	here := filepath.Join(harness.Root(), "test", "chaos")
	for from, to := range map[string]string{"probe": "probe", "stack.yml": "chaos.yml"} {
		if err := harness.Copy(filepath.Join(here, from), filepath.Join(project, to)); err != nil {
			return err
		}
	}
	for _, file := range []string{"stack.yml", "chaos.yml"} {
		if err := harness.Images(project, file, dir); err != nil {
			return err
		}
	}
	goBuild := func(in, cgo string, args ...string) error {
		cmd := exec.Command("go", append([]string{"build", "-trimpath",
			"-gcflags=all=-dwarf=false"}, args...)...)
		cmd.Dir, cmd.Env = filepath.Join(harness.Root(), in), append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
		}
		return nil
	}
	if race {
		if err := goBuild(".", "1", "-race", "-o", filepath.Join(project, "bin", "hearth"),
			"./cmd/hearth"); err != nil {
			return err
		}
	}
	// Toxiproxy is bench's: nothing of it reaches the product's go.mod.
	return goBuild("bench", "0", "-o", filepath.Join(project, "bin", "toxiproxy-server"),
		"github.com/Shopify/toxiproxy/v2/cmd/server")
}

func (w *world) bin(name string) string { return filepath.Join(w.built, "project", "bin", name) }

// start starts everything and deploys.
func (w *world) start(ctx context.Context) error {
	ports, err := freePorts(4 + w.cfg.Hearths)
	if err != nil {
		return err
	}
	data := filepath.Join(w.dir, "redis")
	for _, dir := range []string{data, w.funcDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	w.redisPort = ports[0]
	w.redis = &server{name: "redis", command: func() *exec.Cmd {
		w.repair(data)
		return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(w.redisPort),
			"--dir", data, "--save", "", "--appendonly", "yes",
			"--appendfsync", "always", "--maxmemory-policy", "noeviction", "--set-proc-title", "no")
	}}
	w.redis.keep()
	redis.SetLogger(silent{})
	w.rdb = redis.NewClient(&redis.Options{Addr: local(w.redisPort), MaxRetries: -1,
		ContextTimeoutEnabled: true})
	if err := eventually(ctx, 20*time.Second, "Redis answers",
		func(ctx context.Context) error { return w.rdb.Ping(ctx).Err() }); err != nil {
		return errors.Join(err, errors.New(w.redis.output()))
	}

	api := "http://" + local(ports[1])
	w.proxy = &server{name: "toxiproxy", command: func() *exec.Cmd {
		cmd := exec.Command(w.bin("toxiproxy-server"), "-host", "127.0.0.1", "-port", strconv.Itoa(ports[1]),
			"-seed", fmt.Sprint(w.cfg.Seed>>1))
		cmd.Env = append(os.Environ(), "CHAOS="+w.dir)
		return cmd
	}}
	w.proxy.keep()
	w.toHearth, w.toFuncs = link{api, "hearth", ports[2], w.renewLinks}, link{api, "functions",
		ports[3], w.renewLinks}
	if err := w.openLinks(ctx); err != nil {
		return errors.Join(err, errors.New(w.proxy.output()))
	}

	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	for i := range w.cfg.Hearths {
		n := &node{state: filepath.Join(w.dir, fmt.Sprint("hearth", i+1)), url: "http://" + local(ports[4+i])}
		if err := os.CopyFS(filepath.Join(n.state, "images"),
			os.DirFS(filepath.Join(w.built, "images"))); err != nil {
			return err
		}
		// the same for all
		if err := os.WriteFile(filepath.Join(n.state, "secret-key"),
			[]byte(base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
			return err
		}
		n.server = &server{name: filepath.Base(n.state), command: func() *exec.Cmd {
			cmd := exec.Command(w.bin("hearth"), "serve", "--state", n.state, "--listen", local(ports[4+i]),
				"--redis", "redis://"+local(w.toHearth.port), "--callback-allow", "127.0.0.1")
			cmd.Env = append(harness.Without(os.Environ(), "REDIS_URL"), "GORACE=halt_on_error=0")
			return cmd
		}}
		n.keep()
		w.hearths = append(w.hearths, n)
	}
	for _, n := range w.hearths {
		if err := eventually(ctx, 20*time.Second, n.name+" serves",
			func(ctx context.Context) error {
				return w.system(ctx, n, http.MethodGet, "/system/info", nil,
					nil)
			}); err != nil {
			return errors.Join(err, errors.New(n.output()))
		}
	}
	return w.deploy(ctx)
}

// repair does what a Redis of your own needs before it starts; see docs/how-to/own-redis.md.
func (w *world) repair(data string) {
	cut, err := redisserver.Repair(data)
	if err != nil {
		w.b.fault("cannot repair the append-only file: %v", err)
	}
	if cut > 0 {
		w.b.note("Redis died during a write; its file was repaired")
	}
}

// openLinks creates the links in a new toxiproxy-server.
func (w *world) openLinks(ctx context.Context) error {
	for _, l := range []link{w.toHearth, w.toFuncs} {
		if err := eventually(ctx, 20*time.Second, "toxiproxy opens "+l.name,
			func(ctx context.Context) error { return l.open(ctx, w.redisPort) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) renewLinks(ctx context.Context) error {
	w.renewing.Lock()
	defer w.renewing.Unlock()
	w.proxy.end(syscall.SIGKILL, 0)
	return w.openLinks(ctx)
}

// deploy deploys the bakery, with bakes that take no time, and the probes.
func (w *world) deploy(ctx context.Context) error {
	w.manager = "the manager of chaos"
	w.deployed = map[string]types.FunctionDeployment{}
	if err := w.system(ctx, w.hearths[0], http.MethodPost, "/system/secrets",
		types.Secret{Name: "manager-key", Value: w.manager, Namespace: "openfaas-fn"}, nil); err != nil {
		return err
	}
	for _, file := range []string{"stack.yml", "chaos.yml"} {
		services, err := stack.ParseYAMLFile(filepath.Join(w.built, "project", file), "", "", true)
		if err != nil {
			return err
		}
		for name, f := range services.Functions {
			env := maps.Clone(f.Environment)
			if env == nil {
				env = map[string]string{}
			}
			maps.Copy(env, map[string]string{"REDIS_URL": "redis://" + local(w.toFuncs.port),
				"BAKE_SPEED": "100000", "CHAOS_DIR": w.funcDir(),
				"exec_timeout": execTimeout.String(), "read_timeout": execTimeout.String(),
				"write_timeout": execTimeout.String()})
			d := types.FunctionDeployment{
				Service:     name,
				Image:       f.Image,
				EnvVars:     env,
				Secrets:     f.Secrets,
				Labels:      f.Labels,
				Annotations: f.Annotations,
			}
			if err := w.system(ctx, w.hearths[0], http.MethodPost, "/system/functions", d, nil); err != nil {
				return err
			}
			w.deployed[name] = d
		}
	}
	return eventually(ctx, 20*time.Second, "all functions are ready", func(ctx context.Context) error {
		var list []types.FunctionStatus
		if err := w.system(ctx, w.hearths[0], http.MethodGet, "/system/functions", nil, &list); err != nil {
			return err
		}
		for _, f := range list {
			if f.AvailableReplicas == 0 {
				return errors.New(f.Name + " is not")
			}
		}
		return nil
	})
}

// system calls the management API of an instance.
func (w *world) system(ctx context.Context, n *node, method, path string, in, out any) error {
	password, err := os.ReadFile(filepath.Join(n.state, "basic-auth-password"))
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, n.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("admin", strings.TrimSpace(string(password)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, bytes.TrimSpace(text))
	}
	if out != nil {
		return json.Unmarshal(text, out)
	}
	return nil
}

// command runs hearth or bakery against an instance and reads its JSON into out.
func (w *world) command(ctx context.Context, n *node, out any, binary string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.bin(binary), append(args, "--json")...)
	key := filepath.Join(n.state, "secrets", "openfaas-fn", "manager-key")
	cmd.Env = append(os.Environ(), "OPENFAAS_URL="+n.url, "MANAGER_KEY_FILE="+key)
	cmd.Dir = w.dir
	if binary == "hearth" {
		cmd.Args = append(cmd.Args, "--state", n.state)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if out != nil && len(text) > 0 {
		if e := json.Unmarshal(text, out); e != nil {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", binary, strings.Join(args, " "), err,
			bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// stop stops everything. Its error names what did not stop.
func (w *world) stop() []string {
	for _, n := range w.hearths {
		n.stop()
	}
	for _, s := range []*server{w.proxy, w.redis} {
		if s != nil {
			s.stop()
		}
	}
	if w.rdb != nil {
		_ = w.rdb.Close()
	}
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * ms) {
		if left = harness.ProcessesOf(w.dir); len(left) == 0 {
			break
		}
	}
	return left
}

// silent discards go-redis's messages about failed dials.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds ports below those of outgoing connections, so that they stay free during a restart.
func freePorts(n int) ([]int, error) {
	var ports []int
	for port := 20000 + os.Getpid()%10000; len(ports) < n && port < 32000; port++ {
		l, err := net.Listen("tcp", local(port))
		if err != nil {
			continue
		}
		_ = l.Close()
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, errors.New("there are not enough free ports between 20000 and 32000")
	}
	return ports, nil
}

// eventually waits until a check succeeds.
func eventually(ctx context.Context, patience time.Duration, what string,
	is func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := is(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("it never came that %s: %w", what, err)
		}
		wait(ctx, 20*ms)
	}
}
