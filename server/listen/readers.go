package listen

import (
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// MaxReaders bounds the threads that read one address. Eight serve about a million queries a second; more would only
// make the batches smaller, and each reader that is kept awake costs the runtime 6 ms of CPU a second.
const MaxReaders = 8

// readers is how many threads should read UDP here: one for each CPU that this process may use, at least one. A CPU
// limit of the container is rounded down, so that readers alone cannot exhaust it and be throttled. GOMAXPROCS of the
// environment is such a limit too.
func readers() int {
	return min(max(min(runtime.NumCPU(), cpuLimit(os.DirFS("/")), GivenProcessors()), 1), MaxReaders)
}

// GivenProcessors is GOMAXPROCS of the environment, a large number without it.
func GivenProcessors() int {
	if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		return n
	}
	return noLimit
}

// Processors is what GOMAXPROCS must be in a process that runs these listeners. A reader that waits in the kernel keeps
// its P, and so does the one goroutine that receives what upstreams reply; the garbage collector, TCP, the watch and the
// admin endpoints need others. If readers held all Ps, everything else would wait until one of them is preempted, for tens of milliseconds.
func Processors(listeners []*Listener) int {
	reading := 0
	for _, l := range listeners {
		reading += len(l.engine.tallies())
	}
	return reading + 1 + max(2, min(reading, runtime.NumCPU()))
}

const noLimit = 1 << 20

// cpuLimit is the number of whole CPUs that the cgroup limits of this process allow, noLimit without any. Limits of
// parents apply too, so each level up to the root of the hierarchy is read.
func cpuLimit(files fs.FS) int {
	limit := noLimit
	self, _ := fs.ReadFile(files, "proc/self/cgroup")
	for line := range strings.Lines(string(self)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy:controllers:path
		if len(part) != 3 {
			continue
		}
		for at := path.Clean("/" + part[2]); ; at = path.Dir(at) {
			if part[0] == "0" {
				limit = min(limit, limitV2(files, "sys/fs/cgroup"+at))
			} else if hasController(part[1], "cpu") {
				limit = min(limit, limitV1(files, "sys/fs/cgroup/cpu"+at))
			}
			if at == "/" {
				break
			}
		}
	}
	return limit
}

func hasController(list, name string) bool {
	for controller := range strings.SplitSeq(list, ",") {
		if controller == name {
			return true
		}
	}
	return false
}

// limitV2 reads cpu.max, "QUOTA PERIOD" or "max PERIOD".
func limitV2(files fs.FS, dir string) int {
	text, err := fs.ReadFile(files, path.Join(dir, "cpu.max"))
	if err != nil {
		return noLimit
	}
	quota, period, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return wholeCPUs(quota, period)
}

// limitV1 reads cpu.cfs_quota_us, -1 for no limit, and cpu.cfs_period_us.
func limitV1(files fs.FS, dir string) int {
	quota, err := fs.ReadFile(files, path.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return noLimit
	}
	period, _ := fs.ReadFile(files, path.Join(dir, "cpu.cfs_period_us"))
	return wholeCPUs(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

func wholeCPUs(quota, period string) int {
	q, err := strconv.Atoi(quota)
	p, perr := strconv.Atoi(period)
	if err != nil || perr != nil || q <= 0 || p <= 0 {
		return noLimit
	}
	return q / p
}
