package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// period is the period of CPU quotas: a quota is a part of it, at least a millisecond.
const period = 100 * time.Millisecond

// Open finds where groups can be created, and removes those of an earlier run. The name must not be used by
// another process of the machine.
func Open(name string) (*Root, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	ours, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	found := hierarchies(string(mounts), string(ours))
	if found["memory"] != "" || found["cpu"] != "" {
		return openV1(name, found["memory"], found["cpu"])
	}
	if found["unified"] != "" {
		return openV2(name, found["top"], found["unified"])
	}
	return nil, errors.New("no control groups are mounted")
}

// hierarchies are the directories of our own group: of "memory" and "cpu" with version 1, of "unified" with
// version 2; and the top of the latter. See proc_pid_mountinfo(5) and cgroups(7).
func hierarchies(mounts, ours string) map[string]string {
	at := map[string]string{} // controller -> our group
	for line := range strings.Lines(ours) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			at[c] = parts[2]
		}
	}
	found := map[string]string{}
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		mount, fs := strings.Fields(before), strings.Fields(after)
		if !ok || len(mount) < 5 || len(fs) < 3 {
			continue
		}
		dir := func(controller string) string {
			below := at[controller]
			if root := mount[3]; root != "/" { // only a part of the hierarchy is mounted, as in a container
				below = strings.TrimPrefix(below, root)
			}
			return filepath.Join(mount[4], below)
		}
		options := strings.Split(fs[2], ",")
		switch {
		case fs[0] == "cgroup2":
			found["unified"], found["top"] = dir(""), mount[4]
		case fs[0] == "cgroup" && slices.Contains(options, "memory"):
			found["memory"] = dir("memory")
		case fs[0] == "cgroup" && slices.Contains(options, "cpu"):
			found["cpu"] = dir("cpu")
		}
	}
	return found
}

func write(dir, file, text string) error {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		return fmt.Errorf("set %s of the control group to %q: %w", file, text, err)
	}
	return nil
}

// fresh creates an empty directory for our groups.
func fresh(dir string) error {
	sweep(dir)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("create control group: %w", err)
	}
	return nil
}

// sweep removes a directory of groups without processes.
func sweep(dir string) {
	below, _ := os.ReadDir(dir)
	for _, d := range below {
		if d.IsDir() {
			removeDir(filepath.Join(dir, d.Name()))
		}
	}
	removeDir(dir)
}

// removeDir removes one group. The kernel may keep it busy for a moment after its last process has ended.
func removeDir(dir string) {
	for range 50 {
		if err := syscall.Rmdir(dir); !errors.Is(err, syscall.EBUSY) {
			return
		}
		if pids, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err != nil || len(pids) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// count reads a number of a file with a name and a number on each line.
func count(path, name string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), " "); ok && key == name {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

func quota(milliCPU int64) int64 { return milliCPU * period.Microseconds() / 1000 }
