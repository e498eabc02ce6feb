package process

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hearthfaas/hearth/internal/cgroup"
	"github.com/hearthfaas/hearth/internal/child"
	"github.com/hearthfaas/hearth/internal/crash"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/replicaset"
	"github.com/hearthfaas/hearth/internal/secrets"
)

// maxSocketPath is the size of sun_path on Linux and macOS, less the names below the directory.
const maxSocketPath = 104 - 16

// Config has the directories and the hooks of a Provider.
type Config struct {
	// State is the state directory; it also marks the processes. The caller holds its lock.
	State   string
	Images  Images
	Secrets secrets.Files
	Logs    *logs.Dir // output of functions; the provider closes it
	// Environment changes the environment of a function before it starts. Defaults to no change.
	Environment func(f hearth.Function, env map[string]string)
	Log         *slog.Logger

	// RolloutWithin is how long the replicas of a spec that replaces another may take to get ready. Defaults
	// to 1 minute.
	RolloutWithin time.Duration
}

// Provider runs functions as processes. It implements hearth.Provider.
type Provider struct {
	*replicaset.Manager[Image]
	cfg  Config
	run  string       // for sockets and temporary files
	next atomic.Int64 // numbers sockets

	groups    *cgroup.Root // nil if processes cannot be limited
	unlimited string       // the reason
}

var _ hearth.Provider = (*Provider)(nil)

// New makes a provider, and ends the processes that an earlier run left behind.
func New(cfg Config) (*Provider, error) {
	if n := child.Sweep(cfg.State); n > 0 {
		cfg.Log.Info("ended processes of an earlier run", "count", n)
	}
	cfg.Images.Prune()
	p := &Provider{
		cfg:       cfg,
		run:       filepath.Join(cfg.State, "run"),
		unlimited: "this machine lacks a control group controller",
	}
	sum := sha256.Sum256([]byte(cfg.State))
	groups, err := cgroup.Open("hearth-" + hex.EncodeToString(sum[:6]))
	if err != nil {
		p.unlimited = "functions run as processes, and no control groups can be created for them: " +
			err.Error()
		cfg.Log.Info("limits of functions are not enforced", "reason", err)
	}
	p.groups = groups
	p.Manager = replicaset.New(replicaset.Config[Image]{
		Start:         p.start,
		RolloutWithin: cmp.Or(cfg.RolloutWithin, time.Minute),
		Gone:          func(n hearth.Name) { cfg.Logs.Close(n.String()) },
		Log:           cfg.Log,
	})
	if err := os.RemoveAll(p.run); err != nil {
		return nil, fmt.Errorf("clear %s: %w", p.run, err)
	}
	if err := os.MkdirAll(p.run, 0o700); err != nil {
		return nil, err
	}
	if len(p.run) > maxSocketPath { // a socket's path must be short
		short, err := os.MkdirTemp("", "hearth-")
		if err != nil {
			return nil, err
		}
		p.run = short
	}
	return p, nil
}

// Info implements hearth.Provider.
func (p *Provider) Info() (provider, orchestration string) { return "hearth", "process" }

// Capabilities implements hearth.Provider.
func (p *Provider) Capabilities() hearth.Capabilities {
	c := hearth.Capabilities{Runs: "processes", Unlimited: p.unlimited, Cores: runtime.NumCPU(),
		Overrides: map[string]string{"TMPDIR": "", "secret_mount_path": "", "LISTEN_FDS": "",
			child.Marker: ""}}
	if p.groups != nil {
		c.Requests = p.groups.Memory() && p.groups.CPU()
		if p.groups.Memory() {
			c.Memory = p.groups.Kind()
		}
		if p.groups.CPU() {
			c.CPU = p.groups.Kind()
		}
	}
	return c
}

// Apply implements hearth.Provider.
func (p *Provider) Apply(_ context.Context, f hearth.Function) error {
	spec, image, ok := p.Get(f.Name())
	if !ok || !spec.DeployedAt.Equal(f.DeployedAt) {
		var err error
		if image, err = p.cfg.Images.Find(f.Image); err != nil {
			return err
		}
	}
	if err := p.cfg.Secrets.Require(f); err != nil {
		return err
	}
	f.Revision += "-" + image.Digest
	return p.Manager.Apply(f, image)
}

// start starts a replica. A process cannot be frozen.
func (p *Provider) start(f hearth.Function, image Image, number int, _ bool,
	changed func()) (replicaset.Replica, error) {
	name, files := f.Name().String(), filepath.Join(p.run, fmt.Sprint(p.next.Add(1)))
	r := &replica{
		id:       fmt.Sprintf("%s-%d", f.Service, number),
		revision: f.Revision,
		spec:     f,
		binary:   image.Path,
		socket:   files + ".sock",
		tmp: files +
			".tmp",
		log:       p.cfg.Logs.File(name),
		slog:      p.cfg.Log.With("function", name),
		accepting: true,
		done:      make(chan struct{}),
		changed:   changed,
		calls:     &hearth.Calls{},
		said:      crash.NewReader(f.Service, crash.Module(image.Path)),
	}
	listener, first, err := listen(r.socket)
	if err != nil {
		return nil, fmt.Errorf("start a replica of %s: %w", name, err)
	}
	granted := files + ".secrets"
	if err := p.grant(f, granted); err != nil {
		_ = listener.Close()
		_ = first.Close()
		_ = os.RemoveAll(granted)
		return nil, err
	}
	r.env = p.environment(f, r.tmp, granted)
	limit, request := f.Limit, f.Request
	if limits := (cgroup.Limits{
		Memory:        limit.Memory,
		MilliCPU:      limit.MilliCPU,
		MemoryRequest: request.Memory,
		CPURequest:    request.MilliCPU,
	}); p.groups != nil && limits != (cgroup.Limits{}) {
		r.group = func() (*cgroup.Group, error) { return p.groups.New(filepath.Base(files), limits) }
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() {
		defer close(r.done)
		r.run(ctx, listener, first)
		_ = os.RemoveAll(granted)
	}()
	return r, nil
}

// grant makes a replica's directory, with the secrets that it may read.
func (p *Provider) grant(f hearth.Function, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range f.Secrets {
		path, err := p.cfg.Secrets.Find(f.Namespace, name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, name))
		}
		if err != nil {
			return fmt.Errorf("give %s the secret %s: %w", f.Name(), name, err)
		}
	}
	return nil
}

// environment returns the environment of a process: little of ours, and what every provider gives a function.
// The time zone is UTC, as in containers.
func (p *Provider) environment(f hearth.Function, tmp, secrets string) []string {
	set := map[string]string{"HOME": tmp, "TZ": "UTC"}
	for _, name := range []string{"PATH", "LANG"} {
		if value, ok := os.LookupEnv(name); ok {
			set[name] = value
		}
	}
	given := f.Environment()
	if p.cfg.Environment != nil {
		p.cfg.Environment(f, given)
	}
	maps.Copy(set, given)
	maps.Copy(set, map[string]string{"TMPDIR": tmp, "secret_mount_path": secrets, child.Marker: p.cfg.State,
		"LISTEN_FDS": "1"})
	env := make([]string, 0, len(set))
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	return env
}

// Close implements hearth.Provider.
func (p *Provider) Close(ctx context.Context) error {
	p.Manager.Close(ctx)
	p.cfg.Logs.CloseAll()
	if p.groups != nil {
		p.groups.Close()
	}
	return os.RemoveAll(p.run)
}
