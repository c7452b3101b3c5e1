//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// traceCalls has strace count the system calls of a process until count is called.
func (b *bench) traceCalls(p *process) (count func() (int, error), err error) {
	file := filepath.Join(b.dir, "strace")
	os.Remove(file)
	tracer, err := b.start("strace", b.paths["strace"], "-c", "-f", "-o", file, "-p", fmt.Sprint(p.pid()))
	if err != nil {
		return nil, err
	}
	if err := b.await(tracer, 10*time.Second, "strace to attach", func() bool { return strings.Contains(tracer.said(), "attached") }); err != nil {
		return nil, err
	}
	return func() (int, error) {
		tracer.cmd.Process.Signal(syscall.SIGINT)
		<-tracer.ended
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		b.say("system calls of %s:\n%s", p.name, text)
		return parseTrace(string(text))
	}, nil
}

// parseTrace is the number of calls in the last line of strace -c: % time, seconds, usecs/call, calls, perhaps errors, "total".
func parseTrace(text string) (calls int, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[len(fields)-1] != "total" {
			continue
		}
		_, err := fmt.Sscan(fields[3], &calls)
		return calls, err
	}
	return 0, fmt.Errorf("strace did not count:\n%s", text)
}
