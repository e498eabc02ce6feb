package docker_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// output is the output of a running command.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// TestAnEngineOfItsOwnLeavesNothing ends scripts/engine.sh in every way while its engine has a network. It
// runs inside another engine, so that leftovers do no harm.
func TestAnEngineOfItsOwnLeavesNothing(t *testing.T) {
	if os.Getenv("HEARTH_TEST_ENGINE") == "" {
		t.Skip("needs root and a Docker engine: make test-docker")
	}
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "scripts", "engine.sh")
	for name, end := range map[string]func(*testing.T, *exec.Cmd){
		"when its command fails": nil,
		"at SIGTERM": func(t *testing.T,
			c *exec.Cmd) {
			require.NoError(t, c.Process.Signal(syscall.SIGTERM))
		},
		"at Ctrl-C": func(t *testing.T,
			c *exec.Cmd) {
			require.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGINT))
		},
		"at SIGKILL": func(t *testing.T, c *exec.Cmd) { require.NoError(t, c.Process.Kill()) },
	} {
		t.Run(name, func(t *testing.T) {
			links, rules := output(t, "ip", "-br", "link"), output(t, "iptables-save")
			tmp, err := os.MkdirTemp("/tmp", "e") // socket paths must be short
			require.NoError(t, err)
			defer func() { _ = os.RemoveAll(tmp) }()
			ready := filepath.Join(t.TempDir(), "ready")
			work := "docker network create left && touch " + ready + " && exit 3"
			if end != nil {
				work = "docker network create left && touch " + ready + " && exec sleep 1000"
			}
			var said bytes.Buffer
			cmd := exec.Command("sh", script, "sh", "-c", work)
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "ENGINE_NEEDS=")
			cmd.Stdout, cmd.Stderr = &said, &said
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.WaitDelay = time.Second // leftovers may keep its output open
			require.NoError(t, cmd.Start())
			defer func() { _ = cmd.Process.Kill() }()
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, time.Minute,
				50*time.Millisecond)
			if end != nil {
				end(t, cmd)
			}
			select {
			case err = <-ended:
			case <-time.After(2 * time.Minute):
				require.NoError(t, cmd.Process.Kill())
				t.Fatal("it does not end")
			}
			var exit *exec.ExitError
			require.True(t, errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay), "%v\n%s", err, &said)
			if end == nil {
				require.Equal(t, 3, cmd.ProcessState.ExitCode(), said.String())
			}
			require.Eventually(t, func() bool {
				return !strings.Contains(output(t, "ps", "-eo", "args"),
					tmp)
			}, time.Minute, 50*time.Millisecond,
				"no process of it is left")
			require.Equal(t, links, output(t, "ip", "-br", "link"))
			require.Equal(t, stripped(rules), stripped(output(t, "iptables-save")))
			if name != "at SIGKILL" {
				files, err := os.ReadDir(tmp)
				require.NoError(t, err)
				require.Empty(t, files, "no file of it is left")
			}
		})
	}
}

// stripped removes comments, which have times, and counters from a dump of rules.
func stripped(rules string) string {
	var kept []string
	for line := range strings.Lines(rules) {
		if !strings.HasPrefix(line, "#") {
			rule, _, _ := strings.Cut(line, " [")
			kept = append(kept, strings.TrimSpace(rule))
		}
	}
	return strings.Join(kept, "\n")
}
