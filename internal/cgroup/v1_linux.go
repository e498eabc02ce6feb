package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// v1 has a tree for each controller; "" means that the controller cannot be used.
type v1 struct {
	memory, cpu       string // directories of our groups
	ownMemory, ownCPU string // our own group
}

func openV1(name, memory, cpu string) (*Root, error) {
	v := &v1{ownMemory: memory, ownCPU: cpu}
	var errs []error
	for _, c := range []struct {
		own  string
		base *string
	}{{memory, &v.memory}, {cpu, &v.cpu}} {
		if c.own == "" {
			continue
		}
		base := filepath.Join(c.own, name)
		if err := fresh(base); err != nil {
			errs = append(errs, err)
			continue
		}
		*c.base = base
	}
	if v.memory == "" && v.cpu == "" {
		return nil, errors.Join(errs...)
	}
	return &Root{kind: "cgroup v1", memory: v.memory != "", cpu: v.cpu != "", c: v}, nil
}

func (v *v1) make(name string, l Limits) error {
	set := func(base, file string, n int64) error {
		return write(filepath.Join(base, name), file, strconv.FormatInt(n, 10))
	}
	for _, base := range []string{v.memory, v.cpu} {
		if base != "" {
			if err := fresh(filepath.Join(base, name)); err != nil {
				return err
			}
		}
	}
	if v.memory != "" && l.Memory > 0 {
		if err := set(v.memory, "memory.limit_in_bytes", l.Memory); err != nil {
			return err
		}
		_ = set(v.memory, "memory.memsw.limit_in_bytes", l.Memory) // is only there with swap accounting
	}
	if v.memory != "" && l.MemoryRequest > 0 {
		if err := set(v.memory, "memory.soft_limit_in_bytes", l.MemoryRequest); err != nil {
			return err
		}
	}
	if v.cpu != "" && l.CPURequest > 0 {
		if err := set(v.cpu, "cpu.shares", max(l.CPURequest*1024/1000, 2)); err != nil {
			return err
		}
	}
	if v.cpu == "" || l.MilliCPU == 0 {
		return nil
	}
	if err := set(v.cpu, "cpu.cfs_period_us", period.Microseconds()); err != nil {
		return err
	}
	return set(v.cpu, "cpu.cfs_quota_us", quota(l.MilliCPU))
}

// around moves the thread that forks into the group, and back: a child begins in the groups of that thread.
// Moved afterwards, its first memory would count for us.
func (v *v1) around(name string) (leave func(), err error) {
	leave = func() { _ = enter(v.ownMemory, v.ownCPU) }
	var memory, cpu string
	if v.memory != "" {
		memory = filepath.Join(v.memory, name)
	}
	if v.cpu != "" {
		cpu = filepath.Join(v.cpu, name)
	}
	if err := enter(memory, cpu); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// enter moves this thread into groups.
func enter(dirs ...string) error {
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "tasks"), []byte("0"), 0o600); err != nil {
			// 0 is whoever writes it.
			return fmt.Errorf("enter the control group: %w", err)
		}
	}
	return nil
}

func (v *v1) started(string, int) error { return nil }

func (v *v1) kills(name string) int64 {
	if v.memory == "" {
		return 0
	}
	return count(filepath.Join(v.memory, name, "memory.oom_control"), "oom_kill")
}

func (v *v1) remove(name string) {
	for _, base := range []string{v.memory, v.cpu} {
		if base != "" {
			removeDir(filepath.Join(base, name))
		}
	}
}

func (v *v1) close() {
	for _, base := range []string{v.memory, v.cpu} {
		if base != "" {
			sweep(base)
		}
	}
}
