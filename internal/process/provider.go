package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hearthfaas/hearth/internal/child"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/secrets"
)

// drainPause is how long a replica goes on to take calls after SIGTERM: for those that were sent to it just before the
// router heard. It is the watchdog's healthcheck_interval, whose own default is made for clusters.
const drainPause = "200ms"

// maxSocketPath is what sun_path holds on Linux and macOS, less the names below the directory.
const maxSocketPath = 104 - 16

// Config says where the provider keeps its things.
type Config struct {
	// State is the state directory; it also marks the processes. The caller holds its lock.
	State   string
	Images  Images
	Secrets secrets.Store
	Log     *slog.Logger
}

// Provider runs functions as processes. It implements hearth.Provider.
type Provider struct {
	cfg Config
	run string // for sockets and temporary files

	mu        sync.Mutex
	functions map[hearth.Name]*function
	alive     map[*replica]bool // also those that are ending
	watch     func(hearth.Name, []hearth.Replica)
	next      int // numbers sockets
	closed    bool
	ending    sync.WaitGroup
}

// function is a function that the provider runs.
type function struct {
	spec     hearth.Function
	image    Image
	replicas []*replica // those that are not told to end
	next     int        // numbers replicas
	log      *logFile
}

var _ hearth.Provider = (*Provider)(nil)

// New makes a provider, and ends what an earlier life of the state directory left behind.
func New(cfg Config) (*Provider, error) {
	if n := child.Sweep(cfg.State); n > 0 {
		cfg.Log.Info("ended processes that were left behind", "count", n)
	}
	cfg.Images.Prune()
	p := &Provider{cfg: cfg, run: filepath.Join(cfg.State, "run"), functions: map[hearth.Name]*function{}, alive: map[*replica]bool{}, watch: func(hearth.Name, []hearth.Replica) {}}
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

// Watch implements hearth.Provider.
func (p *Provider) Watch(f func(hearth.Name, []hearth.Replica)) { p.watch = f }

// Apply implements hearth.Provider.
func (p *Provider) Apply(_ context.Context, f hearth.Function) error {
	image, err := p.cfg.Images.Find(f.Image)
	if err != nil {
		return err
	}
	if missing := p.cfg.Secrets.Missing(f.Namespace, f.Secrets); len(missing) > 0 {
		return hearth.Errorf(hearth.Invalid, "function %s: there is no secret %s in the namespace %s: make it first (faas-cli secret create %s --namespace %s)",
			f.Service, strings.Join(missing, ", "), f.Namespace, missing[0], f.Namespace)
	}
	f.Revision += "-" + image.Digest
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return hearth.Errorf(hearth.Unavailable, "hearth is shutting down")
	}
	fn := p.functions[f.Name()]
	if fn == nil {
		fn = &function{log: &logFile{path: filepath.Join(p.cfg.State, "logs", f.Name().String()+".log")}}
		p.functions[f.Name()] = fn
	}
	was := *fn
	fn.spec, fn.image = f, image
	err = p.reconcile(fn)
	if err != nil {
		if was.spec.Service == "" { // it is new
			for _, r := range fn.replicas {
				p.end(r)
			}
			delete(p.functions, f.Name())
			return err
		}
		fn.spec, fn.image = was.spec, was.image
		if again := p.reconcile(fn); again != nil {
			p.cfg.Log.Error("could not start a replica", "function", f.Name().String(), "error", again)
		}
	}
	p.tell(fn)
	return err
}

// reconcile starts and ends replicas until there are as many as there should be. The old ones of a replaced revision end
// when all new ones are ready. p.mu is held.
func (p *Provider) reconcile(fn *function) error {
	var current, old []*replica
	for _, r := range fn.replicas {
		if r.revision == fn.spec.Revision {
			current = append(current, r)
		} else {
			old = append(old, r)
		}
	}
	for len(current) < fn.spec.Replicas {
		r, err := p.start(fn)
		if err != nil {
			fn.replicas = append(current, old...)
			return err
		}
		current = append(current, r)
	}
	for len(current) > fn.spec.Replicas {
		last := len(current) - 1
		p.end(current[last])
		current = current[:last]
	}
	ready := !slices.ContainsFunc(current, func(r *replica) bool { return !r.state().Ready })
	if ready {
		for _, r := range old {
			p.end(r)
		}
		old = nil
	}
	fn.replicas = append(current, old...)
	return nil
}

// start begins the life of a replica. p.mu is held.
func (p *Provider) start(fn *function) (*replica, error) {
	fn.next++
	p.next++
	name := fn.spec.Name()
	r := &replica{id: fmt.Sprintf("%s-%d", fn.spec.Service, fn.next), revision: fn.spec.Revision, spec: fn.spec, binary: fn.image.Path,
		socket: filepath.Join(p.run, fmt.Sprintf("%d.sock", p.next)), tmp: filepath.Join(p.run, fmt.Sprintf("%d.tmp", p.next)),
		log: fn.log, slog: p.cfg.Log.With("function", name.String()), accepting: true, done: make(chan struct{})}
	r.changed = func() { p.onChange(name) }
	listener, first, err := listen(r.socket)
	if err != nil {
		return nil, fmt.Errorf("start a replica of %s: %w", name, err)
	}
	granted := filepath.Join(p.run, fmt.Sprintf("%d.secrets", p.next))
	if err := p.grant(fn.spec, granted); err != nil {
		_ = listener.Close()
		_ = first.Close()
		_ = os.RemoveAll(granted)
		return nil, err
	}
	r.env = environment(fn.spec, map[string]string{"TMPDIR": r.tmp, "secret_mount_path": granted, child.Marker: p.cfg.State})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	p.alive[r] = true
	p.ending.Go(func() {
		r.run(ctx, listener, first)
		_ = os.RemoveAll(granted)
		p.mu.Lock()
		delete(p.alive, r)
		p.mu.Unlock()
	})
	return r, nil
}

// grant makes a replica's directory, with the secrets that it may read and no others.
func (p *Provider) grant(f hearth.Function, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range f.Secrets {
		if err := os.Symlink(p.cfg.Secrets.Path(f.Namespace, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("give %s the secret %s: %w", f.Name(), name, err)
		}
	}
	return nil
}

// environment is a process's: little of ours, what the spec says, and above it what Hearth needs.
func environment(f hearth.Function, ours map[string]string) []string {
	set := map[string]string{"PATH": os.Getenv("PATH"), "HOME": ours["TMPDIR"], "LANG": os.Getenv("LANG"), "TZ": os.Getenv("TZ"),
		"healthcheck_interval": drainPause, "OPENFAAS_NAME": f.Service, "OPENFAAS_NAMESPACE": f.Namespace}
	if limit := f.MemoryLimit(); limit > 0 {
		set["GOMEMLIMIT"] = fmt.Sprint(limit) // a hint to Go's collector: a process has no hard limit
	}
	for name, value := range f.EnvVars {
		set[name] = value
	}
	if f.EnvProcess != "" {
		set["fprocess"] = f.EnvProcess
	}
	for name, value := range ours {
		set[name] = value
	}
	set["LISTEN_FDS"] = "1"
	env := make([]string, 0, len(set))
	for name, value := range set {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// end begins the end of a replica.
func (p *Provider) end(r *replica) { r.stop() }

// onChange is told by a replica that its state is another.
func (p *Provider) onChange(n hearth.Name) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fn := p.functions[n]; fn != nil && !p.closed {
		if err := p.reconcile(fn); err != nil {
			p.cfg.Log.Error("could not start a replica", "function", n.String(), "error", err)
		}
		p.tell(fn)
	}
}

// tell tells the watcher what replicas there are. p.mu is held.
func (p *Provider) tell(fn *function) {
	states := make([]hearth.Replica, len(fn.replicas))
	for i, r := range fn.replicas {
		states[i] = r.state()
	}
	p.watch(fn.spec.Name(), states)
}

// Remove implements hearth.Provider.
func (p *Provider) Remove(ctx context.Context, n hearth.Name) error {
	p.mu.Lock()
	fn := p.functions[n]
	delete(p.functions, n)
	if fn == nil {
		p.mu.Unlock()
		return nil
	}
	fn.replicas = nil
	var ending []*replica // also those that were ending before
	for r := range p.alive {
		if r.spec.Name() == n {
			p.end(r)
			ending = append(ending, r)
		}
	}
	p.tell(fn)
	p.mu.Unlock()
	err := await(ctx, ending)
	fn.log.close()
	return err
}

// await waits until replicas are gone, and kills them when ctx ends.
func await(ctx context.Context, replicas []*replica) error {
	for _, r := range replicas {
		select {
		case <-r.done:
		case <-ctx.Done():
			for _, r := range replicas {
				r.kill()
			}
			<-r.done
		}
	}
	return nil
}

// Close implements hearth.Provider.
func (p *Provider) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	var all []*replica // also those that were ending before
	for r := range p.alive {
		p.end(r)
		all = append(all, r)
	}
	p.mu.Unlock()
	err := await(ctx, all)
	p.ending.Wait()
	for _, fn := range p.functions {
		fn.log.close()
	}
	return errors.Join(err, os.RemoveAll(p.run))
}
