package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Requests of ptrace(2) that package syscall does not name.
// PTRACE_GET_SYSCALL_INFO is the same on all processors.
const (
	ptraceSeize          = 0x4206
	ptraceGetSyscallInfo = 0x420e
	ptraceTraceSysGood   = 1
	syscallStop          = syscall.SIGTRAP | 0x80
	atEntry              = 1
)

// A syscallInfo is struct ptrace_syscall_info at the entry of a system call.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	_      uint32
	_, _   uint64
	number uint64
	_      [7]uint64
}

// slowSyncs delays each fsync and fdatasync of a child's first thread, like a slow disk: Redis with
// appendfsync always calls them there and answers nobody meanwhile. It returns their number. Only untilEnded
// may wait for the child: a wait in another thread would take our stops for its end.
func slowSyncs(ctx context.Context, pid int, d, delay time.Duration) (n int, err error) {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	if err := ptrace(ptraceSeize, pid, ptraceTraceSysGood); err != nil {
		return 0, fmt.Errorf("ptrace is not allowed here: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	stop := func() { _ = syscall.Kill(pid, syscall.SIGWINCH) } // it is ignored, but reported to a tracer
	context.AfterFunc(ctx, stop)
	stop()
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, syscall.WALL, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			return n, nil // it ended
		}
		signal := 0
		switch status.StopSignal() {
		case syscallStop:
			var info syscallInfo
			_, _, e := syscall.RawSyscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(pid),
				unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
			if e == 0 && info.op == atEntry && (info.number == syscall.SYS_FDATASYNC ||
				info.number == syscall.SYS_FSYNC) {
				n++
				wait(ctx, delay)
			}
		case syscall.SIGWINCH, syscall.SIGTRAP:
		default:
			signal = int(status.StopSignal())
		}
		request := uintptr(syscall.PTRACE_SYSCALL)
		if ctx.Err() != nil {
			request = syscall.PTRACE_DETACH
		}
		if err := ptrace(request, pid, uintptr(signal)); err != nil && !errors.Is(err, syscall.ESRCH) {
			return n, err
		}
		if request == syscall.PTRACE_DETACH {
			return n, nil
		}
	}
}

func ptrace(request uintptr, pid int, data uintptr) error {
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PTRACE, request, uintptr(pid), 0, data, 0, 0); e != 0 {
		return e
	}
	return nil
}

// untilEnded waits for the end of a child without reaping it.
func untilEnded(pid int) {
	for {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, state, _ := strings.Cut(string(text), ") ")
		if err != nil || strings.HasPrefix(state, "Z") {
			return
		}
		time.Sleep(2 * ms)
	}
}
