package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/hearthfaas/hearth/test/harness"
	"github.com/stretchr/testify/require"
)

// A screen keeps what a command writes to its terminal.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

var someServed = regexp.MustCompile(`[1-9]\d* served`)

// TestDemoEndsWithTheAudit runs make demo's script on a terminal, and presses Ctrl-C while orders come.
func TestDemoEndsWithTheAudit(t *testing.T) {
	t.Parallel()
	dir, err := project()
	require.NoError(t, err)
	root, err := filepath.Abs(harness.Root())
	require.NoError(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	callbacks := free.Addr().String()
	require.NoError(t, free.Close())
	state := newState(t)
	cmd := exec.Command("sh", filepath.Join(root, "scripts", "demo.sh"), "--state", state, "--listen",
		"127.0.0.1:0", "--no-build")
	cmd.Dir = dir
	cmd.Env = os.Environ()
	for _, name := range []string{"REDIS_URL", "MANAGER_KEY_FILE", "DISPLAY", "WAYLAND_DISPLAY"} {
		cmd.Env = harness.Without(cmd.Env, name)
	}
	cmd.Env = append(cmd.Env, "SHOPS=2", "CALLBACKS="+callbacks)
	terminal, err := pty.Start(cmd)
	require.NoError(t, err)
	out := &screen{}
	go func() { _, _ = io.Copy(out, terminal) }()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for _, process := range harness.ProcessesOf(state) {
			first, _, _ := strings.Cut(process, " ")
			if pid, err := strconv.Atoi(first); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if t.Failed() {
			t.Log(out)
		}
	})
	require.True(t, waitFor(func() bool { return someServed.MatchString(out.String()) || len(ended) > 0 }))
	require.Empty(t, ended, "it runs until Ctrl-C")
	_, err = terminal.Write([]byte{3})
	require.NoError(t, err)
	require.True(t, waitFor(func() bool { return len(ended) > 0 }), "Ctrl-C ends it")
	require.NoError(t, <-ended)
	require.Contains(t, out.String(), "0 open")
	require.Contains(t, out.String(), "the books balance")
	require.Empty(t, harness.ProcessesOf(state), "nothing is left behind")
}
