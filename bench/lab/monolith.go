package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/internal/child"
	"github.com/hearthfaas/hearth/internal/redisserver"
)

// A monolith is one program that runs in a number of whole copies, which share a door: connections go to
// whichever copy is quick to take them. A copy that dies is started again.
type monolith struct {
	binary string
	env    []string
	socket *os.File // of the door
	log    *os.File

	mu      sync.Mutex
	copies  []*exec.Cmd
	ending  bool
	deaths  int
	running sync.WaitGroup
}

// restartAfter is systemd's default, RestartSec=100ms.
const restartAfter = 100 * time.Millisecond

// asMonolith starts the bakery as one program in so many copies, with a Redis as Hearth starts it.
func (l *lab) asMonolith(ctx context.Context, copies int, env ...string) (*house, error) {
	state := filepath.Join(l.bed.State, "monolith")
	dir := filepath.Join(state, "redis")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keyFile := filepath.Join(state, "manager-key")
	if err := os.WriteFile(keyFile, []byte("the lab's"), 0o600); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "redis.sock")
	server, err := redisserver.Start(ctx, redisserver.Config{
		Dir:       dir,
		Socket:    socket,
		Fsync:     l.bed.Fsync,
		MaxMemory: "1gb",
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = server.Close()
		return nil, err
	}
	defer func() { _ = door.Close() }()
	m := &monolith{binary: l.binary, env: append(os.Environ(),
		append([]string{"REDIS_URL=" + server.URL, "secret_mount_path=" + state,
			fmt.Sprintf("BAKE_SPEED=%g", l.speed),
			"exec_timeout=60s", fmt.Sprint("RACKS=", racks)}, env...)...)}
	if m.socket, err = shared(door.(*net.TCPListener)); err == nil {
		m.log, err = os.OpenFile(filepath.Join(state, "log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	}
	if err != nil {
		_ = server.Close()
		return nil, err
	}

	h := &house{
		url:      "http://" + door.Addr().String(),
		keyFile:  keyFile,
		socket:   socket,
		monolith: m,
		stop:     func() { m.end(); _ = server.Close() },
	}
	began := time.Now()
	h.look = func(context.Context) (sample, error) {
		now := time.Now()
		return sample{at: now, replicas: map[string]float64{wholeCopy: float64(copies)},
			used: map[string]float64{wholeCopy: float64(copies) * now.Sub(began).Seconds()}}, nil
	}
	for i := range copies {
		m.running.Add(1)
		m.copies = append(m.copies, nil)
		go m.supervise(i)
	}
	if err := untilServes(ctx, h.url); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

// shared returns a listener's socket for several processes. A File that knows its socket to be non-blocking
// makes it blocking each time it is passed on, and then the processes that already have it could not stop.
func shared(l *net.TCPListener) (*os.File, error) {
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fd, err := syscall.Dup(int(f.Fd()))
	return os.NewFile(uintptr(fd), "door"), err
}

// supervise keeps one copy running until the end.
func (m *monolith) supervise(i int) {
	defer m.running.Done()
	for {
		cmd, err := m.start(i)
		if err != nil {
			fmt.Fprintln(os.Stderr, "monolith:", err)
			return
		}
		if cmd == nil {
			return
		}
		_ = cmd.Wait()
		m.mu.Lock()
		replaced := m.copies[i] != cmd
		if !m.ending && !replaced {
			m.deaths++
		}
		m.mu.Unlock()
		if replaced { // by a newer version, which has a supervisor of its own
			return
		}
		time.Sleep(restartAfter)
	}
}

// start starts a copy; it returns nil at the end.
func (m *monolith) start(i int) (*exec.Cmd, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		return nil, nil
	}
	cmd := exec.Command(m.binary)
	cmd.Env, cmd.ExtraFiles = append(m.env, fmt.Sprint("NAME=", i)), []*os.File{m.socket}
	cmd.Stdout, cmd.Stderr = m.log, m.log
	m.copies[i] = cmd
	return cmd, child.Start(cmd, syscall.SIGTERM)
}

// replace starts the binary anew beside each copy, and then ends the old one: as
// a careful operator deploys it.
func (m *monolith) replace() {
	for i := range m.copies {
		m.mu.Lock()
		old := m.copies[i]
		m.mu.Unlock()
		m.running.Add(1)
		go m.supervise(i)
		for {
			m.mu.Lock()
			started := m.copies[i] != old
			m.mu.Unlock()
			if started {
				break
			}
			time.Sleep(time.Millisecond)
		}
		_ = old.Process.Signal(syscall.SIGTERM)
	}
}

// end ends all copies, and waits until they have ended.
func (m *monolith) end() {
	m.mu.Lock()
	m.ending = true
	for _, cmd := range m.copies {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	m.mu.Unlock()
	m.running.Wait()
	_ = m.socket.Close()
	_ = m.log.Close()
}

// untilServes waits until the bakery shows its menu.
func untilServes(ctx context.Context, url string) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		res, err := http.Get(url + "/function/cashier?view=menu")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the bakery at %s does not serve", url)
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
