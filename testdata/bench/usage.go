//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usageSoFar is what a process has used since its start.
type usageSoFar struct {
	cpu      time.Duration
	switches int // of context, by the threads that live
}

// used reads it. The CPU time is the kernel's clock of the process (clock_getcpuclockid(3)), in nanoseconds: the sum of
// /proc/PID/task/*/schedstat, and what threads that have ended had used.
func used(pid int) (u usageSoFar, err error) {
	const processClock = 2 // CPUCLOCK_SCHED, of all threads
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|processClock, &t); err != nil {
		return u, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	u.cpu = time.Duration(t.Nano())
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread may end meanwhile
		u.switches += number(string(text), "voluntary_ctxt_switches:") + number(string(text), "nonvoluntary_ctxt_switches:")
	}
	return u, err
}

// number is the number behind a name at the beginning of a line, or 0.
func number(text, name string) (n int) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			fmt.Sscan(value, &n)
			return n
		}
	}
	return 0
}

// resident is the memory of a process in megabytes: now, and the most since forgetPeak.
func resident(pid int) (now, peak float64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	const kilobyte = 1024 / 1e6
	return float64(number(string(text), "VmRSS:")) * kilobyte, float64(number(string(text), "VmHWM:")) * kilobyte
}

// forgetPeak has the peak begin again at what is resident (proc(5), clear_refs).
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// release is the version of the kernel.
func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
