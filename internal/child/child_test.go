package child_test

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/child"
	"github.com/stretchr/testify/require"
)

// TestMain is also the parent that gets killed: started with PARENT it starts a child, tells its pid, and
// waits.
func TestMain(m *testing.M) {
	if os.Getenv("PARENT") == "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("sleep", "600")
	started, thread := make(chan error), ""
	runtime.LockOSThread() // the process's first thread, which never ends
	go func() {            // a goroutine whose thread may end, which must not end the child
		runtime.LockOSThread()
		thread, _ = os.Readlink("/proc/thread-self")
		started <- child.Start(cmd, syscall.SIGKILL)
	}()
	if err := <-started; err != nil {
		panic(err)
	}
	for ; thread != ""; time.Sleep(time.Millisecond) {
		if _, err := os.Stat("/proc/" + thread); err != nil {
			break
		}
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(cmd.Process.Pid) + "\n")
	select {}
}

func alive(pid int) bool {
	state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(state), ") Z ")
}

func TestChildDiesWithAKilledParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	t.Parallel()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "PARENT=1")
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.True(t, alive(pid), "it outlives the goroutine and the thread that asked for it")
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	require.Eventually(t, func() bool { return !alive(pid) }, time.Minute, time.Millisecond)
}

func TestSweepKillsOnlyMarkedProcesses(t *testing.T) {
	t.Parallel()
	start := func(state string) *exec.Cmd {
		cmd := exec.Command("sleep", "600")
		cmd.Env = []string{child.Marker + "=" + state}
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _, _ = cmd.Process.Wait() })
		return cmd
	}
	state := t.TempDir()
	ours, other := start(state), start(state+"2")
	require.Equal(t, 1, child.Sweep(state))
	require.Error(t, ours.Wait())
	require.NoError(t, other.Process.Signal(syscall.Signal(0)))
}
