package process

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/internal/backlog"
	"github.com/hearthfaas/hearth/internal/cgroup"
	"github.com/hearthfaas/hearth/internal/child"
	"github.com/hearthfaas/hearth/internal/crash"
	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/logs"
	"github.com/hearthfaas/hearth/internal/probe"
)

const (
	firstPause = 100 * time.Millisecond // after the second crash in a row; it doubles with each
	longPause  = 10 * time.Second
	longEnough = 10 * time.Second // a replica that was ready for so long has not failed to start
)

// A replica is one replica of a function, over all processes that it takes to keep it running.
type replica struct {
	id       string
	revision string
	spec     hearth.Function
	binary   string
	socket   string // path
	tmp      string
	env      []string
	log      *logs.File
	slog     *slog.Logger
	changed  func() // called after each change of the state, without mu
	calls    *hearth.Calls
	group    func() (*cgroup.Group, error) // makes the control group of a process; nil if nothing is limited
	said     *crash.Reader

	stop context.CancelFunc // begins to end the replica
	done chan struct{}      // closed when it has ended

	mu        sync.Mutex
	accepting bool
	ready     bool
	proven    bool // it has been ready
	failing   string
	started   time.Time
	unhealthy string // why its process is killed
	restarts  int
	lastExit  *hearth.Exit
	process   *os.Process
}

// State, End, Kill, Crash, Wake and Done implement replicaset.Replica.
func (r *replica) State() hearth.Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return hearth.Replica{
		ID:        r.id,
		Revision:  r.revision,
		Address:   "unix://" + r.socket,
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

func (r *replica) End() { r.stop() }

func (r *replica) Wake() {}

func (r *replica) Done() <-chan struct{} { return r.done }

// Kill ends the replica at once.
func (r *replica) Kill() {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		child.Kill(r.process.Pid)
	}
}

// Crash ends the process of the replica, which is then started again.
func (r *replica) Crash() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		child.Kill(r.process.Pid)
	}
}

// run keeps the replica running until ctx ends, and then ends it.
//
// A process that has answered calls, or was ready for long, is started again at once when it ends by itself.
// Calls wait in the socket meanwhile. A process that ends again and again without either is started after a
// pause, longer each time.
func (r *replica) run(ctx context.Context, listener *net.UnixListener, first net.Conn) {
	defer func() { _ = os.RemoveAll(r.tmp); _ = os.Remove(r.socket) }()
	crashes := 0 // in a row, without success
	defer func() {
		if listener != nil {
			_ = backlog.Close(listener)
		}
		if first != nil {
			_ = first.Close()
		}
	}()
	for ctx.Err() == nil {
		if listener == nil {
			var err error
			if listener, first, err = listen(r.socket); err != nil {
				r.fail(fmt.Sprintf("could not open its socket: %v", err))
				pause(ctx, longPause)
				continue
			}
		}
		began, answered := time.Now(), r.calls.Served()
		wasReady, why := r.once(ctx, listener, first)
		first = nil
		if ctx.Err() != nil {
			return
		}
		if wasReady && (time.Since(began) > longEnough || r.calls.Served() != answered) {
			crashes = 0
		}
		crashes++
		r.mu.Lock()
		r.restarts++
		r.lastExit = &hearth.Exit{At: time.Now(), Reason: why}
		r.mu.Unlock()
		r.slog.Warn("replica crashed", "replica", r.id, "reason", why, "crashes", crashes)
		if crashes == 1 {
			r.changed()
		} else {
			_ = backlog.Close(listener) // other replicas may take the calls that wait in the socket
			listener = nil
			r.fail(why)
			pause(ctx, min(firstPause<<min(crashes-2, 10), longPause))
		}
	}
}

func (r *replica) fail(why string) {
	r.mu.Lock()
	r.accepting, r.ready, r.failing = false, false, why
	r.mu.Unlock()
	r.changed()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// once runs one process until it ends. It returns whether the process got ready, and why it ended.
func (r *replica) once(ctx context.Context, listener *net.UnixListener, first net.Conn) (wasReady bool,
	why string) {
	r.mu.Lock()
	r.unhealthy = ""
	r.mu.Unlock()
	r.said.Reset() // before it prints
	var group *cgroup.Group
	if r.group != nil {
		var err error
		if group, err = r.group(); err != nil {
			return false, fmt.Sprintf("could not be limited: %v", err)
		}
		defer group.Remove()
	}
	cmd, outputs, err := r.start(listener, group)
	if err != nil {
		return false, fmt.Sprintf("could not be started: %v", err)
	}
	r.mu.Lock()
	r.process, r.started = cmd.Process, time.Now()
	r.accepting = r.accepting || r.failing == ""
	r.mu.Unlock()

	alive, ended := context.WithCancel(context.Background())
	checked := make(chan struct{})
	go func() { defer close(checked); r.attend(alive, first) }()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-alive.Done():
		case <-ctx.Done():
			r.end(alive, cmd.Process)
		}
	}()

	err = cmd.Wait()
	child.Kill(cmd.Process.Pid) // with the processes that it has started
	ended()
	outputs.wait(time.Second)
	<-checked
	<-stopped
	r.mu.Lock()
	defer r.mu.Unlock()
	wasReady, r.ready, r.process = r.ready, false, nil
	why = "it ended with exit code 0"
	if err != nil {
		why = err.Error()
	}
	switch {
	case r.unhealthy != "":
		return wasReady, r.unhealthy
	case group != nil && group.Kills() > 0:
		return wasReady, fmt.Sprintf("it was killed because it exceeded its memory limit of %d MiB",
			r.spec.Limit.Memory>>20)
	}
	if said := r.said.Reason(); said != "" {
		why += ": " + said
	}
	return wasReady, why
}

// start starts the process with its end of the socket, and reads its output.
func (r *replica) start(listener *net.UnixListener, group *cgroup.Group) (*exec.Cmd, *outputs, error) {
	socket, err := listener.File()
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = socket.Close() }()
	if err := os.MkdirAll(r.tmp, 0o700); err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(r.binary)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = r.tmp, r.env, []*os.File{socket}
	var pipes []*os.File
	outputs := &outputs{}
	for _, stream := range []struct {
		name string
		to   *io.Writer
	}{{"stdout", &cmd.Stdout}, {"stderr", &cmd.Stderr}} {
		from, to, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		*stream.to = to
		pipes = append(pipes, to)
		outputs.from = append(outputs.from, from)
		outputs.reading.Go(func() {
			defer func() { _ = from.Close() }()
			r.log.CopyLines(r.id, stream.name, from, r.said.Line)
		})
	}
	err = startIn(group, cmd)
	for _, p := range pipes {
		_ = p.Close()
	}
	return cmd, outputs, err
}

// startIn starts a process with the umask that containers have, in a group unless that is nil.
func startIn(group *cgroup.Group, cmd *exec.Cmd) error {
	if group == nil {
		return child.StartWith(cmd, syscall.SIGKILL, func() (func(), error) { return child.WithUmask(0o022) })
	}
	err := child.StartWith(cmd, syscall.SIGKILL, func() (func(), error) {
		leave, err := group.Around()
		if err != nil {
			return nil, err
		}
		restore, err := child.WithUmask(0o022)
		return func() { restore(); leave() }, err
	})
	if err != nil {
		return err
	}
	if err := group.Started(cmd.Process.Pid); err != nil {
		child.Kill(cmd.Process.Pid)
		_ = cmd.Wait()
		return err
	}
	return nil
}

// attend waits until a process is ready, and then probes it, if its function has probes.
func (r *replica) attend(alive context.Context, first net.Conn) {
	if !r.awaitReady(alive, first) {
		return
	}
	client := probe.Client(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	})
	probe.Run(alive, r.spec, client, func(ready bool) {
		r.mu.Lock()
		r.ready, r.accepting = ready, ready
		r.mu.Unlock()
		r.slog.Info("replica readiness changed", "replica", r.id, "ready", ready)
		r.changed()
	}, func(why string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.process != nil && alive.Err() == nil {
			r.unhealthy = why
			child.Kill(r.process.Pid)
		}
	})
}

// outputs are the pipes of a process.
type outputs struct {
	reading sync.WaitGroup
	from    []*os.File
}

// wait waits until the output is read, but not for long: a process that left its group may hold a pipe open
// for ever.
func (o *outputs) wait(atMost time.Duration) {
	for _, f := range o.from {
		_ = f.SetReadDeadline(time.Now().Add(atMost))
	}
	o.reading.Wait()
}

// awaitReady asks for /_/ready, or the path that the function has chosen. The request queues in the socket,
// and is answered when the process serves. first is a connection that was made before any call could come, so
// that a new process is known to be ready before it runs a call. awaitReady returns false if ctx ended
// before.
func (r *replica) awaitReady(ctx context.Context, first net.Conn) bool {
	path := "/_/ready"
	if p := r.spec.Readiness; p != nil {
		path = p.Path
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if c := first; c != nil {
				first = nil
				return c, nil
			}
			return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
		}}}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://function"+path, nil)
		if err != nil {
			return false
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode < http.StatusBadRequest || res.StatusCode == http.StatusTooManyRequests {
				// Busy is ready.
				r.mu.Lock()
				r.ready, r.accepting, r.proven, r.failing = true, true, true, ""
				r.mu.Unlock()
				r.changed()
				return true
			}
		}
		pause(ctx, 50*time.Millisecond) // it serves, and is not ready yet
	}
	return false
}

// end ends a process: by SIGTERM, and by SIGKILL when it may drain no longer.
func (r *replica) end(alive context.Context, p *os.Process) {
	_ = p.Signal(syscall.SIGTERM)
	grace := time.NewTimer(r.spec.DrainTime + time.Second)
	defer grace.Stop()
	select {
	case <-alive.Done():
	case <-grace.C:
		r.slog.Warn("killing replica that did not drain in time", "replica", r.id)
		child.Kill(p.Pid)
	}
}

// listen opens a socket, and makes the first connection to it.
func listen(path string) (*net.UnixListener, net.Conn, error) {
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("listen on %s: %w", filepath.Base(path), err)
	}
	first, err := net.Dial("unix", path)
	if err != nil {
		_ = l.Close()
		return nil, nil, err
	}
	return l, first, nil
}
