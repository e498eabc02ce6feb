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

// A server is a process that is started again whenever it ends, as systemd does.
type server struct {
	name    string
	command func() *exec.Cmd

	mu       sync.Mutex
	running  *harness.Process
	notUntil time.Time // it is not started before
	closed   bool
	ended    chan struct{}
	wanted   bool     // the end that comes next was asked for
	said     []string // what its former lives said
	failures []string // the last line of each that ended unasked
}

// keep starts it, and goes on until close.
func (s *server) keep() {
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		for s.once() {
		}
	}()
}

// once is one life. It returns false when there is to be no other.
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

// pid is that of the process that runs now, or 0.
func (s *server) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return 0
	}
	return s.running.Cmd.Process.Pid
}

// end ends it by a signal, and lets it be away for a while. It waits until it has ended.
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

// stop ends it for good.
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

// output is all that it has ever said.
func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.said, "")
	if s.running != nil {
		all += s.running.Output()
	}
	return all
}
