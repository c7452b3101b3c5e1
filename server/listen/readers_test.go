package listen

import (
	"testing"
	"testing/fstest"
)

func TestCPULimit(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, test := range map[string]struct {
		files fstest.MapFS
		want  int
	}{
		"no cgroups": {fstest.MapFS{}, noLimit},
		"v2, no limit": {fstest.MapFS{"proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/cpu.max": file("max 100000\n")}, noLimit},
		"v2, rounded down": {fstest.MapFS{"proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/cpu.max": file("250000 100000\n")}, 2},
		"v2, below one": {fstest.MapFS{"proc/self/cgroup": file("0::/\n"),
			"sys/fs/cgroup/cpu.max": file("50000 100000\n")}, 0},
		"v2, of a parent": {fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"),
			"sys/fs/cgroup/a/cpu.max": file("300000 100000\n"), "sys/fs/cgroup/a/b/cpu.max": file("max 100000\n")}, 3},
		"v1": {fstest.MapFS{"proc/self/cgroup": file("4:cpu,cpuacct:/x\n"),
			"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us":  file("400000\n"),
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us": file("100000\n")}, 4},
		"v1, no limit": {fstest.MapFS{"proc/self/cgroup": file("4:cpu,cpuacct:/\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":  file("-1\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_period_us": file("100000\n")}, noLimit},
		"v1, other hierarchy": {fstest.MapFS{"proc/self/cgroup": file("4:cpuset:/\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":  file("100000\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_period_us": file("100000\n")}, noLimit},
	} {
		if got := cpuLimit(test.files); got != test.want {
			t.Errorf("%s: %d CPUs, want %d", name, got, test.want)
		}
	}
}

// TestGivenProcessors: GOMAXPROCS of the environment bounds the readers.
func TestGivenProcessors(t *testing.T) {
	for value, want := range map[string]int{"1": 1, "0": readers(), "x": readers(), "": readers(), "1000": readers()} {
		t.Setenv("GOMAXPROCS", value)
		if got := readers(); got != want {
			t.Errorf("GOMAXPROCS=%s: %d readers, want %d", value, got, want)
		}
	}
}
