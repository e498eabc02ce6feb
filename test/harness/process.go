package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/hearthfaas/hearth/internal/child"
)

// A Process is a started process and its output. It dies with this process.
type Process struct {
	Cmd  *exec.Cmd
	Done chan error // what Wait returned

	mu  sync.Mutex
	out strings.Builder
}

// Start starts a command. The given functions run before it waits for the command.
func Start(cmd *exec.Cmd, before ...func(pid int)) (*Process, error) {
	p := &Process{Cmd: cmd, Done: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = p, p
	if err := child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	go func() {
		for _, f := range before {
			f(cmd.Process.Pid)
		}
		p.Done <- cmd.Wait()
	}()
	return p, nil
}

// Write implements io.Writer for the output of the process.
func (p *Process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(text)
}

// Output returns the output so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// ProcessesOf returns the other processes that mention a directory in their command or environment, as PID
// and the beginning of the command. It is empty except on Linux.
func ProcessesOf(dir string) (found []string) {
	for _, kind := range []string{"cmdline", "environ"} {
		paths, _ := filepath.Glob("/proc/[0-9]*/" + kind)
		for _, path := range paths {
			pid := filepath.Base(filepath.Dir(path))
			text, err := os.ReadFile(path)
			if err == nil && bytes.Contains(text, []byte(dir)) && pid != fmt.Sprint(os.Getpid()) {
				found = append(found, pid+" "+string(bytes.ReplaceAll(text[:min(len(text), 80)],
					[]byte{0}, []byte{' '})))
			}
		}
	}
	return found
}
