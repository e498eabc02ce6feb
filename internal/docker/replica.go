package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/hearthfaas/hearth/internal/crash"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/moby/moby/client"
)

const (
	firstPause   = 100 * time.Millisecond // after the second crash in a row; it doubles with each
	longPause    = 5 * time.Minute        // as Kubernetes's CrashLoopBackOff
	longEnough   = 10 * time.Second       // a container that ran for so long has not failed to start
	engineAway   = time.Second            // between two attempts to reach an engine that does not answer
	stoppedPause = 2 * time.Second        // after a container that somebody stopped in order
)

// A replica is one replica of a function, over all containers that it takes to keep it running.
type replica struct {
	p       *Provider
	spec    hearth.Function
	image   Image
	number  int
	last    bool // its container is not created again
	changed func()
	log     *logs.File
	slog    *slog.Logger
	calls   *hearth.Calls
	said    *crash.Reader

	stop context.CancelFunc
	done chan struct{} // closed when it has ended

	mu        sync.Mutex
	woken     chan struct{} // closed when it is to serve
	id        string
	container string // id; "" between two containers
	address   string
	accepting bool
	ready     bool
	proven    bool // it has been ready
	failing   string
	started   time.Time
	restarts  int
	lastExit  *hearth.Exit
}

// State, Wake, End, Kill and Done implement replicaset.Replica.
func (r *replica) State() hearth.Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return hearth.Replica{
		ID:        r.id,
		Revision:  r.spec.Revision,
		Address:   r.address,
		Started:   r.started,
		Accepting: r.accepting,
		Ready:     r.ready,
		Failing:   r.failing,
		Proven:    r.proven,
		Restarts:  r.restarts,
		LastExit:  r.lastExit,
		Calls:     r.calls,
	}
}

func (r *replica) Wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.woken:
	default:
		close(r.woken)
		r.accepting = r.accepting || r.ready // frozen: its socket takes connections
	}
}

func (r *replica) End() { r.stop() }

func (r *replica) Done() <-chan struct{} { return r.done }

func (r *replica) Kill() {
	r.stop()
	r.Crash()
}

func (r *replica) Crash() {
	r.mu.Lock()
	id := r.container
	r.mu.Unlock()
	if id != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = r.p.api.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
	}
}

// run starts to keep the replica running, until stop. adopted is a container that already runs, or nil.
func (r *replica) run(adopted *found) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.live(ctx, adopted)
}

// live keeps the replica running until ctx ends.
func (r *replica) live(ctx context.Context, adopted *found) {
	defer close(r.done)
	defer func() {
		r.p.mu.Lock()
		defer r.p.mu.Unlock()
		delete(r.p.alive, r)
	}()
	crashes := 0
	for ctx.Err() == nil {
		began, answered := time.Now(), r.calls.Served()
		var wasReady bool
		var err error
		if adopted != nil {
			wasReady, err = r.attend(ctx, adopted.id, adopted)
		} else {
			wasReady, err = r.once(ctx)
		}
		adopted = nil
		if r.last && ctx.Err() == nil {
			r.fail("it has ended, and is of a version that is being replaced")
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return
		}
		if away(err) {
			r.fail("the Docker engine does not answer")
			pause(ctx, engineAway)
			continue
		}
		if wasReady && (time.Since(began) > longEnough || r.calls.Served() != answered) {
			crashes = 0 // the next container starts at once
		}
		crashes++
		r.mu.Lock()
		r.restarts++
		r.lastExit = &hearth.Exit{At: time.Now(), Reason: err.Error()}
		r.mu.Unlock()
		r.slog.Warn("replica crashed", "replica", r.State().ID, "reason", err, "crashes", crashes)
		switch {
		case hearth.CodeOf(err) == hearth.Invalid: // another attempt would fail too
			r.fail(hearth.MessageOf(err))
			pause(ctx, longPause)
		case crashes > 1:
			r.fail(err.Error())
			pause(ctx, min(firstPause<<min(crashes-2, 20), longPause))
		}
	}
}

// once creates a container, and attends to it until it exits. It returns whether the container got ready, and
// why it exited.
func (r *replica) once(ctx context.Context) (wasReady bool, err error) {
	if r.image.ID == "" { // it is still being pulled
		image, err := r.p.images.find(ctx, r.spec.Image, true)
		if err != nil {
			return false, err
		}
		r.p.mu.Lock()
		r.image = image
		r.p.mu.Unlock()
	}
	r.mu.Lock()
	r.id = r.newID()
	id := r.id
	r.mu.Unlock()
	// The end of ctx must not interrupt this: a container that is created and not known would stay.
	creating, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	containerID, err := r.p.create(creating, r.spec, r.image, id)
	if err != nil {
		r.p.discard(creating, containerName(id)) // the engine may have created it, though its answer was lost
		if errdefs.IsInvalidArgument(err) {      // by the spec of its function, which does not change
			return false, hearth.Errorf(hearth.Invalid, "its container could not be created: %v", err)
		}
		return false, fmt.Errorf("its container could not be created: %w", err)
	}
	if r.p.cfg.Asleep == Prepared {
		select {
		case <-r.woken:
		case <-ctx.Done():
		}
	}
	return r.attend(ctx, containerID, nil)
}

// attend starts a container, unless it is adopted, and attends to it until it exits or is to end.
func (r *replica) attend(ctx context.Context, containerID string, adopted *found) (wasReady bool, err error) {
	died := r.p.events.watch(containerID)
	defer r.p.events.forget(containerID)
	r.mu.Lock()
	r.container = containerID
	r.mu.Unlock()
	r.said.Reset()
	defer func() {
		r.mu.Lock()
		r.container = ""
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r.p.discard(ctx, containerID)
	}()
	if adopted == nil {
		r.p.events.synced(ctx)
		if _, err := r.p.api.ContainerStart(ctx, containerID, client.ContainerStartOptions{}); err != nil {
			if errdefs.IsNotFound(err) { // another instance that used the network has removed it
				err = errors.Join(err, r.p.ensureNetwork(ctx))
			}
			return false, fmt.Errorf("its container could not be started: %w", err)
		}
	}
	following, stopFollowing := context.WithCancel(context.Background())
	defer stopFollowing()
	followed := make(chan struct{})
	go func() { defer close(followed); r.follow(following, containerID, adopted == nil, died) }()
	address, err := r.p.address(ctx, containerID)
	if err == nil {
		r.mu.Lock()
		r.address, r.started = address, time.Now()
		r.mu.Unlock()
		if wasReady, err = r.serve(ctx, containerID, address, adopted, died); err == nil {
			return wasReady, nil
		}
	}
	select { // the last lines of its output
	case <-followed:
	case <-time.After(time.Second):
	}
	if said := r.said.Reason(); said != "" && !away(err) {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return wasReady, err
}

// serve attends to a running container. It returns nil if the container was to end and has, else the reason
// why it exited by itself.
func (r *replica) serve(ctx context.Context, containerID, address string, adopted *found,
	died <-chan struct{}) (wasReady bool, err error) {
	alive, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-died:
			end()
		case <-alive.Done():
		}
	}()
	frozen := adopted != nil && adopted.frozen
	if !frozen {
		r.awaitReady(alive, address)
		frozen = r.freeze(alive, containerID)
	}
	if frozen {
		if err := r.thaw(alive, containerID); err != nil {
			return true, err
		}
	}
	unhealthy, probed := make(chan string, 1), make(chan struct{})
	go func() { defer close(probed); r.probe(alive, address, unhealthy) }()
	sick := ""
	select {
	case <-died:
	case sick = <-unhealthy:
	case <-ctx.Done():
	}
	end()
	<-probed // else it could still set the replica ready
	switch {
	case sick != "":
		wasReady = r.State().Ready
		r.down()
		r.changed()
		return wasReady, errors.New(sick) // and its container is removed
	case ctx.Err() != nil:
		// It never had a call, and a process that has just started may ignore SIGTERM.
		idle := adopted == nil && !r.State().Ready
		r.down() // who ended it tells the router
		grace := 1
		if !idle {
			grace += int((r.spec.DrainTime + time.Second) / time.Second)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(grace+10)*time.Second)
		defer cancel()
		if _, err := r.p.api.ContainerStop(ctx, containerID,
			client.ContainerStopOptions{Timeout: &grace}); err != nil && !errdefs.IsNotFound(err) {
			r.slog.Warn("could not stop replica", "replica", r.State().ID, "error", err)
		}
		return true, nil
	}
	wasReady = r.State().Ready
	r.down()
	r.changed()
	c, err := r.p.api.ContainerInspect(ctx, containerID, client.ContainerInspectOptions{})
	switch {
	case errdefs.IsNotFound(err):
		return wasReady, errors.New("somebody removed its container")
	case err != nil:
		return wasReady, err
	}
	// The engine may have stopped it because the engine itself is stopping: a container that is removed or
	// started now could be killed while that happens. See also ownConnection.
	if s := c.Container.State; s.ExitCode == 0 || s.ExitCode == 128+int(syscall.SIGTERM) {
		pause(ctx, stoppedPause)
		r.p.events.synced(ctx)
	}
	return wasReady, errors.New(ending(c.Container.State, c.Container.HostConfig.Memory))
}

// up makes the replica ready, if it is to serve.
func (r *replica) up() {
	r.mu.Lock()
	r.ready, r.proven, r.failing = true, true, ""
	select {
	case <-r.woken:
		r.accepting = true
	default:
	}
	r.mu.Unlock()
	r.changed()
}

// down makes the replica take no calls.
func (r *replica) down() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepting, r.ready = false, false
}

func (r *replica) fail(why string) {
	r.mu.Lock()
	same := r.failing == why && !r.accepting && !r.ready
	r.accepting, r.ready, r.failing = false, false, strings.TrimSpace(why)
	r.mu.Unlock()
	if !same {
		r.changed()
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// away reports whether an error means that the engine did not answer, which says nothing about the container.
func away(err error) bool { return err != nil && client.IsErrConnectionFailed(err) }
