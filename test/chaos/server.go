package main

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hearthfaas/hearth/test/harness"
)

// A server is a process that is restarted whenever it ends, as by systemd.
type server struct {
	name    string
	command func() *exec.Cmd

	mu       sync.Mutex
	running  *harness.Process
	notUntil time.Time // the earliest next start
	closed   bool
	ended    chan struct{}
	wanted   bool     // the next end is intended
	said     []string // output of earlier processes
	failures []string // the last line of each unexpected end
}

// keep starts the server and restarts it until close.
func (s *server) keep() {
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		for s.once() {
		}
	}()
}

// once runs the process once. It returns false if there should be no restart.
func (s *server) once() bool {
	for {
		s.mu.Lock()
		pause := time.Until(s.notUntil)
		if s.closed {
			s.mu.Unlock()
			return false
		}
		if pause <= 0 {
			break
		}
		s.mu.Unlock()
		time.Sleep(min(pause, 10*ms))
	}
	p, err := harness.Start(s.command(), untilEnded)
	if err != nil {
		s.failures = append(s.failures, err.Error())
		s.notUntil = time.Now().Add(100 * ms)
		s.mu.Unlock()
		return true
	}
	s.running, s.wanted = p, false
	s.mu.Unlock()
	err = <-p.Done
	s.mu.Lock()
	defer s.mu.Unlock()
	text := p.Output()
	s.running, s.said = nil, append(s.said, text)
	if !s.wanted {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		s.failures = append(s.failures, fmt.Sprintf("%s (%v)", lines[len(lines)-1], err))
		s.notUntil = time.Now().Add(100 * ms)
	}
	return true
}

// pid is the id of the running process, or 0.
func (s *server) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return 0
	}
	return s.running.Cmd.Process.Pid
}

// end stops the process by a signal, waits until it has ended, and delays the restart.
func (s *server) end(signal syscall.Signal, away time.Duration) {
	s.mu.Lock()
	p := s.running
	s.wanted, s.notUntil = true, time.Now().Add(away)
	if p != nil {
		_ = p.Cmd.Process.Signal(signal)
	}
	s.mu.Unlock()
	for p != nil {
		s.mu.Lock()
		same := s.running == p
		s.mu.Unlock()
		if !same {
			return
		}
		time.Sleep(ms)
	}
}

// stop ends the server.
func (s *server) stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.ended == nil {
		return
	}
	s.end(syscall.SIGKILL, 0)
	<-s.ended
}

// output returns all output so far.
func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.said, "")
	if s.running != nil {
		all += s.running.Output()
	}
	return all
}
