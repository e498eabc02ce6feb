package docker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hearthfaas/hearth/internal/crash"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/replicaset"
	"github.com/hearthfaas/hearth/internal/secrets"
	"github.com/moby/moby/client"
)

// Config says how a Provider runs containers.
type Config struct {
	// Instance is the name of this instance, which its containers have as a label.
	Instance string
	Secrets  secrets.Files
	// Environment changes the environment of a function before it starts. Defaults to no change.
	Environment func(f hearth.Function, env map[string]string)
	Logs        *logs.Dir // output of functions; the provider closes it
	Log         *slog.Logger

	// Network is the network of the containers. It is created if it does not exist. Defaults to "hearth".
	Network string
	// Publish gives each container a port of this machine's loopback, for engines whose networks cannot be
	// reached from here, such as those in a virtual machine.
	Publish bool
	// Pull says when an image is pulled from its registry. Defaults to PullIfNotPresent.
	Pull PullPolicy
	// PullWait is how long a deployment waits for its image. Then it is accepted, and the pull goes on.
	// faas-cli gives up after 60 s. Defaults to 45 s.
	PullWait time.Duration
	// Asleep says which standby replica a function at zero has. Defaults to Frozen.
	Asleep Asleep
	// ReadyWithin is how long a container may take to get ready before its replica is failing. Defaults to
	// 1 minute.
	ReadyWithin time.Duration
}

// Asleep is a kind of standby replica.
type Asleep string

// The kinds of standby replicas.
const (
	Frozen   Asleep = "frozen"   // a paused container: it thaws in milliseconds and keeps its memory
	Prepared Asleep = "prepared" // a created container that is not started: it takes no memory
	Nothing  Asleep = "nothing"  // none: the first call creates a container
)

// Validate returns an error of code Invalid for an unknown name.
func (c Config) Validate() error {
	switch c.Asleep {
	case "", Frozen, Prepared, Nothing:
	default:
		return hearth.Errorf(hearth.Invalid, "the standby replica is %q, want frozen, prepared or nothing",
			c.Asleep)
	}
	switch c.Pull {
	case "", PullAlways, PullIfNotPresent, PullNever:
	default:
		return hearth.Errorf(hearth.Invalid, "the pull policy is %q, want always, if-not-present or never",
			c.Pull)
	}
	return nil
}

// A Provider runs functions as containers. It implements hearth.Provider.
type Provider struct {
	*replicaset.Manager[Image]
	cfg    Config
	api    *client.Client
	images *Images
	events *events
	began  time.Time
	cpus   int // cores of the engine's machine; 0 if unknown

	stopReaping func() // returns when the reaping has ended

	networkMu sync.Mutex // held while the network is created
	network   string     // its id, if we created it

	mu    sync.Mutex
	found map[hearth.Name][]found // containers of an earlier run that no function has claimed yet
	left  map[string]bool         // containers that could not be removed
	alive map[*replica]bool
}

var (
	_ hearth.Provider       = (*Provider)(nil)
	_ hearth.Settler        = (*Provider)(nil)
	_ hearth.SecretReceiver = (*Provider)(nil)
)

// New connects to the engine that the environment names (DOCKER_HOST, as for docker), and finds the
// containers of an earlier run. Apply adopts those that it can use; Settle removes the others.
func New(ctx context.Context, cfg Config) (*Provider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Network, cfg.Pull, cfg.Asleep = cmp.Or(cfg.Network, "hearth"), cmp.Or(cfg.Pull, PullIfNotPresent),
		cmp.Or(cfg.Asleep, Frozen)
	cfg.PullWait, cfg.ReadyWithin = cmp.Or(cfg.PullWait, 45*time.Second), cmp.Or(cfg.ReadyWithin, time.Minute)
	api, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	p := &Provider{
		cfg:   cfg,
		api:   api,
		began: time.Now().UTC(),
		left:  map[string]bool{},
		alive: map[*replica]bool{},
	}
	info, err := api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask the Docker engine about itself: %w", err), api.Close())
	}
	p.cpus = info.Info.NCPU
	p.images = &Images{api: api, policy: cfg.Pull, log: cfg.Log}
	p.Manager = replicaset.New(replicaset.Config[Image]{
		Start:   p.start,
		Standby: cfg.Asleep != Nothing,
		Gone:    func(n hearth.Name) { cfg.Logs.Close(n.String()) },
		Log:     cfg.Log,
	})
	if err := p.ensureNetwork(ctx); err != nil {
		return nil, errors.Join(err, api.Close())
	}
	if p.found, err = p.find(ctx); err != nil {
		return nil, errors.Join(err, api.Close())
	}
	p.events = newEvents(api, label("instance", cfg.Instance), p.sweep, cfg.Log)
	p.reap()
	return p, nil
}

// connect returns a client of the engine. It checks that the engine answers.
func connect(ctx context.Context) (*client.Client, error) {
	api, err := client.New(client.FromEnv, client.WithHTTPRequestHook(ownConnection))
	if err != nil {
		return nil, hearth.Errorf(hearth.Invalid, "the Docker engine's address cannot be used: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		_ = api.Close()
		return nil, hearth.Errorf(hearth.Unavailable,
			"the Docker engine at %s does not answer: is it running, and may this user use it (group "+
				"docker)? %w", api.DaemonHost(), err)
	}
	return api, nil
}

// ownConnection gives each request a connection of its own. An engine that stops closes its listener first,
// then ends its containers, and serves open connections until the end. A container that is started over one
// of these is killed while it is created, and its mount is never removed.
func ownConnection(r *http.Request) error {
	r.Close = true
	return nil
}

// Info implements hearth.Provider.
func (p *Provider) Info() (provider, orchestration string) { return "hearth", "docker" }

// Capabilities implements hearth.Provider.
func (p *Provider) Capabilities() hearth.Capabilities {
	return hearth.Capabilities{
		Runs:         "containers",
		Memory:       "the container engine",
		CPU:          "the container engine",
		Requests:     true,
		Command:      true,
		ReadOnlyRoot: true,
		Cores:        p.cpus,
		Overrides:    map[string]string{"secret_mount_path": secretsDir},
	}
}

// Apply implements hearth.Provider.
func (p *Provider) Apply(ctx context.Context, f hearth.Function) error {
	if err := p.cfg.Secrets.Require(f); err != nil {
		return err
	}
	spec, image, ok := p.Get(f.Name())
	if !ok || !spec.DeployedAt.Equal(f.DeployedAt) {
		var err error
		if image, err = p.resolve(ctx, f); err != nil {
			return err
		}
	}
	f.Revision += "-" + image.tag()
	return p.Manager.Apply(f, image, p.adopt(f, image)...)
}

// resolve finds a function's image. It does not wait for a long pull.
func (p *Provider) resolve(ctx context.Context, f hearth.Function) (Image, error) {
	// Else it was deployed before a restart, and the image that we have is right.
	fresh := f.DeployedAt.After(p.began)
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.PullWait, errTooLong)
	defer cancel()
	image, err := p.images.find(ctx, f.Image, fresh)
	if errors.Is(err, errTooLong) {
		return Image{Ref: f.Image}, nil
	}
	return image, err
}

// start starts a replica.
func (p *Provider) start(f hearth.Function, image Image, number int, asleep bool,
	changed func()) (replicaset.Replica, error) {
	r := p.newReplica(f, image, number, asleep, changed)
	r.run(nil)
	return r, nil
}

func (p *Provider) newReplica(f hearth.Function, image Image, number int, asleep bool,
	changed func()) *replica {
	name := f.Name().String()
	r := &replica{
		p:       p,
		spec:    f,
		image:   image,
		number:  number,
		changed: changed,
		log:     p.cfg.Logs.File(name),
		slog:    p.cfg.Log.With("function", name),
		woken:   make(chan struct{}),
		done:    make(chan struct{}),
		calls:   &hearth.Calls{},
		said:    crash.NewReader(f.Service, ""),
	}
	r.id = r.newID()
	if !asleep {
		close(r.woken)
	}
	p.mu.Lock()
	p.alive[r] = true
	p.mu.Unlock()
	return r
}

// newID names a container, and so the replica: each container is another replica for the router.
func (r *replica) newID() string {
	return fmt.Sprintf("%s-%d-%s", r.spec.Service, r.number, strings.ToLower(rand.Text()[:5]))
}

// Close implements hearth.Provider.
func (p *Provider) Close(ctx context.Context) error {
	p.Manager.Close(ctx)
	p.events.close()
	p.stopReaping()
	p.sweep(context.WithoutCancel(ctx))
	p.cfg.Logs.CloseAll()
	p.Settle(context.WithoutCancel(ctx))
	if p.network != "" {
		// It stays if others use it.
		if _, e := p.api.NetworkRemove(context.WithoutCancel(ctx), p.network,
			client.NetworkRemoveOptions{}); e != nil && !errdefs.IsNotFound(e) {
			p.cfg.Log.Info("left the network to others", "network", p.cfg.Network, "reason", e)
		}
	}
	return p.api.Close()
}

// ensureNetwork creates the network if it does not exist.
func (p *Provider) ensureNetwork(ctx context.Context) error {
	p.networkMu.Lock()
	defer p.networkMu.Unlock()
	found, err := p.api.NetworkInspect(ctx, p.cfg.Network, client.NetworkInspectOptions{})
	if err == nil {
		if found.Network.Labels[labelInstance] == p.cfg.Instance {
			p.network = found.Network.ID
		}
		return nil
	}
	if !errdefs.IsNotFound(err) {
		return fmt.Errorf("find network %s: %w", p.cfg.Network, err)
	}
	made, err := p.api.NetworkCreate(ctx, p.cfg.Network,
		client.NetworkCreateOptions{Driver: "bridge",
			Labels: map[string]string{labelInstance: p.cfg.Instance}})
	if err != nil {
		return fmt.Errorf("create network %s: %w", p.cfg.Network, err)
	}
	p.network = made.ID
	return nil
}
