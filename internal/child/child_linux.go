package child

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
)

func fork() {
	runtime.LockOSThread() // for good
	ownMask.Store(syscall.Unshare(syscall.CLONE_FS) == nil)
	for f := range forks {
		f()
	}
}

// ownMask is true if the forking thread has its own umask, instead of the process's.
var ownMask atomic.Bool

// WithUmask is for StartWith: it gives the child this umask, whatever ours is.
func WithUmask(mask int) (leave func(), err error) {
	if !ownMask.Load() {
		return func() {}, nil
	}
	ours := syscall.Umask(mask)
	return func() { syscall.Umask(ours) }, nil
}

func setDeathSignal(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// Sweep kills the processes that an earlier run on this state directory left behind, and returns how many.
// The caller must hold the directory's lock, so that no other run is alive.
func Sweep(state string) int {
	want := []byte(Marker + "=" + state)
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	killed := 0
	for _, path := range environments {
		environment, err := os.ReadFile(path) // readable only for our own user's processes
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		for variable := range bytes.SplitSeq(environment, []byte{0}) {
			if bytes.Equal(variable, want) && pid != os.Getpid() &&
				syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
				break
			}
		}
	}
	return killed
}
