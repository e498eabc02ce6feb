package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/cli/clitest"
	"github.com/stretchr/testify/require"
	"golang.org/x/term"
)

// exitWithin waits for a process and returns its exit code.
func exitWithin(t *testing.T, cmd *exec.Cmd, limit time.Duration) int {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		require.True(t, err == nil || errors.As(err, &exit), "%v", err)
		return cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		_ = cmd.Process.Kill()
		t.Fatalf("%v does not end", cmd.Args[1:])
		return 0
	}
}

// silent accepts connections and never responds.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

// TestSignalEndsEveryWait has no input on standard input, and a gateway that never responds.
func TestSignalEndsEveryWait(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	for name, args := range map[string][]string{
		"a secret from standard input": {"secret", "create", "key"},
		"a secret from a file":         {"secret", "create", "key", "--from-file", fifo},
		"a call's body":                {"invoke", "oven"},
		"a call's body in a file":      {"invoke", "oven", "--file", fifo},
		"a password file":              {"list", "--password-file", fifo},
		"a gateway":                    {"list"},
		"dead letters":                 {"dead", "export"},
	} {
		for signal, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
			t.Run(name+" "+signal.String(), func(t *testing.T) {
				t.Parallel()
				reader, writer, err := os.Pipe()
				require.NoError(t, err)
				defer func() { _, _ = reader.Close(), writer.Close() }()
				screen := clitest.New(t, 80)
				cmd := command(t, append(args, "--gateway", silent(t))...)
				cmd.Env = append(cmd.Env, "HEARTH_TEST_READY=1")
				cmd.Stdin, cmd.Stdout, cmd.Stderr = reader, screen.TTY, screen.TTY
				require.NoError(t, cmd.Start())
				screen.Await("ready\n")
				require.NoError(t, cmd.Process.Signal(signal))
				require.Equal(t, code, exitWithin(t, cmd, time.Minute))
				screen.Await("hearth: interrupted\n")
			})
		}
	}
}

// TestCtrlCAtAPromptRestoresTheTerminal types Ctrl-C at a prompt for a secret.
func TestCtrlCAtAPromptRestoresTheTerminal(t *testing.T) {
	t.Parallel()
	screen := clitest.New(t, 80)
	before, err := term.GetState(int(screen.TTY.Fd()))
	require.NoError(t, err)
	cmd := command(t, "secret", "create", "key", "--gateway", silent(t))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen.TTY, screen.TTY, screen.TTY
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	screen.Await("value: ")
	require.Eventually(t, func() bool { // the terminal shows no input
		now, err := term.GetState(int(screen.TTY.Fd()))
		return err == nil && *now != *before
	}, time.Minute, 2*time.Millisecond)
	screen.Type("half a val\x03")
	require.Equal(t, 130, exitWithin(t, cmd, time.Minute))
	after, err := term.GetState(int(screen.TTY.Fd()))
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NotContains(t, screen.Output(), "half")
}
