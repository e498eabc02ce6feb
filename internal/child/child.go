// Package child starts processes that do not outlive this one, even if it is killed: the kernel signals them,
// and those that remain are ended at the next start. It does not restart or supervise processes.
package child

import (
	"os/exec"
	"sync"
	"syscall"
)

// Marker is the environment variable by which Sweep recognizes the children of a state directory.
const Marker = "HEARTH_STATE"

// Start starts cmd in a process group of its own, so that a Ctrl-C at the terminal reaches this process
// alone. When this process dies, the child gets the signal (on Linux).
//
// The signal follows the thread that forked and not the process, so all children are forked by one thread
// that never ends. See PR_SET_PDEATHSIG in prctl(2).
func Start(cmd *exec.Cmd, onOurDeath syscall.Signal) error { return StartWith(cmd, onOurDeath, nil) }

// StartWith is Start, but calls around on the forking thread just before the fork, and the function that
// around returns just after. A child inherits from that thread. around may be nil.
func StartWith(cmd *exec.Cmd, onOurDeath syscall.Signal, around func() (leave func(), err error)) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setDeathSignal(cmd.SysProcAttr, onOurDeath)
	forking.Do(func() { go fork() })
	done := make(chan error)
	forks <- func() {
		if around != nil {
			leave, err := around()
			if err != nil {
				done <- err
				return
			}
			defer leave()
		}
		done <- cmd.Start()
	}
	return <-done
}

var (
	forking sync.Once
	forks   = make(chan func())
)

// Kill ends a child's whole process group at once.
func Kill(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
