//go:build linux

package cgroup

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hearthfaas/hearth/internal/child"
	"github.com/stretchr/testify/require"
)

// TestMain is also the process in the group: it takes so many MiB of memory, or works for a second.
func TestMain(m *testing.M) {
	var n int
	if _, err := fmt.Sscan(os.Getenv("HOG"), &n); err == nil {
		var all [][]byte
		for range n {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		}
		fmt.Println("had", len(all), "MiB")
		os.Exit(0)
	}
	if os.Getenv("WORK") != "" {
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func open(t *testing.T) *Root {
	t.Helper()
	r, err := Open("hearth-test-" + strings.ToLower(t.Name()))
	if err != nil {
		t.Skipf("control groups cannot be made here: %v", err)
	}
	t.Cleanup(r.Close)
	return r
}

func run(t *testing.T, g *Group, env string) (string, *os.ProcessState) {
	t.Helper()
	cmd, out := exec.Command(os.Args[0]), &bytes.Buffer{}
	cmd.Env, cmd.Stdout = []string{env}, out
	require.NoError(t, child.StartWith(cmd, syscall.SIGKILL, g.Around))
	require.NoError(t, g.Started(cmd.Process.Pid))
	_ = cmd.Wait()
	return out.String(), cmd.ProcessState
}

func TestMemoryIsLimited(t *testing.T) {
	r := open(t)
	if !r.Memory() {
		t.Skip("the memory controller is not there")
	}
	g, err := r.New("one", Limits{Memory: 48 << 20, MemoryRequest: 16 << 20})
	require.NoError(t, err)
	defer g.Remove()
	out, state := run(t, g, "HOG=8")
	require.Equal(t, "had 8 MiB\n", out, state)
	require.Zero(t, g.Kills())
	out, state = run(t, g, "HOG=200")
	require.Empty(t, out)
	require.Equal(t, syscall.SIGKILL, state.Sys().(syscall.WaitStatus).Signal())
	require.Positive(t, g.Kills())
	out, _ = run(t, g, "HOG=8")
	require.Equal(t, "had 8 MiB\n", out, "another process can start in it")
}

func TestProcessorTimeIsLimited(t *testing.T) {
	r := open(t)
	if !r.CPU() {
		t.Skip("the cpu controller is not there")
	}
	g, err := r.New("one", Limits{MilliCPU: 100, CPURequest: 50})
	require.NoError(t, err)
	defer g.Remove()
	_, state := run(t, g, "WORK=1")
	require.Less(t, state.UserTime()+state.SystemTime(), 500*time.Millisecond, "of a second")
}

func TestOpenRemovesOldGroups(t *testing.T) {
	r := open(t)
	_, err := r.New("left", Limits{})
	require.NoError(t, err)
	again, err := Open("hearth-test-" + strings.ToLower(t.Name()))
	require.NoError(t, err)
	g, err := again.New("left", Limits{})
	require.NoError(t, err)
	g.Remove()
}

// TestOwnGroupIsFound reads what the kernel tells, on machines of several kinds.
func TestOwnGroupIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mounts, ours string
		want         map[string]string
	}{
		"version 2": {"30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
			"0::/system.slice/hearth.service\n",
			map[string]string{"unified": "/sys/fs/cgroup/system.slice/hearth.service",
				"top": "/sys/fs/cgroup"}},
		"version 2 in a container": {"30 23 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			"0::/docker/ab\n",
			map[string]string{"unified": "/sys/fs/cgroup", "top": "/sys/fs/cgroup"}},
		"version 1": {"33 32 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n34 32 " +
			"0:29 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n",
			"5:cpu,cpuacct:/\n4:memory:/user.slice/x\n",
			map[string]string{"cpu": "/sys/fs/cgroup/cpu,cpuacct",
				"memory": "/sys/fs/cgroup/memory/user.slice/x"}},
		"both": {"33 32 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 32 0:27 / " +
			"/sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "1:cpu:/a\n0::/b\n",
			map[string]string{
				"cpu":     "/sys/fs/cgroup/cpu/a",
				"unified": "/sys/fs/cgroup/unified/b",
				"top":     "/sys/fs/cgroup/unified",
			}},
		"none": {"22 1 8:1 / / rw - ext4 /dev/vda rw\n", "", map[string]string{}},
	} {
		require.Equal(t, test.want, hierarchies(test.mounts, test.ours), name)
	}
}

// TestVersion2 has a directory for the tree, since this machine may have the other version. It
// shows what is written, and not that the kernel heeds it.
func TestVersion2(t *testing.T) {
	t.Parallel()
	v := &v2{base: t.TempDir(), memory: true, cpu: true}
	require.NoError(t, v.make("one", Limits{
		Memory:        64 << 20,
		MilliCPU:      250,
		MemoryRequest: 32 << 20,
		CPURequest:    1000,
	}))
	for file, want := range map[string]string{
		"memory.max":       "67108864",
		"memory.low":       "33554432",
		"memory.swap.max":  "0",
		"memory.oom.group": "1",
		"cpu.max":          "25000 100000",
		"cpu.weight":       "39",
	} {
		text, err := os.ReadFile(filepath.Join(v.base, "one", file))
		require.NoError(t, err)
		require.Equal(t, want, string(text), file)
	}
	require.NoError(t, write(filepath.Join(v.base, "one"), "memory.events", "low 0\noom 2\noom_kill 3\n"))
	require.EqualValues(t, 3, v.kills("one"))
	require.NoError(t, v.started("one", 42))
	text, err := os.ReadFile(filepath.Join(v.base, "one", "cgroup.procs"))
	require.NoError(t, err)
	require.Equal(t, "42", string(text))
}
