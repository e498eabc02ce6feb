package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/moby/sys/user"
)

// Labels of our containers.
const (
	labelInstance = "com.hearth.instance" // the instance that owns the container
	labelFunction = "com.hearth.function" // name.namespace
	labelRevision = "com.hearth.revision"
	labelReplica  = "com.hearth.replica"
	labelImage    = "com.hearth.image" // as in the spec
)

// label returns a filter for the value of a label.
func label(name, value string) string { return "com.hearth." + name + "=" + value }

// Limits that a function does not choose.
const (
	// nobody is the user of a container whose image names root or no user. Distroless images use it too.
	nobody = "65532:65532"
	// maxProcesses limits the processes of a container, threads included.
	maxProcesses = 512
	// defaultMemory limits a function without a limit of its own, so that none can use up the machine.
	defaultMemory = 1 << 30
	secretsDir    = "/var/openfaas/secrets"
)

// port is the port of a function. See https://docs.openfaas.com/reference/workloads/.
var port = network.MustParsePort("8080/tcp")

// options returns the options of a function's container.
func (p *Provider) options(f hearth.Function, image Image, id string) client.ContainerCreateOptions {
	env := f.Environment()
	if p.cfg.Environment != nil {
		p.cfg.Environment(f, env)
	}
	env["secret_mount_path"] = secretsDir
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	processes := int64(maxProcesses)
	limit, request := f.Limit, f.Request
	if limit.Memory == 0 {
		limit.Memory = max(defaultMemory, request.Memory)
	}
	host := &container.HostConfig{
		NetworkMode:    container.NetworkMode(p.cfg.Network),
		ReadonlyRootfs: f.ReadOnlyRootFilesystem,
		// Its pages count as the container's memory.
		Tmpfs:       map[string]string{"/tmp": "rw,nosuid,nodev,mode=1777"},
		CapDrop:     []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges"},
		LogConfig: container.LogConfig{Type: "json-file",
			Config: map[string]string{"max-size": "8m", "max-file": "2"}},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Resources: container.Resources{
			// No swap: a function without memory ends, instead of getting slow.
			Memory: limit.Memory, MemorySwap: limit.Memory,
			MemoryReservation: min(request.Memory, limit.Memory),
			NanoCPUs:          limit.MilliCPU * 1e6, CPUShares: request.MilliCPU * 1024 / 1000,
			PidsLimit: &processes,
		},
	}
	if p.cpus > 0 { // Docker refuses a limit above the number of cores
		host.NanoCPUs = min(host.NanoCPUs, int64(p.cpus)*1e9)
	}
	if len(f.Secrets) > 0 { // an anonymous volume, which is removed with the container
		host.Mounts = []mount.Mount{{Type: mount.TypeVolume, Target: secretsDir}}
	}
	config := &container.Config{
		Image: image.ID, User: image.user(), Env: list, Hostname: id,
		ExposedPorts: network.PortSet{port: {}},
		// Hearth probes by itself. The check of an image would take processor time, also in a frozen
		// container.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		Labels: map[string]string{
			labelInstance: p.cfg.Instance,
			labelFunction: f.Name().String(),
			labelRevision: f.Revision,
			labelReplica:  id,
			labelImage:    f.Image,
		},
	}
	if p.cfg.Publish {
		host.PortBindings = network.PortMap{port: {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
	}
	return client.ContainerCreateOptions{Name: containerName(id), Config: config, HostConfig: host}
}

// create creates a container, with the secrets that it may read.
func (p *Provider) create(ctx context.Context, f hearth.Function, image Image, id string) (containerID string,
	err error) {
	options := p.options(f, image, id)
	made, err := p.api.ContainerCreate(ctx, options)
	if err != nil {
		return "", err
	}
	if len(f.Secrets) > 0 {
		if err := p.grant(ctx, f, image.user(), made.ID); err != nil {
			p.discard(context.WithoutCancel(ctx), made.ID)
			return "", err
		}
	}
	return made.ID, nil
}

// grant copies a function's secrets into its container, as files that only the container's user can read.
func (p *Provider) grant(ctx context.Context, f hearth.Function, userName, containerID string) error {
	owner, err := p.userOf(ctx, userName, containerID)
	if err != nil {
		return fmt.Errorf("find the image's user %s: %w", userName, err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range f.Secrets {
		value, err := p.cfg.Secrets.Read(f.Namespace, name)
		if err != nil {
			return hearth.Errorf(hearth.Unavailable, "the secret %s cannot be read: it may have been removed",
				name)
		}
		if err := w.WriteHeader(&tar.Header{
			Name: name,
			Mode: 0o400,
			Uid:  owner.Uid,
			Gid:  owner.Gid,
			Size: int64(len(value)),
		}); err != nil {
			return err
		}
		if _, err := w.Write(value); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = p.api.CopyToContainer(ctx, containerID,
		client.CopyToContainerOptions{DestinationPath: secretsDir, Content: &archive})
	if err != nil {
		return fmt.Errorf("copy secrets into the container: %w", err)
	}
	return nil
}

// ReceiveSecret implements hearth.SecretReceiver: the secret's file changes in the containers that may read
// it.
func (p *Provider) ReceiveSecret(ctx context.Context, namespace, name string) error {
	p.mu.Lock()
	readers := map[*replica]string{} // and whom they run as
	for r := range p.alive {
		if r.spec.Namespace == namespace && slices.Contains(r.spec.Secrets, name) && r.image.ID != "" {
			readers[r] = r.image.user()
		}
	}
	p.mu.Unlock()
	var errs []error
	for r, user := range readers {
		// By its name, which it has before it is made: one that is made just now has read either value.
		err := p.grant(ctx, r.spec, user, containerName(r.State().ID))
		if err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("replica %s: %w", r.State().ID, err))
		}
	}
	return errors.Join(errs...)
}

// userOf returns the ids of a user, as the engine does: a name is looked up in the container's own files.
func (p *Provider) userOf(ctx context.Context, name, containerID string) (*user.ExecUser, error) {
	var files [2]io.Reader
	for i, path := range [...]string{"/etc/passwd", "/etc/group"} {
		found, err := p.api.CopyFromContainer(ctx, containerID,
			client.CopyFromContainerOptions{SourcePath: path})
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		archive := tar.NewReader(found.Content)
		if _, err = archive.Next(); err == nil {
			var text []byte
			text, err = io.ReadAll(io.LimitReader(archive, 1<<20))
			files[i] = bytes.NewReader(text)
		}
		_ = found.Content.Close()
		if err != nil {
			return nil, err
		}
	}
	return user.GetExecUser(name, nil, files[0], files[1])
}

// sweepEvery is the time between attempts to remove containers that could not be removed.
const sweepEvery = 10 * time.Second

// discard removes a container by its id or name, even if it runs. It may be gone already. If it cannot be
// removed now, sweep tries again: when the engine is back, from time to time, when hearth stops, and when it
// starts again.
func (p *Provider) discard(ctx context.Context, container string) {
	_, err := p.api.ContainerRemove(ctx, container,
		client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	for tries := 0; errdefs.IsConflict(err) && tries < 100; tries++ { // it is being removed
		pause(ctx, 50*time.Millisecond)
		_, err = p.api.ContainerRemove(ctx, container,
			client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil || errdefs.IsNotFound(err) {
		delete(p.left, container)
		return
	}
	if !p.left[container] {
		p.left[container] = true
		p.cfg.Log.Warn("could not remove container; will retry", "container", container, "error", err)
	}
}

// reap starts to call sweep from time to time.
func (p *Provider) reap() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			p.sweep(ctx)
			pause(ctx, sweepEvery)
		}
	}()
	p.stopReaping = func() {
		stop()
		<-done
	}
}

// sweep removes the containers that could not be removed before.
func (p *Provider) sweep(ctx context.Context) {
	p.mu.Lock()
	left := slices.Collect(maps.Keys(p.left))
	p.mu.Unlock()
	for _, container := range left {
		p.discard(ctx, container)
	}
}

// containerName returns the name that docker ps shows.
func containerName(id string) string { return "hearth-" + id }

// address returns where a container takes calls. Only a running container has an address.
func (p *Provider) address(ctx context.Context, containerID string) (string, error) {
	c, err := p.api.ContainerInspect(ctx, containerID, client.ContainerInspectOptions{})
	if err != nil {
		return "", err
	}
	settings := c.Container.NetworkSettings
	if p.cfg.Publish {
		for _, b := range settings.Ports[port] {
			return "http://127.0.0.1:" + b.HostPort, nil
		}
		return "", fmt.Errorf("it exited at once: %s", ending(c.Container.State, 0))
	}
	for _, n := range settings.Networks {
		if n.IPAddress.IsValid() {
			return "http://" + netip.AddrPortFrom(n.IPAddress, port.Num()).String(), nil
		}
	}
	return "", fmt.Errorf("it has no address on the network %s: it exited at once: %s", p.cfg.Network,
		ending(c.Container.State, 0))
}

// ending says how a container exited.
func ending(s *container.State, memory int64) string {
	switch {
	case s == nil || s.Running:
		return "it runs"
	case s.OOMKilled && memory > 0:
		return fmt.Sprintf("it was killed because it exceeded its memory limit of %d MiB", memory>>20)
	case s.OOMKilled:
		return "it was killed, as it used more memory than its limit"
	case s.Error != "":
		return s.Error
	case s.ExitCode > 128:
		return fmt.Sprintf("it was ended by signal %d", s.ExitCode-128)
	}
	return fmt.Sprintf("it ended with exit code %d", s.ExitCode)
}

// readyPath returns the path of the readiness probe, and whether the function chose it. The default is one
// that both watchdogs of OpenFaaS answer: the classic one would run the function for /_/ready.
func readyPath(f hearth.Function) (path string, chosen bool) {
	if p := f.Readiness; p != nil {
		return p.Path, true
	}
	return "/_/health", false
}
