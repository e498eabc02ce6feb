//go:build !linux

package child

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func fork() {
	for f := range forks {
		f()
	}
}

// WithUmask does nothing: on other systems a umask belongs to the whole process.
func WithUmask(int) (leave func(), err error) { return func() {}, nil }

// setDeathSignal does nothing: only Linux has a parent-death signal. Elsewhere Sweep ends what is left at the
// next start.
func setDeathSignal(*syscall.SysProcAttr, syscall.Signal) {}

// Sweep kills the processes that an earlier run on this state directory left behind, and returns how many.
// The caller must hold the directory's lock, so that no other run is alive.
func Sweep(state string) int {
	out, err := exec.Command("ps", "-Eww", "-o", "pid=,command=", "-U", strconv.Itoa(os.Getuid())).Output()
	if err != nil {
		return 0
	}
	killed := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, field := range fields {
			if pid, err := strconv.Atoi(fields[0]); err == nil && field == Marker+"="+state &&
				pid != os.Getpid() && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
				break
			}
		}
	}
	return killed
}
