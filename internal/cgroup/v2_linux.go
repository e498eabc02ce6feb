package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// v2 has one tree.
type v2 struct {
	base        string // directory of our groups
	memory, cpu bool
}

// openV2 creates the groups below our own group, or else, for root, at the top.
func openV2(name, top, own string) (*Root, error) {
	err := makeRoom(own, top, name+"-self")
	if err == nil {
		var r *Root
		if r, err = below(own, name); err == nil {
			return r, nil
		}
	}
	if os.Geteuid() == 0 && own != top {
		if r, topErr := below(top, name); topErr == nil {
			return r, nil
		}
	}
	return nil, err
}

// makeRoom moves all processes out of our own group, if they are this process and its children.
func makeRoom(own, top, leaf string) error {
	if own == top { // the top may have processes and groups
		return nil
	}
	text, err := os.ReadFile(filepath.Join(own, "cgroup.procs"))
	if err != nil {
		return fmt.Errorf("read our control group: %w", err)
	}
	pids := strings.Fields(string(text))
	for _, pid := range pids {
		if pid != strconv.Itoa(os.Getpid()) && parent(pid) != os.Getpid() {
			return errors.New("other processes are in the same control group: start hearth as a service, " +
				"or with systemd-run --scope -p Delegate=yes")
		}
	}
	if err := os.Mkdir(filepath.Join(own, leaf), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("create control group: %w", err)
	}
	for _, pid := range pids {
		if err := write(filepath.Join(own, leaf), "cgroup.procs", pid); err != nil &&
			!errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// parent is the parent of a process, or 0.
func parent(pid string) int {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}

// below creates the directory of our groups in a group, with the controllers that are available.
func below(dir, name string) (*Root, error) {
	base := filepath.Join(dir, name)
	if err := fresh(base); err != nil {
		return nil, err
	}
	v := &v2{base: base}
	var errs []error
	for controller, has := range map[string]*bool{"memory": &v.memory, "cpu": &v.cpu} {
		err := write(dir, "cgroup.subtree_control", "+"+controller)
		if here, readErr := os.ReadFile(filepath.Join(base, "cgroup.controllers")); readErr == nil &&
			slices.Contains(strings.Fields(string(here)), controller) {
			// It may have been on already, where we may not switch it on.
			err = write(base, "cgroup.subtree_control", "+"+controller)
		}
		*has = err == nil
		errs = append(errs, err)
	}
	if !v.memory && !v.cpu {
		sweep(base)
		return nil, errors.Join(errs...)
	}
	return &Root{kind: "cgroup v2", memory: v.memory, cpu: v.cpu, c: v}, nil
}

func (v *v2) make(name string, l Limits) error {
	dir := filepath.Join(v.base, name)
	if err := fresh(dir); err != nil {
		return err
	}
	if v.memory && l.Memory > 0 {
		if err := write(dir, "memory.max", strconv.FormatInt(l.Memory, 10)); err != nil {
			return err
		}
		_ = write(dir, "memory.swap.max", "0")  // is only there with swap
		_ = write(dir, "memory.oom.group", "1") // since Linux 4.19
	}
	if v.memory && l.MemoryRequest > 0 {
		if err := write(dir, "memory.low", strconv.FormatInt(l.MemoryRequest, 10)); err != nil {
			return err
		}
	}
	if v.cpu && l.CPURequest > 0 { // a core is 40, as with Kubernetes; see KEP 2254
		if err := write(dir, "cpu.weight",
			strconv.FormatInt(min(max(1+(l.CPURequest*1024/1000-2)*9999/262142, 1), 10000), 10)); err != nil {
			return err
		}
	}
	if v.cpu && l.MilliCPU > 0 {
		return write(dir, "cpu.max", fmt.Sprint(quota(l.MilliCPU), " ", period.Microseconds()))
	}
	return nil
}

func (v *v2) around(string) (leave func(), err error) { return func() {}, nil }

// started moves the process into the group. It could begin there, by CLONE_INTO_CGROUP, but for services of
// systemd with RestrictNamespaces: they have no clone3(2).
func (v *v2) started(name string, pid int) error {
	return write(filepath.Join(v.base, name), "cgroup.procs", strconv.Itoa(pid))
}

func (v *v2) kills(name string) int64 {
	return count(filepath.Join(v.base, name, "memory.events"), "oom_kill")
}

func (v *v2) remove(name string) { removeDir(filepath.Join(v.base, name)) }

func (v *v2) close() { sweep(v.base) }
